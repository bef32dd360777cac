"""A registry that is a cache of another: what is asked for comes through it once, and stays when the other has gone."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import registry_requests as requests
from registry_requests import ABSENT, CONFIG, ask
from waiting import wait_until

from kernelbox.oci.digest import Digest
from kernelbox.registry.server import pull_through
from kernelbox.registry.server.serving import Running, registry

LAYER = random.Random(2).randbytes(3_000_000)
IMAGE = requests.image((LAYER,))
DIGEST, BLOB = Digest.of(IMAGE), Digest.of(LAYER)


class Pair:
    """The other registry, which can go, and its cache."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.far = ExitStack()
        stack.enter_context(self.far)
        self.other: Running = self.far.enter_context(registry(folder / "other"))
        requests.push_image(self.other.address, "lab/tool", "1", LAYER)
        self.near: Running = stack.enter_context(registry(folder / "near", upstream=self.other.address))

    def get(self, path: str, method: str = "GET", **headers: str) -> requests.Answer:
        return ask(self.near.address, method, f"/v2/lab/tool/{path}", None, headers)

    def asked(self, kind: str) -> int:
        """How often the other registry was asked with GET for a manifest, or a blob."""
        text = ask(self.other.address, "GET", "/metrics").body.decode()
        lines = [line for line in text.splitlines() if f'method="GET",kind="{kind}"' in line]
        return sum(int(line.rpartition(" ")[2]) for line in lines)


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with ExitStack() as stack:
        yield Pair(tmp_path, stack)


def test_what_is_asked_for_comes_once_and_stays(pair: Pair) -> None:
    for _ in range(2):
        assert pair.get("manifests/1").body == IMAGE
        assert pair.get(f"manifests/{DIGEST}").body == IMAGE
        assert pair.get(f"blobs/{BLOB}", "HEAD").headers["Content-Length"] == str(len(LAYER))
        assert pair.get(f"blobs/{BLOB}").body == LAYER
        assert pair.get(f"blobs/{Digest.of(CONFIG)}").body == CONFIG
        assert pair.get("tags/list").document == {"name": "lab/tool", "tags": ["1"]}
    assert (pair.asked("manifest"), pair.asked("blob")) == (1, 2)
    pair.far.close()
    assert pair.get("manifests/1").body == IMAGE
    assert pair.get(f"blobs/{BLOB}").body == LAYER


def test_a_tag_is_compared_and_believed_for_a_while(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pair.get("manifests/1").body == IMAGE
    requests.push_image(pair.other.address, "lab/tool", "1", b"newer")
    assert pair.get("manifests/1").body == IMAGE
    monkeypatch.setattr(pull_through, "_FRESH_S", 0.0)
    assert pair.get("manifests/1").body == requests.image((b"newer",))
    assert ask(pair.other.address, "DELETE", "/v2/lab/tool/manifests/1").status == 202
    assert pair.get("manifests/1").code == "MANIFEST_UNKNOWN", "the other says that there is none"


def test_many_wait_for_one_fetch(pair: Pair) -> None:
    pair.get("manifests/1")
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(pair.get(f"blobs/{BLOB}").body)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [LAYER] * 12
    assert pair.asked("blob") == 1


def test_a_part_of_what_is_not_here_yet(pair: Pair) -> None:
    pair.get("manifests/1")
    answer = pair.get(f"blobs/{BLOB}", Range="bytes=1000-1999")
    assert (answer.status, answer.body) == (206, LAYER[1000:2000])


def test_what_the_other_has_not(pair: Pair) -> None:
    assert pair.get("manifests/2").code == "MANIFEST_UNKNOWN"
    assert pair.get(f"manifests/{ABSENT}").code == "MANIFEST_UNKNOWN"
    assert pair.get(f"blobs/{BLOB}").code == "BLOB_UNKNOWN", "no manifest that is here names it"
    assert pair.get(f"blobs/{ABSENT}", "HEAD").status == 404


def test_nothing_is_pushed_to_a_cache(pair: Pair) -> None:
    answer = ask(pair.near.address, "POST", "/v2/lab/tool/blobs/uploads/", b"")
    assert (answer.status, answer.code) == (405, "UNSUPPORTED")


def test_damage_over_there_is_not_kept_here(pair: Pair) -> None:
    pair.get("manifests/1")
    path = pair.other.storage / "blobs/sha256" / BLOB.encoded
    path.write_bytes(LAYER[:-1] + bytes([LAYER[-1] ^ 1]))
    got = requests.send(
        pair.near.address,
        f"GET /v2/lab/tool/blobs/{BLOB} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode(),
    )
    assert len(got.partition(b"\r\n\r\n")[2]) < len(LAYER), "the end is missing, so that nobody takes it for whole"
    assert not (pair.near.storage / "blobs/sha256" / BLOB.encoded).exists()
    path.write_bytes(LAYER)
    wait_until(lambda: pair.get(f"blobs/{BLOB}").body == LAYER)


def test_referrers_are_those_of_the_other(pair: Pair) -> None:
    requests.push_blob(pair.other.address, "lab/tool", requests.EMPTY)
    note = requests.push_manifest(pair.other.address, "lab/tool", requests.artifact("a/note", IMAGE))
    for query, wanted in (("", [str(note)]), ("?artifactType=a/seal", [])):
        answer = pair.get(f"referrers/{DIGEST}{query}")
        assert [each["digest"] for each in answer.document["manifests"]] == wanted
