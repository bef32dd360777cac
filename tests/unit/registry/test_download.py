"""Blobs from registries that break off, stall and lie."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from unit.registry.clients import Waits, client
from unit.registry.scripted import Answer, Received, Scripted, scripted

from kernelbox.errors import BlobNotFound, InvalidContent, RegistryError, Unauthorized
from kernelbox.oci.descriptor import Descriptor
from kernelbox.oci.digest import Digest
from kernelbox.oci.reference import Reference
from kernelbox.registry.client import Client
from kernelbox.registry.transport import Timeouts

CONTENT = bytes(range(256)) * 3
LAYER = Descriptor("application/vnd.oci.image.layer.v1.tar", Digest.of(CONTENT), len(CONTENT))


def begin_of(received: Received) -> int:
    """The first byte that is asked for."""
    text = received.headers.get("range", "bytes=0-")
    assert text.startswith("bytes=")
    assert text.endswith("-")
    return int(text[6:-1])


@dataclass
class Honest:
    """Gives ranges; drops the connection after so many bytes of each answer, as long as there are `cuts`."""

    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    content: bytes = CONTENT

    def __call__(self, received: Received) -> Answer:
        if received.path == "/v2/":
            return Answer()
        begin = begin_of(received) if self.ranges else 0
        cut = self.cuts.pop(0) if self.cuts else None
        last = len(self.content) - 1
        said = {"Content-Range": f"bytes {begin}-{last}/{last + 1}"} if begin else {}
        return Answer(206 if begin else 200, self.content[begin:], said, cut=cut)


def fetch(asker: Client, server: Scripted, layer: Descriptor = LAYER, offset: int = 0) -> bytes:
    return b"".join(asker.blob(Reference(server.address, "lab/tool"), layer, offset))


def test_a_blob() -> None:
    with scripted(Honest()) as server, client() as asker:
        assert fetch(asker, server) == CONTENT
        assert server.received[-1].path == f"/v2/lab/tool/blobs/{LAYER.digest}"
        assert "range" not in server.received[-1].headers


def test_what_is_there_already_is_not_asked_for() -> None:
    with scripted(Honest()) as server, client() as asker:
        assert fetch(asker, server, offset=100) == CONTENT[100:]
        assert fetch(asker, server, offset=len(CONTENT)) == b""
        assert len(server.said("GET", str(LAYER.digest))) == 1


@pytest.mark.parametrize("ranges", [True, False])
def test_a_connection_that_breaks_at_every_byte(ranges: bool) -> None:
    content = CONTENT[:200]
    layer = Descriptor(LAYER.media_type, Digest.of(content), len(content))
    registry = Honest(ranges=ranges, content=content)
    waits = Waits()
    with scripted(registry) as server, client(waits=waits) as asker:
        for cut in range(len(content)):
            registry.cuts = [cut]
            assert fetch(asker, server, layer) == content
        asked = [begin_of(each) for each in server.said("GET", str(layer.digest))]
    assert asked == [each for cut in range(len(content)) for each in (0, cut)]
    assert len(waits.seconds) == len(content)


def test_a_connection_that_breaks_again_and_again() -> None:
    with scripted(Honest([10] * 40)) as server, client() as asker:
        assert fetch(asker, server) == CONTENT
        assert [begin_of(each) for each in server.said("GET", str(LAYER.digest))] == list(range(0, 401, 10))


def test_a_connection_that_breaks_without_end() -> None:
    with scripted(Honest([1] * 1000)) as server, client() as asker:
        with pytest.raises(RegistryError, match="broke"):
            fetch(asker, server)
        assert len(server.said("GET", str(LAYER.digest))) == 100


def test_a_connection_that_brings_nothing() -> None:
    waits = Waits()
    with scripted(Honest([5] + [0] * 100)) as server, client(waits=waits) as asker:
        with pytest.raises(RegistryError, match="broke"):
            fetch(asker, server)
        assert [begin_of(each) for each in server.said("GET", str(LAYER.digest))] == [0, 5, 5, 5, 5]
    assert waits.seconds == [0.5, 1, 2, 4]


def test_a_registry_that_stalls_is_left_and_asked_again() -> None:
    answers = iter([Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 768\r\n\r\n" + CONTENT[:300], hang=True)])
    honest = Honest()
    script = lambda received: honest(received) if received.path == "/v2/" else next(answers, None) or honest(received)  # noqa: E731
    with scripted(script) as server, client(timeouts=Timeouts(5, 0.2)) as asker:
        assert fetch(asker, server) == CONTENT
        assert [begin_of(each) for each in server.said("GET", str(LAYER.digest))] == [0, 300]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_storm_passes(status: int) -> None:
    waits = Waits()
    storm = iter([Answer(status, headers={"Retry-After": "3"})] * 3)
    honest = Honest()
    script = lambda received: honest(received) if received.path == "/v2/" else next(storm, None) or honest(received)  # noqa: E731
    with scripted(script) as server, client(waits=waits) as asker:
        assert fetch(asker, server) == CONTENT
    assert waits.seconds == [3, 3, 3]


def test_a_storm_that_does_not_pass() -> None:
    body = b'{"errors": [{"code": "TOOMANYREQUESTS", "message": "you have reached your limit"}]}'
    script = lambda received: Answer(200 if received.path == "/v2/" else 429, body)  # noqa: E731
    with scripted(script) as server, client() as asker:
        with pytest.raises(RegistryError, match="you have reached your limit") as caught:
            fetch(asker, server)
        assert len(server.said("GET", str(LAYER.digest))) == 5
    assert (caught.value.http_status, caught.value.code) == (429, "TOOMANYREQUESTS")


LIES: list[tuple[Callable[[Received], Answer], type[Exception], str]] = [
    (lambda received: Answer(200, CONTENT + b"x"), InvalidContent, "has 769 bytes there"),
    (lambda received: Answer(200, CONTENT[:-1]), InvalidContent, "has 767 bytes there"),
    (lambda received: Answer(200, [CONTENT, b"x"]), InvalidContent, "is longer than the 768 bytes"),
    (lambda received: Answer(200, itertools.repeat(CONTENT)), InvalidContent, "is longer than the 768 bytes"),
    (lambda received: Answer(200, [CONTENT[:-1]]), RegistryError, "ends after 767 of its 768 bytes"),
    (lambda received: Answer(206, CONTENT), RegistryError, "answers with ''"),
    (lambda received: Answer(404), BlobNotFound, "HTTP status 404"),
    (lambda received: Answer(401), Unauthorized, "HTTP status 401"),
    (lambda received: Answer(204), RegistryError, "HTTP status 204"),
    (lambda received: Answer(418), RegistryError, "HTTP status 418"),
    (lambda received: Answer(404, b"<html>", {"Content-Type": "text/html"}), BlobNotFound, "web page"),
    (lambda received: Answer(416), InvalidContent, "no more than 0 bytes"),
    (lambda received: Answer(302), RegistryError, "HTTP status 302"),
    (lambda received: Answer(302, headers={"Location": "file:///etc/passwd"}), RegistryError, "no address"),
]


@pytest.mark.parametrize(("lie", "kind", "sentence"), LIES)
def test_lies_about_the_whole(lie: Callable[[Received], Answer], kind: type[Exception], sentence: str) -> None:
    script = lambda received: Answer() if received.path == "/v2/" else lie(received)  # noqa: E731
    with scripted(script) as server, client() as asker, pytest.raises(kind, match=sentence):
        fetch(asker, server)


def ranged(said: str, body: bytes) -> Answer:
    return Answer(206, body, {"Content-Range": said} if said else {})


RANGE_LIES: list[tuple[Answer, type[Exception], str]] = [
    (ranged("bytes 0-767/768", CONTENT), RegistryError, "answers with 'bytes 0-767/768'"),
    (ranged("bytes 301-767/768", CONTENT[301:]), RegistryError, "answers with 'bytes 301"),
    (ranged("bytes 300-767/769", CONTENT[300:]), RegistryError, "answers with 'bytes 300-767/769'"),
    (ranged("bytes 300-/768", CONTENT[300:]), RegistryError, "answers with"),
    (ranged("", CONTENT[300:]), RegistryError, "answers with ''"),
    (ranged("bytes=300-767/768", CONTENT[300:]), RegistryError, "answers with"),
    (ranged("bytes 300-767/768", CONTENT[300:] + b"x"), InvalidContent, "longer"),
    (ranged("bytes 300-767/*", CONTENT[300:700]), RegistryError, "ends after 700"),
    (Answer(200, CONTENT + b"x"), InvalidContent, "769 bytes"),
    (Answer(200, [CONTENT[:200]]), RegistryError, "ends after 300"),
    (Answer(416), InvalidContent, "no more than 300 bytes"),
]


@pytest.mark.parametrize(("answer", "kind", "sentence"), RANGE_LIES)
def test_lies_about_a_range(answer: Answer, kind: type[Exception], sentence: str) -> None:
    script = lambda received: Answer() if received.path == "/v2/" else answer  # noqa: E731
    with scripted(script) as server, client(attempts=1) as asker, pytest.raises(kind, match=sentence):
        fetch(asker, server, offset=300)


def test_a_range_may_be_of_unknown_length() -> None:
    script = lambda received: Answer() if received.path == "/v2/" else ranged("bytes 300-767/*", CONTENT[300:])  # noqa: E731
    with scripted(script) as server, client() as asker:
        assert fetch(asker, server, offset=300) == CONTENT[300:]


def test_layers_come_from_the_registry_and_never_from_the_urls_of_a_manifest() -> None:
    with scripted(Honest()) as server, scripted(lambda received: Answer(body=CONTENT)) as elsewhere:
        layer = Descriptor(LAYER.media_type, LAYER.digest, LAYER.size, (f"http://{elsewhere.address}/layer",))
        with client() as asker:
            assert fetch(asker, server, layer) == CONTENT
        assert elsewhere.received == []


def test_a_redirect_to_a_storage_service_is_followed_anew_for_every_part() -> None:
    storage = Honest([100])
    with scripted(storage) as second:
        turns = itertools.count()

        def script(received: Received) -> Answer:
            if received.path == "/v2/":
                return Answer()
            return Answer(307, headers={"Location": f"http://{second.address}/key?signed={next(turns)}"})

        with scripted(script) as first, client() as asker:
            assert fetch(asker, first) == CONTENT
        assert [each.target for each in second.received] == ["/key?signed=0", "/key?signed=1"]
        assert [begin_of(each) for each in second.received] == [0, 100]
