"""Clients that go away, lie, and ask for what is not theirs: they are answered in the words of the specification, or
not at all, and nothing of theirs shows."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from unit.registry.asking import Asker, asker, connected
from unit.registry.served_images import CONFIG, IMAGE, LAYER
from waiting import wait_until

from kernelbox.oci import media_types
from kernelbox.oci.digest import Digest
from kernelbox.registry.server.serving import Running, registry

CONTENT = bytes(range(256)) * 2048  # half a megabyte: several reads
OFFSETS = (0, 1, 100, 65536, 65537, 262143, 262145, len(CONTENT) - 1)
DIGEST = Digest.of(CONTENT)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with registry(tmp_path / "storage") as served:
        yield served


@pytest.fixture
def ask(running: Running) -> Asker:
    return asker(running)


def on_wire(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode("latin-1")


def answer_to(running: Running, request: str) -> bytes:
    """What comes back until the registry hangs up."""
    with connected(running) as connection:
        connection.sendall(on_wire(request))
        return b"".join(iter(lambda: connection.recv(65536), b""))


def head(method: str, path: str, length: int | str, *more: str) -> bytes:
    return on_wire("\n".join([f"{method} {path} HTTP/1.1", "Host: here", f"Content-Length: {length}", *more, "", ""]))


def uploads_in(running: Running) -> list[int]:
    """The sizes of those that have begun."""
    found = []
    for path in (running.storage / "uploads").glob("*"):
        with contextlib.suppress(FileNotFoundError):  # it has just gone
            found.append(path.stat().st_size)
    return found


def blobs_in(running: Running) -> list[str]:
    folder = running.storage / "blobs" / "sha256"
    return [path.name for path in folder.iterdir()] if folder.exists() else []


@pytest.mark.parametrize("offset", OFFSETS)
def test_a_chunk_that_breaks_off_is_gone_on_with(running: Running, ask: Asker, offset: int) -> None:
    where = ask.begin("lab/tool")
    with connected(running) as connection:
        connection.sendall(head("PATCH", where, len(CONTENT)) + CONTENT[:offset])
        wait_until(lambda: uploads_in(running) == [offset], "what was sent has come")
    assert blobs_in(running) == []
    assert ask("PATCH", where, b"").headers["range"] == f"0-{max(offset - 1, 0)}"
    rest = {"Content-Range": f"{offset}-{len(CONTENT) - 1}"}
    assert ask("PUT", f"{where}?digest={DIGEST}", CONTENT[offset:], rest).status == 201
    assert ask.blob("lab/tool", DIGEST).body == CONTENT


@pytest.mark.parametrize("offset", OFFSETS)
def test_a_push_at_once_that_breaks_off_leaves_nothing(running: Running, ask: Asker, offset: int) -> None:
    with connected(running) as connection:
        wanted = head("POST", f"/v2/lab/tool/blobs/uploads/?digest={DIGEST}", len(CONTENT))
        connection.sendall(wanted + CONTENT[:offset])
        wait_until(lambda: uploads_in(running) == [offset], "what was sent has come")
    wait_until(lambda: not uploads_in(running), "the upload has gone")
    assert (ask.blob("lab/tool", DIGEST).status, blobs_in(running)) == (404, [])


@pytest.mark.parametrize("offset", [0, 1, len(IMAGE.raw) // 2, len(IMAGE.raw) - 1])
def test_a_manifest_that_breaks_off_is_none(running: Running, ask: Asker, offset: int) -> None:
    for content in (CONFIG, LAYER):
        ask.push("lab/tool", content)
    typed = f"Content-Type: {media_types.MANIFEST}"
    with connected(running) as connection:
        connection.sendall(head("PUT", "/v2/lab/tool/manifests/one", len(IMAGE.raw), typed) + IMAGE.raw[:offset])
        wait_until(lambda: "requests_in_flight 2" in ask("GET", "/metrics").body.decode(), "it has begun")
    assert (ask("GET", "/v2/lab/tool/manifests/one").status, ask.tags("lab/tool")) == (404, [])


def test_a_reader_who_goes_away_harms_nobody(running: Running, ask: Asker) -> None:
    ask.push("lab/tool", CONTENT)
    for _ in range(5):
        with connected(running) as connection:
            connection.sendall(f"GET /v2/lab/tool/blobs/{DIGEST} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
            assert connection.recv(1)
    assert ask.blob("lab/tool", DIGEST).body == CONTENT


def test_flipped_bits_are_found_at_every_place(running: Running, ask: Asker) -> None:
    for place in (0, 1, len(CONTENT) // 2, len(CONTENT) - 1):
        wrong = bytearray(CONTENT)
        wrong[place] ^= 1
        answer = ask("POST", f"/v2/lab/tool/blobs/uploads/?digest={DIGEST}", bytes(wrong))
        assert (answer.status, answer.code) == (400, "DIGEST_INVALID")
    assert (blobs_in(running), list((running.storage / "uploads").iterdir())) == ([], [])


@pytest.mark.parametrize("said", ["0-9", "0-11", "-1-5", "0-", "0", "0x0-0xa", f"0-{10**30}", "٠-٩", "0-9;0-9"])
def test_content_ranges_that_lie(ask: Asker, said: str) -> None:
    where = ask.begin("lab/tool")
    answer = ask("PATCH", where, iter([b"0123456", b"789X"]), {"Content-Range": said.encode().decode("latin-1")})
    assert answer.status in (400, 416)
    assert ask("GET", where).headers["range"] == "0-0"


NO_NAMES = ("..", "%2e%2e", "a/../b", "a/%2e%2e/b", "a%2f..%2fb", "A", "a//b", "-a", "a" * 256, "a\\b", "%00", "a%0ab")


@pytest.mark.parametrize("what", ["tags/list", f"blobs/{DIGEST}", "manifests/one", f"referrers/{DIGEST}"])
def test_names_that_are_none(ask: Asker, what: str) -> None:
    ask.push("lab/tool", CONTENT)
    answers = {name: ask("GET", f"/v2/{name}/{what}") for name in (*NO_NAMES, "a__.b", "a/")}
    assert {name: answer.code for name, answer in answers.items()} == dict.fromkeys(answers, "NAME_INVALID")


@pytest.mark.parametrize(
    "request_",
    [
        "GET /v2/ HTTP/9.9\n\n",
        "GET\n\n",
        "\x00\x01\x02\n\n",
        f"GET /v2/{'a' * 100_000} HTTP/1.1\n\n",
        "GET /v2/ HTTP/1.1\n" + "X: y\n" * 10_000 + "\n",
        "PUT /v2/a/manifests/x HTTP/1.1\nHost: a\nContent-Length: 5\nContent-Length: 6\n\n",
        "PUT /v2/a/manifests/x HTTP/1.1\nHost: a\nContent-Length: -5\n\n",
        "PUT /v2/a/manifests/x HTTP/1.1\nHost: a\nContent-Length: 5\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n",
        "PUT /v2/a/manifests/x HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\nZZ\nhello\n0\n\n",
    ],
    ids=range(9),
)
def test_what_is_no_http(running: Running, ask: Asker, request_: str, capfd: pytest.CaptureFixture[str]) -> None:
    answer = answer_to(running, request_)
    assert answer == b"" or answer.split()[1] == b"400"
    assert ask("GET", "/v2/").status == 200
    assert capfd.readouterr().err == ""


def test_large_manifests_are_refused_unread(running: Running) -> None:
    with connected(running) as connection:
        connection.sendall(head("PUT", "/v2/lab/tool/manifests/one", 100 << 20))
        assert connection.recv(65536).split()[1] == b"413"


def test_large_manifests_of_no_length_are_refused_before_their_end(running: Running) -> None:
    with connected(running) as connection:
        connection.sendall(
            on_wire("PUT /v2/lab/tool/manifests/one HTTP/1.1\nHost: here\nTransfer-Encoding: chunked\n\n")
        )
        for _ in range(5):
            connection.sendall(b"100000\r\n" + bytes(1 << 20) + b"\r\n")
        assert connection.recv(65536).split()[1] == b"413"


def test_whoever_asks_whether_to_send_hears_it_first(running: Running, ask: Asker) -> None:
    where = ask.begin("lab/tool")
    with connected(running) as connection:
        wanted = head("PUT", f"{where}?digest={Digest.of(LAYER)}", len(LAYER), "Expect: 100-continue")
        connection.sendall(wanted)
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(LAYER)
        assert connection.recv(65536).split()[1] == b"201"
    with connected(running) as connection:
        refused = head("PUT", "/v2/lab/tool/manifests/one", 5 << 20, "Expect: 100-continue")
        connection.sendall(refused)
        assert connection.recv(65536).split()[1] == b"413"


def test_a_blob_is_not_read_through_another_repository(ask: Asker) -> None:
    ask.push("lab/secret", CONTENT)
    assert ask.blob("lab/tool", DIGEST).code == "BLOB_UNKNOWN"
    assert ask.blob("lab/tool", DIGEST, "HEAD").status == 404
    manifest = json.loads(IMAGE.raw)
    manifest["layers"][0] |= {"digest": str(DIGEST), "size": len(CONTENT)}
    ask.push("lab/tool", CONFIG)
    answer = ask.put("lab/tool", "one", json.dumps(manifest).encode())
    assert answer.code == "MANIFEST_BLOB_UNKNOWN"
    where = ask.begin("lab/secret")
    assert ask("PATCH", where.replace("lab/secret", "lab/tool"), b"x").code == "BLOB_UPLOAD_UNKNOWN"


def test_one_upload_has_one_writer(running: Running, ask: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kernelbox.registry.server.pushes._TRIES", 1)
    where = ask.begin("lab/tool")
    with connected(running) as first:
        first.sendall(head("PATCH", where, 10) + b"01234")
        wait_until(lambda: uploads_in(running) == [5], "the first half has come")
        answer = ask("PATCH", where, b"other")
        assert (answer.status, answer.code) == (429, "TOOMANYREQUESTS")
        assert answer.headers["retry-after"] == "1"
        first.sendall(b"56789")
        assert first.recv(65536).split()[1] == b"202"
    assert ask("PUT", f"{where}?digest={Digest.of(b'0123456789')}").status == 201


def test_content_that_was_damaged_on_disk_is_not_given_and_can_be_brought_again(running: Running, ask: Asker) -> None:
    digest = ask.push("lab/tool", CONTENT)
    ask.push("lab/tool", CONFIG)
    ask.push("lab/tool", LAYER)
    ask.put("lab/tool", "one", IMAGE.raw)
    blobs = running.storage / "blobs" / "sha256"
    (blobs / digest.encoded).write_bytes(CONTENT[:-1])
    (blobs / IMAGE.digest.encoded).write_bytes(b"x" * len(IMAGE.raw))
    assert ask.blob("lab/tool", digest).code == "BLOB_UNKNOWN"
    assert ask("GET", "/v2/lab/tool/manifests/one").code == "MANIFEST_UNKNOWN"
    ask.push("lab/tool", CONTENT)
    ask.put("lab/tool", "one", IMAGE.raw)
    assert ask.blob("lab/tool", digest).body == CONTENT
    assert ask("GET", "/v2/lab/tool/manifests/one").body == IMAGE.raw


SERVED = """
import resource, sys, threading
from pathlib import Path
from kernelbox.registry.server.serving import registry
with registry(Path(sys.argv[1])) as running:
    print(running.address, flush=True)
    sys.stdin.read()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, flush=True)
"""


def test_memory_does_not_grow_with_what_moves(tmp_path: Path) -> None:
    def peak(size: int) -> int:
        """Of a registry, in KiB, that takes so many bytes in two ways and gives them to eight readers at once."""
        command = [sys.executable, "-c", textwrap.dedent(SERVED), str(tmp_path / str(size))]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            assert server.stdin is not None
            ask = Asker(server.stdout.readline().strip())
            piece = bytes(1 << 20)
            digest = Digest.of(piece * size)
            pieces = [piece] * size
            assert ask("POST", f"/v2/a/blobs/uploads/?digest={digest}", iter(pieces)).status == 201
            where = ask.begin("b")
            assert ask("PATCH", where, iter(pieces)).status == 202
            assert ask("PUT", f"{where}?digest={digest}").status == 201
            readers = [socket.create_connection(tuple_of(ask.address)) for _ in range(8)]
            for each in readers:
                each.sendall(f"GET /v2/a/blobs/{digest} HTTP/1.0\r\n\r\n".encode())
            for each in readers:
                with each:
                    assert sum(map(len, iter(lambda: each.recv(1 << 20), b""))) > size << 20  # noqa: B023
            server.stdin.close()
            return int(server.stdout.readline())

    assert peak(96) - peak(1) < 24 << 10


def tuple_of(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)
