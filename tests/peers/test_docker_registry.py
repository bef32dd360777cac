"""Debian's docker-registry as somebody to pull from and push to."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from unit.registry.breaking import breaking
from unit.registry.clients import client
from unit.registry.images import AMD64, ARM64, image, index_of, keep, noise
from waiting import wait_until

from kernelbox.errors import ImageNotFound, Unauthorized
from kernelbox.oci import media_types
from kernelbox.oci.descriptor import Descriptor
from kernelbox.oci.digest import Digest
from kernelbox.oci.manifest import Manifest
from kernelbox.oci.reference import Reference
from kernelbox.registry.configuration import RegistrySettings
from kernelbox.registry.credentials import Credentials
from kernelbox.registry.progress import COMPLETE, EXISTS, MOUNTED, Progress
from kernelbox.registry.pull import pull
from kernelbox.registry.push import push
from kernelbox.store.blobs import Blobs

LARGE = image(noise(6 << 20), noise(100, 1))
ARM = image(noise(3000, 9), platform=ARM64)
BOTH = index_of(LARGE, ARM)

CONFIG = """
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {folder}}}
  delete: {{enabled: true}}
http: {{addr: "{address}"}}
{more}
"""


@contextlib.contextmanager
def docker_registry(folder: Path, more: str = "") -> Iterator[str]:
    """Its address."""
    program = shutil.which("docker-registry")
    if not program:
        pytest.skip("docker-registry is not installed")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    config = folder / "config.yml"
    config.write_text(CONFIG.format(folder=folder / "registry", address=address, more=more))
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen([program, "serve", config], stdout=log, stderr=log) as running,
    ):
        try:
            wait_until(lambda: listens(address), "docker-registry listens")
            yield address
        finally:
            running.terminate()


def listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as trying:
        return trying.connect_ex((host, int(port))) == 0


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with docker_registry(tmp_path_factory.mktemp("docker-registry")) as found:
        yield found


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    found = Blobs(tmp_path / "blobs")
    keep(found, LARGE, ARM, index=BOTH)
    return found


@pytest.mark.parametrize("chunk", [0, 1 << 20])
def test_there_and_back(address: str, blobs: Blobs, tmp_path: Path, chunk: int) -> None:
    there = Reference(address, f"lab/there{chunk}", "1")
    with client({address: RegistrySettings(upload_chunk=chunk)}) as asker:
        assert push(asker, there, blobs, BOTH.descriptor()) == BOTH.digest
        back = Blobs(tmp_path / "back")
        for platform in (AMD64, ARM64):
            pull(asker, there, back, platform)
        assert set(back.every()) == set(blobs.every())
        assert list(asker.tags(there)) == ["1"]
        assert there.repository in list(asker.catalog(address))


def test_nothing_twice_and_mounts(address: str, blobs: Blobs) -> None:
    with client() as asker:
        seen: list[Progress] = []
        for repository, status in (("lab/a", COMPLETE), ("lab/a", EXISTS), ("lab/b", MOUNTED)):
            seen.clear()
            there = Reference(address, repository, "1")
            push(asker, there, blobs, LARGE.descriptor, progress=seen.append, mount_from=lambda digest: ["lab/a"])
            assert {each.digest: each.status for each in seen} == dict.fromkeys(LARGE.contents, status)


def test_over_a_wire_that_breaks(address: str, blobs: Blobs, tmp_path: Path) -> None:
    with breaking(address) as wire:
        there = Reference(wire.address, "lab/broken", "1")
        wire.up = [10_000, 3_000_000, 200, 1_500_000, 0]
        with client(attempts=8) as asker:
            push(asker, there, blobs, LARGE.descriptor, most=1)
        assert wire.up == []
        wire.down = [5_000, 3_000_000, 100, 1_500_000, 0]
        with client(attempts=8) as asker:
            assert pull(asker, there, Blobs(tmp_path / "back"), AMD64, most=1).moved == (6 << 20) + 100
        assert wire.down == []


def test_deleting(address: str, blobs: Blobs) -> None:
    there = Reference(address, "lab/deleted", "1")
    with client() as asker:
        push(asker, there, blobs, ARM.descriptor)
        asker.delete(there.with_digest(ARM.manifest.digest))
        with pytest.raises(ImageNotFound):
            asker.resolve(there)
        asker.delete_blob(there, ARM.layers[0].digest)
        assert not asker.exists(there, ARM.layers[0].digest)


def test_it_lists_no_referrers_and_so_we_do(address: str, blobs: Blobs) -> None:
    there = Reference(address, "lab/signed", "1")
    config = Descriptor(media_types.EMPTY, blobs.put(b"{}"), 2)
    layer = Descriptor("text/plain", blobs.put(b"signed"), 6)
    made = Manifest.build(config, [layer], subject=ARM.descriptor, artifact_type="application/x.sig")
    blobs.put(made.raw)
    with client() as asker:
        push(asker, there, blobs, ARM.descriptor)
        push(asker, there.with_digest(made.digest), blobs, made.descriptor())
        (found,) = asker.referrers(there, ARM.manifest.digest)
        assert (found.digest, found.artifact_type) == (made.digest, "application/x.sig")
        assert asker.referrers(there, Digest.of(b"other")) == ()


def test_with_a_password(blobs: Blobs, tmp_path: Path) -> None:
    import bcrypt

    passwords = tmp_path / "passwords"
    passwords.write_text("me:" + bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode() + "\n")
    more = f"auth: {{htpasswd: {{realm: lab, path: {passwords}}}}}"
    with docker_registry(tmp_path, more) as guarded:
        there = Reference(guarded, "lab/tool", "1")
        with client(known={guarded: Credentials("me", "secret")}) as asker:
            asker.check_login(guarded)
            push(asker, there, blobs, ARM.descriptor)
        for known in ({}, {guarded: Credentials("me", "wrong")}):
            with client(known=known) as asker, pytest.raises(Unauthorized):
                asker.resolve(there)
