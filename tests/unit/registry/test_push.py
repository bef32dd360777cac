"""Images from the store to a registry of our own, and back."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from unit.registry.certificates import server_files
from unit.registry.clients import client
from unit.registry.images import AMD64, ARM64, image, index_of, keep, noise
from unit.registry.scripted import Answer, Received, scripted

from kernelbox.errors import BlobNotFound, ImageNotFound, InvalidContent, RegistryError, Unauthorized
from kernelbox.oci import media_types
from kernelbox.oci.descriptor import Descriptor
from kernelbox.oci.digest import Digest
from kernelbox.oci.manifest import Manifest
from kernelbox.oci.reference import Reference
from kernelbox.registry.client import Client
from kernelbox.registry.configuration import RegistrySettings
from kernelbox.registry.credentials import Credentials
from kernelbox.registry.progress import COMPLETE, EXISTS, MOUNTED, Progress
from kernelbox.registry.pull import pull
from kernelbox.registry.push import push
from kernelbox.registry.server.serving import Running, registry
from kernelbox.store.blobs import Blobs

ONE = image(*(noise(5000, seed) for seed in range(4)))
ARM = image(noise(3000, 9), noise(5000, 1), platform=ARM64)
BOTH = index_of(ONE, ARM)


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    found = Blobs(tmp_path / "blobs")
    keep(found, ONE, ARM, index=BOTH)
    return found


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Running]:
    with registry(tmp_path / "registry") as running:
        yield running


@pytest.fixture
def asker() -> Iterator[Client]:
    with client() as made:
        yield made


def statuses(seen: list[Progress]) -> dict[Digest, str]:
    return {each.digest: each.status for each in seen}


def test_an_image_there_and_back(asker: Client, served: Running, blobs: Blobs, tmp_path: Path) -> None:
    there = Reference(served.address, "lab/tool", "1")
    seen: list[Progress] = []
    assert push(asker, there, blobs, ONE.descriptor, progress=seen.append) == ONE.manifest.digest
    assert statuses(seen) == dict.fromkeys(ONE.contents, COMPLETE)
    back = Blobs(tmp_path / "back")
    assert pull(asker, there, back, AMD64).image.document == ONE.document
    assert set(back.every()) == {ONE.manifest.digest, *ONE.contents}
    assert list(asker.tags(there)) == ["1"]
    assert list(asker.catalog(served.address)) == ["lab/tool"]


def test_an_index_with_all_its_platforms(asker: Client, served: Running, blobs: Blobs, tmp_path: Path) -> None:
    there = Reference(served.address, "lab/tool", "1")
    assert push(asker, there, blobs, BOTH.descriptor()) == BOTH.digest
    back = Blobs(tmp_path / "back")
    for platform, chosen in ((AMD64, ONE), (ARM64, ARM)):
        assert pull(asker, there, back, platform).image.manifest == chosen.manifest
    assert set(back.every()) == set(blobs.every())


def test_under_a_digest_without_a_tag(asker: Client, served: Running, blobs: Blobs) -> None:
    there = Reference(served.address, "lab/tool").with_digest(ONE.manifest.digest)
    push(asker, there, blobs, ONE.descriptor)
    assert asker.resolve(there) == ONE.descriptor
    assert list(asker.tags(there)) == []


def test_nothing_is_moved_twice(asker: Client, served: Running, blobs: Blobs) -> None:
    there = Reference(served.address, "lab/tool", "1")
    push(asker, there, blobs, ONE.descriptor)
    seen: list[Progress] = []
    push(asker, there.with_tag("2"), blobs, ONE.descriptor, progress=seen.append)
    assert set(statuses(seen).values()) == {EXISTS}
    assert list(asker.tags(there)) == ["1", "2"]


def test_layers_of_another_repository_are_mounted(asker: Client, served: Running, blobs: Blobs) -> None:
    push(asker, Reference(served.address, "lab/base", "1"), blobs, ONE.descriptor)
    seen: list[Progress] = []
    there = Reference(served.address, "lab/tool", "1")
    push(asker, there, blobs, ONE.descriptor, progress=seen.append, mount_from=lambda digest: ["lab/base"])
    assert set(statuses(seen).values()) == {MOUNTED}
    assert asker.resolve(there) == ONE.descriptor


def test_a_place_to_mount_from_that_is_none(asker: Client, served: Running, blobs: Blobs) -> None:
    there = Reference(served.address, "lab/tool", "1")
    push(asker, there, blobs, ONE.descriptor, mount_from=lambda digest: ["lab/none"])
    assert asker.resolve(there) == ONE.descriptor


def test_large_layers_go_up_in_pieces(served: Running, tmp_path: Path) -> None:
    large = image(noise(5 << 20))
    blobs = Blobs(tmp_path / "blobs")
    keep(blobs, large)
    there = Reference(served.address, "lab/tool", "1")
    with client({served.address: RegistrySettings(upload_chunk=1 << 20)}) as asker:
        push(asker, there, blobs, large.descriptor)
        back = Blobs(tmp_path / "back")
        pull(asker, there, back, AMD64)
    assert set(back.every()) == set(blobs.every())


def test_deleted_is_gone(asker: Client, served: Running, blobs: Blobs) -> None:
    there = Reference(served.address, "lab/tool", "1")
    push(asker, there, blobs, ONE.descriptor)
    asker.delete(there)
    assert list(asker.tags(there)) == []
    by_digest = there.with_digest(ONE.manifest.digest)
    assert asker.resolve(by_digest) == ONE.descriptor
    asker.delete(by_digest)
    with pytest.raises(ImageNotFound):
        asker.resolve(by_digest)
    with pytest.raises(ImageNotFound):
        asker.delete(there)
    asker.delete_blob(there, ONE.layers[0].digest)
    assert not asker.exists(there, ONE.layers[0].digest)
    with pytest.raises(BlobNotFound):
        asker.delete_blob(there, ONE.layers[0].digest)


def test_what_refers_to_an_image(asker: Client, served: Running, blobs: Blobs) -> None:
    there = Reference(served.address, "lab/tool", "1")
    push(asker, there, blobs, ONE.descriptor)
    config = Descriptor(media_types.EMPTY, blobs.put(b"{}"), 2)
    note = Descriptor("text/plain", blobs.put(b"signed"), 6)
    made = Manifest.build(config, [note], subject=ONE.descriptor, artifact_type="application/x.sig")
    blobs.put(made.raw)
    push(asker, there.with_digest(made.digest), blobs, made.descriptor())
    (found,) = asker.referrers(there, ONE.manifest.digest)
    assert (found.digest, found.artifact_type) == (made.digest, "application/x.sig")
    assert asker.referrers(there, ONE.manifest.digest, "application/x.sig") == (found,)
    assert asker.referrers(there, ONE.manifest.digest, "application/x.other") == ()


def test_many_tags_in_pages(asker: Client, served: Running, blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    from kernelbox.registry import client as module

    monkeypatch.setattr(module, "_PAGE", 3)
    there = Reference(served.address, "lab/tool", "1")
    push(asker, there, blobs, ARM.descriptor)
    names = [f"t{number}" for number in range(8)]
    for name in names:
        asker.push_manifest(there.with_tag(name), ARM.manifest.raw, ARM.manifest.media_type)
    assert list(asker.tags(there)) == ["1", *names]


def test_over_tls_with_a_password(blobs: Blobs, tmp_path: Path) -> None:
    import bcrypt

    certificate, key = server_files(tmp_path)
    passwords = tmp_path / "passwords"
    passwords.write_text("me:" + bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode() + "\n")
    with registry(tmp_path / "registry", certificate=certificate, key=key, passwords=passwords) as served:
        settings = {served.address: RegistrySettings(ca=str(tmp_path / "authority.pem"))}
        there = Reference(served.address, "lab/tool", "1")
        with client(settings, {served.address: Credentials("me", "secret")}) as asker:
            asker.check_login(served.address)
            push(asker, there, blobs, ONE.descriptor)
            assert asker.resolve(there) == ONE.descriptor
        with client(settings, {served.address: Credentials("me", "wrong")}) as asker, pytest.raises(Unauthorized):
            asker.check_login(served.address)
        with client(settings) as asker, pytest.raises(Unauthorized, match="log in"):
            push(asker, there, blobs, ONE.descriptor)


def test_what_is_not_in_the_store_is_said_before_anything_is_moved(asker: Client, blobs: Blobs) -> None:
    blobs.remove(ONE.layers[3].digest)
    with scripted(lambda received: Answer(500)) as server:
        with pytest.raises(BlobNotFound, match="is not in the store, and belongs to what is to be pushed"):
            push(asker, Reference(server.address, "lab/tool", "1"), blobs, ONE.descriptor)
        blobs.remove(ARM.manifest.digest)
        with pytest.raises(BlobNotFound):
            push(asker, Reference(server.address, "lab/tool", "1"), blobs, BOTH.descriptor())
        assert server.received == []


def test_layers_that_must_not_be_distributed_stay(asker: Client, served: Running, blobs: Blobs) -> None:
    kind = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    elsewhere = Descriptor(kind, Digest.of(b"elsewhere"), 9, ("https://images.example/layer",))
    made = Manifest.build(ONE.manifest.config, [elsewhere])
    blobs.put(made.raw)
    seen: list[Progress] = []
    with contextlib.suppress(RegistryError):  # a registry may want it all the same
        push(asker, Reference(served.address, "lab/tool", "1"), blobs, made.descriptor(), progress=seen.append)
    assert elsewhere.digest not in statuses(seen)


def test_the_tag_comes_last(blobs: Blobs) -> None:
    done: list[str] = []
    mutex = threading.Lock()

    def script(received: Received) -> Answer:
        if received.method == "PUT":
            with mutex:
                done.append(received.path.rpartition("/")[2] if "/manifests/" in received.path else "blob")
            return Answer(201)
        if received.method == "POST":
            return Answer(202, headers={"Location": "/v2/lab/tool/blobs/uploads/x"})
        return Answer(200 if received.path == "/v2/" else 404)

    with scripted(script) as server, client() as asker:
        push(asker, Reference(server.address, "lab/tool", "1"), blobs, BOTH.descriptor())
    *before, last = done
    assert last == "1"
    assert before[:-2] == ["blob"] * 7
    assert set(before[-2:]) == {str(ONE.manifest.digest), str(ARM.manifest.digest)}


def test_a_layer_that_fails_leaves_no_tag(blobs: Blobs) -> None:
    def script(received: Received) -> Answer:
        if received.method == "PUT" and "/manifests/" in received.path:
            raise AssertionError("a manifest came")
        if received.method == "POST":
            return Answer(403)
        return Answer(200 if received.path == "/v2/" else 404)

    with scripted(script) as server, client() as asker:
        with pytest.raises(Unauthorized):
            push(asker, Reference(server.address, "lab/tool", "1"), blobs, ONE.descriptor)
        assert server.said("PUT") == []


def test_a_layer_that_is_damaged_at_rest_is_not_taken(asker: Client, served: Running, blobs: Blobs) -> None:
    place = blobs.path(ONE.layers[1].digest)
    place.chmod(0o600)
    place.write_bytes(bytes(5000))
    there = Reference(served.address, "lab/tool", "1")
    with pytest.raises((RegistryError, InvalidContent)):
        push(asker, there, blobs, ONE.descriptor)
    with pytest.raises(ImageNotFound):
        asker.resolve(there)
