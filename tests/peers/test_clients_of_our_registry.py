"""Other people's clients with our registry: what they push and pull is the same on both sides."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest
import registry_requests as requests
from registry_requests import ask
from unit.registry.certificates import server_files
from unit.registry.images import ARM64, Image, image, index_of, noise

from kernelbox.oci.digest import Digest
from kernelbox.oci.manifest import Index
from kernelbox.registry.server.serving import Running, registry

ONE = image(noise(3 << 20), noise(1000, 1))
TWO = image(noise(2000, 2), platform=ARM64)
BOTH = index_of(ONE, TWO)


@pytest.fixture
def reg(tmp_path: Path) -> Iterator[Running]:
    with registry(tmp_path / "storage") as running:
        yield running


@pytest.fixture
def skopeo(tmp_path: Path) -> Skopeo:
    program = shutil.which("skopeo")
    if not program:
        pytest.skip("skopeo is not installed")
    return Skopeo(program, tmp_path)


class Skopeo:
    """The program, with settings and credentials of this test."""

    def __init__(self, program: str, folder: Path) -> None:
        self._start = [program, "--insecure-policy", "--tmpdir", str(folder)]
        self._environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "REGISTRY_AUTH_FILE": str(folder / "auth")}

    def __call__(self, *words: str) -> str:
        done = self.run(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._start, *words], env=self._environment, capture_output=True, text=True, check=False
        )


def layout(folder: Path, index: Index, *images: Image) -> Path:
    """An OCI image layout."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    for each in images:
        for digest, content in each.contents.items():
            (blobs / digest.encoded).write_bytes(content)
        (blobs / each.manifest.digest.encoded).write_bytes(each.manifest.raw)
    (blobs / index.digest.encoded).write_bytes(index.raw)
    entry = {"mediaType": index.media_type, "digest": str(index.digest), "size": len(index.raw)}
    named = {**entry, "annotations": {"org.opencontainers.image.ref.name": "all"}}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))
    return folder


def test_skopeo_pushes_lists_pulls_and_deletes(reg: Running, skopeo: Skopeo, tmp_path: Path) -> None:
    there = f"docker://{reg.address}/lab/tool"
    source = layout(tmp_path / "source", BOTH, ONE, TWO)
    skopeo("copy", "--all", "--preserve-digests", "--dest-tls-verify=false", f"oci:{source}:all", f"{there}:all")
    assert ask(reg.address, "GET", "/v2/lab/tool/manifests/all").body == BOTH.raw
    assert json.loads(skopeo("list-tags", "--tls-verify=false", there))["Tags"] == ["all"]
    raw = skopeo("inspect", "--raw", "--tls-verify=false", f"{there}@{TWO.manifest.digest}")
    assert raw.encode() == TWO.manifest.raw
    shown = json.loads(skopeo("inspect", "--override-arch=arm64", "--tls-verify=false", f"{there}:all"))
    assert (shown["Architecture"], shown["Layers"]) == ("arm64", [str(each.digest) for each in TWO.layers])
    skopeo(
        "copy", "--all", "--preserve-digests", "--src-tls-verify=false", f"{there}:all", f"oci:{tmp_path / 'back'}:all"
    )
    for digest, content in {**ONE.contents, **TWO.contents}.items():
        assert (tmp_path / "back/blobs/sha256" / digest.encoded).read_bytes() == content
    skopeo("delete", "--tls-verify=false", f"{there}:all")
    assert ask(reg.address, "GET", "/v2/lab/tool/tags/list").document["tags"] == []


def test_skopeo_copies_within_a_registry_without_moving_what_is_there(
    reg: Running, skopeo: Skopeo, tmp_path: Path
) -> None:
    source = layout(tmp_path / "source", BOTH, ONE, TWO)
    both = ("--src-tls-verify=false", "--dest-tls-verify=false", "--preserve-digests", "--all")
    there = f"docker://{reg.address}/lab"
    skopeo("copy", *both, f"oci:{source}:all", f"{there}/one:1")
    before = requests.stored(reg.storage)
    skopeo("copy", *both, f"{there}/one:1", f"{there}/two:1")
    assert requests.stored(reg.storage) == before
    assert ask(reg.address, "GET", "/v2/lab/two/manifests/1").body == BOTH.raw


def test_skopeo_makes_dockers_manifests_of_ours(reg: Running, skopeo: Skopeo, tmp_path: Path) -> None:
    source = layout(tmp_path / "source", BOTH, ONE, TWO)
    there = f"docker://{reg.address}/lab/tool:1"
    skopeo("copy", "--format=v2s2", "--override-arch=amd64", "--dest-tls-verify=false", f"oci:{source}:all", there)
    answer = ask(reg.address, "GET", "/v2/lab/tool/manifests/1")
    assert answer.headers["Content-Type"] == "application/vnd.docker.distribution.manifest.v2+json"
    parts = [answer.document["config"], *answer.document["layers"]]
    assert len(parts) == 1 + len(ONE.layers)
    for part in parts:  # it has compressed the layers anew
        content = ask(reg.address, "GET", f"/v2/lab/tool/blobs/{part['digest']}").body
        assert (str(Digest.of(content)), len(content)) == (part["digest"], part["size"])


def test_skopeo_by_tls_with_a_name_and_a_password(skopeo: Skopeo, tmp_path: Path) -> None:
    certificate, key = server_files(tmp_path)
    (tmp_path / "htpasswd").write_text(f"ann:{bcrypt.hashpw(b'two words', bcrypt.gensalt(4)).decode()}\n")
    (tmp_path / "trusted").mkdir()
    shutil.copy(tmp_path / "authority.pem", tmp_path / "trusted/ca.crt")
    source = layout(tmp_path / "source", BOTH, ONE, TWO)
    with registry(tmp_path / "kept", certificate=certificate, key=key, passwords=tmp_path / "htpasswd") as reg:
        there, trust = f"docker://{reg.address}/lab/tool:all", f"--dest-cert-dir={tmp_path / 'trusted'}"
        refused = skopeo.run("copy", "--all", trust, f"oci:{source}:all", there)
        assert refused.returncode
        assert "authentication required" in refused.stderr or "unauthorized" in refused.stderr.lower()
        skopeo("login", f"--cert-dir={tmp_path / 'trusted'}", "-u", "ann", "-p", "two words", reg.address)
        skopeo("copy", "--all", "--preserve-digests", trust, f"oci:{source}:all", there)
        wrong = skopeo.run("inspect", f"--cert-dir={tmp_path / 'trusted'}", "--creds", "ann:wrong", there)
        assert wrong.returncode
        assert f"{BOTH.digest}" in skopeo("inspect", f"--cert-dir={tmp_path / 'trusted'}", there)


def test_dockers_command_reads_manifests_and_pushes_a_list_of_them(reg: Running, tmp_path: Path) -> None:
    """What it does by itself, without its daemon."""
    program = shutil.which("docker")
    if not program:
        pytest.skip("the command of Docker is not installed")
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "DOCKER_HOST": f"unix://{tmp_path}/nobody.sock"}

    def docker(*words: str) -> str:
        done = subprocess.run(
            [program, "manifest", *words], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    there = f"{reg.address}/lab/tool"
    for each, tag in ((ONE, "amd64"), (TWO, "arm64")):
        for content in each.contents.values():
            requests.push_blob(reg.address, "lab/tool", content)
        requests.push_manifest(reg.address, "lab/tool", each.manifest.raw, tag)
    shown = json.loads(docker("inspect", "--insecure", f"{there}:amd64"))
    assert [each["digest"] for each in shown["layers"]] == [str(each.digest) for each in ONE.layers]
    docker("create", "--insecure", f"{there}:all", f"{there}:amd64", f"{there}:arm64")
    digest = docker("push", "--insecure", f"{there}:all").strip()
    answer = ask(reg.address, "GET", "/v2/lab/tool/manifests/all")
    assert answer.headers["Docker-Content-Digest"] == digest
    members = {each["platform"]["architecture"]: each["digest"] for each in answer.document["manifests"]}
    assert members == {"amd64": str(ONE.manifest.digest), "arm64": str(TWO.manifest.digest)}
