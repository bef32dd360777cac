"""Blobs to registries that break off, forget and lie."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from unit.registry.clients import Waits, client
from unit.registry.scripted import Answer, Received, Scripted, scripted

from kernelbox.errors import InvalidContent, RegistryError, Unauthorized
from kernelbox.oci import media_types
from kernelbox.oci.descriptor import Descriptor
from kernelbox.oci.digest import Digest
from kernelbox.oci.reference import Reference
from kernelbox.registry.client import Client
from kernelbox.registry.configuration import RegistrySettings

CONTENT = bytes(range(256)) * 3
LAYER = Descriptor(media_types.LAYER_TAR, Digest.of(CONTENT), len(CONTENT))


@dataclass
class Uploads:
    """A registry as far as blobs go up to it. `faults` answer in its place, by method, one after the other; `takes` are
    how much of the bodies of PATCH and PUT is read before the connection breaks."""

    kept: dict[str, bytes] = field(default_factory=dict)
    sessions: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, list[Answer]] = field(default_factory=dict)
    takes: list[int | None] = field(default_factory=list)
    least: int = 0
    count: int = 0

    def take(self, method: str, target: str) -> int | None:
        return self.takes.pop(0) if method in ("PATCH", "PUT") and self.takes else None

    def __call__(self, received: Received) -> Answer:
        if received.path == "/v2/":
            return Answer()
        if self.faults.get(received.method):
            return self.faults[received.method].pop(0)
        name = received.path.rpartition("/")[2]
        if received.method == "HEAD":
            return Answer(200 if name in self.kept else 404)
        if received.method == "POST":
            self.count += 1
            self.sessions[f"s{self.count}"] = b""
            least = {"OCI-Chunk-Min-Length": str(self.least)} if self.least else {}
            return Answer(202, headers={"Location": f"/v2/lab/tool/blobs/uploads/s{self.count}", **least})
        if name not in self.sessions:
            return Answer(404, b'{"errors": [{"code": "BLOB_UPLOAD_UNKNOWN"}]}')
        return self.in_session(name, received)

    def in_session(self, name: str, received: Received) -> Answer:
        had = self.sessions[name]
        if received.method == "PATCH":
            begin, _, end = received.headers["content-range"].partition("-")
            if int(begin) != len(had):
                return self.state(name, 416)
            assert int(end) - int(begin) + 1 == int(received.headers["content-length"])
            self.sessions[name] += received.body
            return self.state(name, 202)
        if received.method == "GET":
            return self.state(name, 204)
        whole = had + received.body
        (digest,) = received.query["digest"]
        if f"sha256:{hashlib.sha256(whole).hexdigest()}" != digest:
            return Answer(400, b'{"errors": [{"code": "DIGEST_INVALID"}]}')
        del self.sessions[name]
        self.kept[digest] = whole
        return Answer(201, headers={"Docker-Content-Digest": digest})

    def state(self, name: str, status: int) -> Answer:
        size = len(self.sessions[name])
        return Answer(
            status, headers={"Location": f"/v2/lab/tool/blobs/uploads/{name}", "Range": f"0-{max(size - 1, 0)}"}
        )


@pytest.fixture
def registry() -> Uploads:
    return Uploads()


@pytest.fixture
def server(registry: Uploads) -> Iterator[Scripted]:
    with scripted(registry) as running:
        running.take = registry.take
        yield running


@pytest.fixture
def asker() -> Iterator[Client]:
    with client() as made:
        yield made


def push(asker: Client, server: Scripted, whole: int = 0, **options: object) -> str:
    there = Reference(server.address, "lab/tool")
    return asker.push_blob(there, LAYER, io.BytesIO(CONTENT), whole=whole, **options)  # type: ignore[arg-type]


def methods(server: Scripted) -> list[str]:
    return [each.method for each in server.received if each.path != "/v2/"]


def test_what_is_small_goes_in_one_request(registry: Uploads, server: Scripted, asker: Client) -> None:
    moved: list[int] = []
    assert push(asker, server, whole=len(CONTENT), moved=moved.append) == "complete"
    assert registry.kept == {str(LAYER.digest): CONTENT}
    assert methods(server) == ["HEAD", "POST", "PUT"]
    assert moved[-1] == len(CONTENT)
    assert moved == sorted(moved)


def test_what_is_large_goes_in_a_piece_and_a_name(registry: Uploads, server: Scripted, asker: Client) -> None:
    assert push(asker, server) == "complete"
    assert registry.kept == {str(LAYER.digest): CONTENT}
    assert methods(server) == ["HEAD", "POST", "PATCH", "PUT"]


def test_pieces_of_the_size_that_is_configured() -> None:
    content = bytes(5 << 20)
    layer = Descriptor(media_types.LAYER_TAR, Digest.of(content), len(content))
    registry = Uploads()
    with scripted(registry) as server, client({server.address: RegistrySettings(upload_chunk=2 << 20)}) as asker:
        asker.push_blob(Reference(server.address, "lab/tool"), layer, io.BytesIO(content))
        ranges = [each.headers["content-range"] for each in server.said("PATCH")]
    assert ranges == ["0-2097151", "2097152-4194303", "4194304-5242879"]
    assert registry.kept[str(layer.digest)] == content


def test_pieces_are_as_large_as_the_registry_wants_them() -> None:
    content = bytes(5 << 20)
    layer = Descriptor(media_types.LAYER_TAR, Digest.of(content), len(content))
    registry = Uploads(least=4 << 20)
    with scripted(registry) as server, client({server.address: RegistrySettings(upload_chunk=1 << 20)}) as asker:
        asker.push_blob(Reference(server.address, "lab/tool"), layer, io.BytesIO(content))
        assert [len(each.body) for each in server.said("PATCH")] == [4 << 20, 1 << 20]


def test_nothing_is_moved_that_is_there(registry: Uploads, server: Scripted, asker: Client) -> None:
    registry.kept[str(LAYER.digest)] = CONTENT
    assert push(asker, server) == "exists"
    assert methods(server) == ["HEAD"]


def test_empty_content(registry: Uploads, server: Scripted, asker: Client) -> None:
    empty = Descriptor(media_types.EMPTY, Digest.of(b""), 0)
    assert asker.push_blob(Reference(server.address, "lab/tool"), empty, io.BytesIO(), whole=0) == "complete"
    assert registry.kept == {str(empty.digest): b""}


def test_a_connection_that_breaks_at_every_byte(registry: Uploads, server: Scripted, asker: Client) -> None:
    for cut in range(0, len(CONTENT) + 1, 7):
        registry.kept.clear()
        registry.takes = [cut]
        assert push(asker, server) == "complete"
        assert registry.kept == {str(LAYER.digest): CONTENT}
        assert registry.sessions == {}
    resumed = [int(each.headers["content-range"].partition("-")[0]) for each in server.said("PATCH")]
    # a single byte cannot be told from none by the Range of an upload, and is sent again
    assert set(resumed) == {0, *range(7, len(CONTENT), 7)}


def test_a_connection_that_breaks_while_all_goes_in_one(registry: Uploads, server: Scripted, asker: Client) -> None:
    registry.takes = [100, 200]
    assert push(asker, server, whole=1 << 20) == "complete"
    assert registry.kept == {str(LAYER.digest): CONTENT}


def test_a_connection_that_breaks_again_and_again(registry: Uploads, server: Scripted, asker: Client) -> None:
    registry.takes = [20] * 30
    assert push(asker, server) == "complete"
    assert registry.kept == {str(LAYER.digest): CONTENT}
    assert len(server.said("POST")) == 1


def test_a_connection_that_brings_nothing_there(registry: Uploads, server: Scripted) -> None:
    registry.takes = [0] * 1000
    waits = Waits()
    with client(waits=waits) as asker, pytest.raises(RegistryError, match="broke"):
        push(asker, server)
    assert waits.seconds == [0.5, 1, 2, 4]


def test_the_answer_to_the_last_request_is_lost(registry: Uploads, server: Scripted, asker: Client) -> None:
    def script(received: Received) -> Answer:
        answer = registry(received)
        return Answer(raw=b"") if received.method == "PUT" else answer

    server.script = script
    assert push(asker, server) == "complete"
    assert registry.kept == {str(LAYER.digest): CONTENT}
    assert len(server.said("POST")) == 1


def test_a_session_that_is_forgotten_is_begun_anew(registry: Uploads, server: Scripted, asker: Client) -> None:
    def script(received: Received) -> Answer:
        if received.method == "PATCH" and registry.count == 1:
            registry.sessions.clear()
        return registry(received)

    server.script = script
    assert push(asker, server) == "complete"
    assert len(server.said("POST")) == 2
    assert registry.kept == {str(LAYER.digest): CONTENT}


def test_sessions_that_are_always_forgotten(registry: Uploads, server: Scripted, asker: Client) -> None:
    def script(received: Received) -> Answer:
        if received.method == "PATCH":
            registry.sessions.clear()
        return registry(received)

    server.script = script
    with pytest.raises(RegistryError, match="BLOB_UPLOAD_UNKNOWN"):
        push(asker, server)
    assert len(server.said("POST")) == 5


def test_storms(registry: Uploads, server: Scripted) -> None:
    busy = [Answer(429, headers={"Retry-After": "2"}), Answer(503)]
    registry.faults = {method: list(busy) for method in ("POST", "PATCH", "PUT", "HEAD", "GET")}
    waits = Waits()
    with client(waits=waits) as asker:
        assert push(asker, server) == "complete"
    assert registry.kept == {str(LAYER.digest): CONTENT}
    assert waits.seconds.count(2) >= 4


@pytest.mark.parametrize(
    ("method", "answer", "kind", "sentence"),
    [
        ("POST", Answer(401), Unauthorized, "HTTP status 401"),
        ("POST", Answer(403), Unauthorized, "HTTP status 403"),
        ("POST", Answer(202), RegistryError, "does not say where to"),
        ("POST", Answer(202, headers={"Location": "ftp://elsewhere/"}), RegistryError, "no address"),
        ("POST", Answer(307, headers={"Location": "/v2/"}), RegistryError, "HTTP status 307"),
        ("POST", Answer(405, b"<html>", {"Content-Type": "text/html"}), RegistryError, "web page"),
        ("PATCH", Answer(202, headers={"Range": "0-9999"}), RegistryError, "says that it has '0-9999'"),
        ("PATCH", Answer(202, headers={"Range": "5-7"}), RegistryError, "says that it has '5-7'"),
        ("PATCH", Answer(202, headers={"Range": "x"}), RegistryError, "says that it has 'x'"),
        ("PATCH", Answer(413), RegistryError, "HTTP status 413"),
        ("PUT", Answer(400, b'{"errors": [{"code": "DIGEST_INVALID"}]}'), RegistryError, "DIGEST_INVALID"),
        ("PUT", Answer(201, headers={"Docker-Content-Digest": "sha256:0"}), InvalidContent, "in place of"),
        ("PUT", Answer(200), RegistryError, "HTTP status 200"),
    ],
)
def test_lies_and_refusals(
    registry: Uploads,
    server: Scripted,
    asker: Client,
    method: str,
    answer: Answer,
    kind: type[Exception],
    sentence: str,
) -> None:
    registry.faults = {method: [answer] * 20}
    with pytest.raises(kind, match=sentence):
        push(asker, server)


def test_a_place_elsewhere_gets_the_content_and_no_password(registry: Uploads) -> None:
    from kernelbox.registry.credentials import Credentials

    elsewhere = Uploads(sessions={"s": b""})
    with scripted(elsewhere) as second:

        def script(received: Received) -> Answer:
            if "authorization" not in received.headers:
                return Answer(401, headers={"WWW-Authenticate": "Basic"})
            if received.method == "HEAD":
                return Answer(404)
            return Answer(202, headers={"Location": f"http://{second.address}/uploads/s"})

        known = Credentials("me", "p")
        with scripted(script) as first, client(known={first.address: known, second.address: known}) as asker:
            push(asker, first, whole=1 << 20)
        assert [each.method for each in second.received] == ["PUT"]
        assert "authorization" not in second.received[0].headers
    assert elsewhere.kept == {str(LAYER.digest): CONTENT}


def mounting(registry: Uploads, status: int) -> Callable[[Received], Answer]:
    def script(received: Received) -> Answer:
        if "mount" in received.query and status != 202:
            return Answer(status, headers={"Docker-Content-Digest": str(LAYER.digest)})
        return registry(received)

    return script


def test_a_blob_of_another_repository_is_mounted(registry: Uploads, server: Scripted, asker: Client) -> None:
    server.script = mounting(registry, 201)
    assert push(asker, server, mount_from=["lab/base"]) == "mounted"
    assert server.received[-1].query == {"mount": [str(LAYER.digest)], "from": ["lab/base"]}
    assert methods(server) == ["HEAD", "POST"]


@pytest.mark.parametrize("status", [202, 401, 403, 404, 405])
def test_what_cannot_be_mounted_is_moved(registry: Uploads, server: Scripted, asker: Client, status: int) -> None:
    server.script = mounting(registry, status)
    assert push(asker, server, mount_from=["lab/base"]) == "complete"
    assert registry.kept == {str(LAYER.digest): CONTENT}
    assert registry.sessions == {}  # the one that it began instead is used
    assert len(server.said("POST")) == (1 if status == 202 else 2)


def test_the_right_to_read_the_other_repository_is_asked_for(registry: Uploads) -> None:
    def script(received: Received) -> Answer:
        if received.path == "/token":
            return Answer(body=b'{"token": "abc"}')
        if "authorization" not in received.headers:
            challenge = f'Bearer realm="http://{received.headers["host"]}/token"'
            return Answer(401, headers={"WWW-Authenticate": challenge})
        return Answer(201) if "mount" in received.query else registry(received)

    with scripted(script) as server, client() as asker:
        push(asker, server, mount_from=["lab/base"])
        assert server.said("GET", "/token")[-1].query["scope"] == [
            "repository:lab/base:pull",
            "repository:lab/tool:pull,push",
        ]


def test_a_file_that_is_shorter_than_it_should_be(registry: Uploads, server: Scripted, asker: Client) -> None:
    with pytest.raises(InvalidContent, match="ends 1 bytes before it should"):
        asker.push_blob(Reference(server.address, "lab/tool"), LAYER, io.BytesIO(CONTENT[:-1]))
    assert registry.kept == {}


def test_a_file_is_read_while_it_is_sent(registry: Uploads, server: Scripted, asker: Client, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    with (tmp_path / "file").open("rb", buffering=0) as file:
        asker.push_blob(Reference(server.address, "lab/tool"), LAYER, file)
        assert not file.closed
    assert registry.kept == {str(LAYER.digest): CONTENT}
