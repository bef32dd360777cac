"""A registry that is a cache of another: what it brings, when it asks, and what it does where the other one is gone,
slow or lies."""

from __future__ import annotations

import hashlib
import http.client
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import registry_requests as requests
from registry_requests import CONFIG, LAYER, ask
from unit.registry.scripted import Answer, Received, scripted
from waiting import wait_until

from kernelbox.errors import InvalidOption
from kernelbox.oci.digest import Digest
from kernelbox.registry.server.collect import collect
from kernelbox.registry.server.serving import Running, registry
from kernelbox.registry.server.storage import Storage

HERE = "/v2/lab/tool"
IMAGE = requests.image()
DIGEST = Digest.of(LAYER)


@pytest.fixture(autouse=True)
def own_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("KERNELBOX_REGISTRIES", str(tmp_path / "none.toml"))
    (tmp_path / "none.toml").touch()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Running]:
    """Has lab/tool:1 and something about it."""
    with registry(tmp_path / "other") as running:
        requests.push_image(running.address, "lab/tool", "1")
        requests.push_blob(running.address, "lab/tool", requests.EMPTY)
        requests.push_manifest(running.address, "lab/tool", requests.artifact("a/seal", IMAGE))
        yield running


def test_what_is_asked_for_is_brought_and_kept(other: Running, tmp_path: Path) -> None:
    with registry(tmp_path / "cache", cache_of=other.address) as cache:
        assert requests.stored(cache.storage) == set()
        answer = ask(cache.address, "GET", f"{HERE}/manifests/1")
        assert (answer.body, answer.headers["Docker-Content-Digest"]) == (IMAGE, str(Digest.of(IMAGE)))
        head = ask(cache.address, "HEAD", f"{HERE}/blobs/{DIGEST}")
        assert (head.status, head.headers["Content-Length"]) == (200, str(len(LAYER)))
        assert len(requests.stored(cache.storage)) == 1
        assert ask(cache.address, "GET", f"{HERE}/blobs/{DIGEST}").body == LAYER
        part = ask(cache.address, "GET", f"{HERE}/blobs/{Digest.of(CONFIG)}", headers={"Range": "bytes=1-3"})
        assert (part.status, part.body) == (206, CONFIG[1:4])
        assert len(requests.stored(cache.storage)) == 3
        with Storage(cache.storage) as storage:
            assert collect(storage, kept_s=-1, untagged=True).size == 0  # an image is kept whole


def test_without_the_other_what_is_here_is_there(tmp_path: Path) -> None:
    with registry(tmp_path / "gone") as gone:
        cache_of = gone.address
        requests.push_image(cache_of, "lab/tool", "1")
        requests.push_image(cache_of, "lab/tool", "2", b"not asked for")
        with registry(tmp_path / "cache", cache_of=cache_of) as cache:
            for path in ("manifests/1", f"blobs/{DIGEST}", f"blobs/{Digest.of(CONFIG)}"):
                assert ask(cache.address, "GET", f"{HERE}/{path}").status == 200
    with registry(tmp_path / "cache", cache_of=cache_of) as cache:
        assert ask(cache.address, "GET", f"{HERE}/manifests/1").body == IMAGE
        assert ask(cache.address, "GET", f"{HERE}/blobs/{DIGEST}").body == LAYER
        assert ask(cache.address, "GET", f"{HERE}/tags/list").document["tags"] == ["1"]
        assert ask(cache.address, "GET", f"{HERE}/manifests/2").status == 502
        assert ask(cache.address, "GET", f"{HERE}/manifests/{requests.ABSENT}").status == 502
        assert ask(cache.address, "GET", f"{HERE}/referrers/{Digest.of(IMAGE)}").document["manifests"] == []


def test_a_tag_that_moves_there_moves_here(other: Running, tmp_path: Path) -> None:
    with registry(tmp_path / "cache", cache_of=other.address) as cache:
        assert ask(cache.address, "GET", f"{HERE}/manifests/1").body == IMAGE
        requests.push_image(other.address, "lab/tool", "1", b"newer")
        assert ask(cache.address, "GET", f"{HERE}/manifests/1").body == requests.image((b"newer",))
        requests.push_manifest(other.address, "lab/tool", IMAGE, "1")
        assert ask(cache.address, "GET", f"{HERE}/manifests/1").body == IMAGE
        ask(other.address, "DELETE", f"{HERE}/manifests/1")
        assert ask(cache.address, "GET", f"{HERE}/manifests/1").code == "MANIFEST_UNKNOWN"
        assert ask(cache.address, "GET", f"{HERE}/manifests/{Digest.of(IMAGE)}").body == IMAGE


def test_tags_and_referrers_are_those_of_the_other(other: Running, tmp_path: Path) -> None:
    for tag in ("2", "3", "10"):
        requests.push_manifest(other.address, "lab/tool", IMAGE, tag)
    with registry(tmp_path / "cache", cache_of=other.address) as cache:
        assert ask(cache.address, "GET", f"{HERE}/tags/list").document["tags"] == ["1", "10", "2", "3"]
        page = ask(cache.address, "GET", f"{HERE}/tags/list?n=2&last=1")
        assert (page.document["tags"], page.headers["Link"]) == (
            ["10", "2"],
            f'<{HERE}/tags/list?n=2&last=2>; rel="next"',
        )
        assert ask(cache.address, "GET", "/v2/lab/none/tags/list").status == 404
        about = f"{HERE}/referrers/{Digest.of(IMAGE)}"
        (found,) = ask(cache.address, "GET", about).document["manifests"]
        assert found["artifactType"] == "a/seal"
        assert ask(cache.address, "GET", f"{HERE}/manifests/{found['digest']}").status == 200
        assert ask(cache.address, "GET", f"{about}?artifactType=b/c").document["manifests"] == []


def test_nothing_is_pushed_to_a_cache_and_no_blob_brought_that_no_manifest_names(
    other: Running, tmp_path: Path
) -> None:
    loose = requests.push_blob(other.address, "lab/tool", b"of no image")
    with registry(tmp_path / "cache", cache_of=other.address) as cache:
        assert ask(cache.address, "POST", f"{HERE}/blobs/uploads/").code == "UNSUPPORTED"
        assert ask(cache.address, "PUT", f"{HERE}/manifests/1", IMAGE).code == "UNSUPPORTED"
        assert ask(cache.address, "GET", f"{HERE}/blobs/{loose}").code == "BLOB_UNKNOWN"
        assert ask(cache.address, "GET", f"{HERE}/blobs/{DIGEST}").code == "BLOB_UNKNOWN"
        ask(cache.address, "GET", f"{HERE}/manifests/1")
        assert ask(cache.address, "DELETE", f"{HERE}/manifests/{Digest.of(IMAGE)}").status == 202


class Upstream:
    """A registry with one image, whose layer comes as `pieces`."""

    def __init__(self, layer: bytes) -> None:
        self.layer = layer
        self.image = requests.image((layer,))
        self.pieces: Iterator[bytes] | None = None
        self.blobs = 0

    def __call__(self, received: Received) -> Answer:
        if "/manifests/" in received.path:
            digest = str(Digest.of(self.image))
            kind = "application/vnd.oci.image.manifest.v1+json"
            return Answer(200, self.image, {"Content-Type": kind, "Docker-Content-Digest": digest})
        if "/blobs/" in received.path:
            self.blobs += 1
            if self.pieces is not None:
                return Answer(200, self.pieces, length=len(self.layer))
            return Answer(200, self.layer)
        return Answer()


def test_a_blob_goes_on_while_it_comes_and_comes_once_for_all(tmp_path: Path) -> None:
    upstream = Upstream(bytes(range(256)) * 8192)
    half, go_on = len(upstream.layer) // 2, threading.Event()

    def pieces() -> Iterator[bytes]:
        yield upstream.layer[:half]
        assert go_on.wait(60)
        yield upstream.layer[half:]

    upstream.pieces = pieces()
    with scripted(upstream) as server, registry(tmp_path / "cache", cache_of=server.address) as cache:
        ask(cache.address, "GET", f"{HERE}/manifests/1")
        readers = [http.client.HTTPConnection(cache.address, timeout=60) for _ in range(3)]
        for reader in readers:
            reader.request("GET", f"{HERE}/blobs/{Digest.of(upstream.layer)}")
        answers = [reader.getresponse() for reader in readers]
        some = [answer.read(half // 2) for answer in answers]  # the rest is not there yet
        go_on.set()
        whole = [first + answer.read() for first, answer in zip(some, answers, strict=True)]
        for reader in readers:
            reader.close()
        assert [each == upstream.layer for each in whole] == [True, True, True]
        assert upstream.blobs == 1


def test_a_blob_that_is_another_is_not_given_to_its_end_and_not_kept(tmp_path: Path) -> None:
    upstream = Upstream(b"x" * 600_000)
    wrong = upstream.layer[:-1] + b"y"
    with scripted(upstream) as server, registry(tmp_path / "cache", cache_of=server.address) as cache:
        ask(cache.address, "GET", f"{HERE}/manifests/1")
        upstream.pieces = iter([wrong])
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            ask(cache.address, "GET", f"{HERE}/blobs/{Digest.of(upstream.layer)}")
        assert Digest.of(upstream.layer).encoded not in " ".join(requests.stored(cache.storage))
        upstream.pieces = None
        answer = ask(cache.address, "GET", f"{HERE}/blobs/{Digest.of(upstream.layer)}")
        assert hashlib.sha256(answer.body).hexdigest() == Digest.of(upstream.layer).encoded


def test_a_fetch_goes_on_when_its_reader_goes_and_ends_with_the_server(tmp_path: Path) -> None:
    upstream = Upstream(b"x" * 600_000)
    go_on = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield upstream.layer[:300_000]
        assert go_on.wait(60)
        yield upstream.layer[300_000:]

    upstream.pieces = pieces()
    where = f"{HERE}/blobs/{Digest.of(upstream.layer)}"
    with scripted(upstream) as server:
        with registry(tmp_path / "cache", cache_of=server.address) as cache:
            ask(cache.address, "GET", f"{HERE}/manifests/1")
            reader = http.client.HTTPConnection(cache.address, timeout=60)
            reader.request("GET", where)
            reader.getresponse().read(1000)
            reader.close()
            go_on.set()
            wait_until(lambda: Digest.of(upstream.layer).encoded in " ".join(requests.stored(cache.storage)))
            assert ask(cache.address, "GET", where).body == upstream.layer
        assert upstream.blobs == 1


def test_a_server_that_ends_gives_up_what_it_fetches_and_goes_on_with_it(tmp_path: Path) -> None:
    upstream = Upstream(b"x" * 600_000)
    go_on = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield upstream.layer[:300_000]
        assert go_on.wait(60)

    upstream.pieces = pieces()
    where = f"{HERE}/blobs/{Digest.of(upstream.layer)}"
    with scripted(upstream) as server:
        with registry(tmp_path / "cache", cache_of=server.address) as cache:
            ask(cache.address, "GET", f"{HERE}/manifests/1")
            reader = http.client.HTTPConnection(cache.address, timeout=60)
            reader.request("GET", where)
            reader.getresponse().read(1000)
            reader.close()
        go_on.set()
        partial = next((tmp_path / "cache/blobs/partial").iterdir())
        had = partial.stat().st_size
        assert 0 < had <= 300_000
        upstream.pieces = None
        with registry(tmp_path / "cache", cache_of=server.address) as cache:
            assert ask(cache.address, "GET", where).body == upstream.layer
        assert [each.headers.get("range") for each in server.received if "/blobs/" in each.path] == [
            None,
            f"bytes={had}-",
        ]


def test_what_the_other_refuses_is_not_taken_for_a_question_of_who_asks_here(tmp_path: Path) -> None:
    with (
        scripted(lambda received: Answer(401, headers={"WWW-Authenticate": "Basic realm=x"})) as server,
        registry(tmp_path / "cache", cache_of=server.address) as cache,
    ):
        answer = ask(cache.address, "GET", f"{HERE}/manifests/1")
        assert (answer.status, answer.code) == (403, "DENIED")


def test_a_cache_of_what_is_no_registry(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="is no registry"), registry(tmp_path, cache_of="https://x/"):
        pass
