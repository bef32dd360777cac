"""Uploads: whole, in chunks, broken off and gone on with, by another server, after another end, and by clients that do
it wrong."""

from __future__ import annotations

import hashlib
import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import registry_requests as requests
from registry_requests import ABSENT, ask, begin, send, stored
from waiting import wait_until

from kernelbox.oci.digest import Digest
from kernelbox.registry.server import pushes
from kernelbox.registry.server.serving import Running, registry

CONTENT = random.Random(1).randbytes(300_000)
DIGEST = Digest.of(CONTENT)
PLACE = f"blobs/sha256/{DIGEST.encoded}"


@pytest.fixture
def reg(tmp_path: Path) -> Iterator[Running]:
    with registry(tmp_path / "storage") as running:
        yield running


def patch(address: str, place: str, content: bytes, start: int | None = None) -> requests.Answer:
    headers = {} if start is None else {"Content-Range": f"{start}-{start + len(content) - 1}"}
    return ask(address, "PATCH", place, content, headers)


def finish(address: str, place: str, digest: Digest = DIGEST, content: bytes = b"", **headers: str) -> requests.Answer:
    return ask(address, "PUT", f"{place}?digest={digest}", content, headers)


def come(address: str, place: str) -> int:
    """How much has come, as the registry says it; "0-0" may be one byte or none."""
    answer = ask(address, "GET", place)
    assert answer.status == 204
    assert answer.headers["Location"] == place
    last = int(answer.headers["Range"].removeprefix("0-"))
    return last + 1 if last else 0


def go_on(address: str, place: str) -> int:
    """As a client does that has lost its connection; the registry may not have noticed yet."""
    there = come(address, place)
    return finish(address, place, content=CONTENT[there:], **{"Content-Range": f"{there}-{len(CONTENT) - 1}"}).status


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("expected", ["", "?digest-algorithm=sha512"])
def test_chunks_and_an_end(reg: Running, algorithm: str, expected: str) -> None:
    digest = Digest.of(CONTENT, algorithm)
    place = ask(reg.address, "POST", f"/v2/lab/tool/blobs/uploads/{expected}", b"").headers["Location"]
    for start in range(0, 200_000, 50_000):
        answer = patch(reg.address, place, CONTENT[start : start + 50_000], start)
        assert (answer.status, answer.headers["Range"]) == (202, f"0-{start + 49_999}")
        place = answer.headers["Location"]
    assert come(reg.address, place) == 200_000
    answer = finish(reg.address, place, digest, CONTENT[200_000:], **{"Content-Range": "200000-299999"})
    assert (answer.status, answer.headers["Location"]) == (201, f"/v2/lab/tool/blobs/{digest}")
    assert ask(reg.address, "GET", answer.headers["Location"]).body == CONTENT
    assert stored(reg.storage) == {f"blobs/{algorithm}/{digest.encoded}"}
    assert finish(reg.address, place, digest).status == 404, "an upload ends once"


def test_one_stream_of_unknown_length(reg: Running) -> None:
    place = begin(reg.address, "lab/tool")
    pieces = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (CONTENT[:7], CONTENT[7:100_000]))
    head = f"PATCH {place} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    assert send(reg.address, head.encode() + pieces + b"0\r\n\r\n").startswith(b"HTTP/1.1 202 ")
    assert finish(reg.address, place, content=CONTENT[100_000:]).status == 201
    assert stored(reg.storage) == {PLACE}


@pytest.mark.parametrize("said", ["50-59", "9-18", "11-20", "0-9"])
def test_chunks_that_are_out_of_order(reg: Running, said: str) -> None:
    place = begin(reg.address, "lab/tool")
    patch(reg.address, place, CONTENT[:10], 0)
    for method, where in (("PATCH", place), ("PUT", f"{place}?digest={DIGEST}")):
        answer = ask(reg.address, method, where, bytes(10), {"Content-Range": said})
        assert (answer.status, answer.code) == (416, "BLOB_UPLOAD_INVALID")
        assert (answer.headers["Location"], answer.headers["Range"]) == (place, "0-9"), "where it goes on"
    assert finish(reg.address, place, content=CONTENT[10:]).status == 201


@pytest.mark.parametrize(
    "said", ["", "x", "10-", "-10", "10", "9-0", "0-9-", "bytes 0-9/x", "0-99999999999999999999999"]
)
def test_ranges_that_are_none(reg: Running, said: str) -> None:
    place = begin(reg.address, "lab/tool")
    answer = ask(reg.address, "PATCH", place, bytes(10), {"Content-Range": said})
    assert (answer.status, answer.code) == (416, "BLOB_UPLOAD_INVALID")
    assert come(reg.address, place) == 0


def test_a_range_in_the_words_of_http(reg: Running) -> None:
    place = begin(reg.address, "lab/tool")
    assert ask(reg.address, "PATCH", place, CONTENT[:10], {"Content-Range": "bytes 0-9/300000"}).status == 202
    assert come(reg.address, place) == 10


@pytest.mark.parametrize(("said", "length"), [("0-9", 9), ("0-9", 11), ("0-9", 200_000)])
@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_that_is_not_as_long_as_its_range(reg: Running, said: str, length: int, chunked: bool) -> None:
    place = begin(reg.address, "lab/tool")
    size = f"Content-Length: {length}" if not chunked else "Transfer-Encoding: chunked"
    head = f"PATCH {place} HTTP/1.1\r\nHost: x\r\nContent-Range: {said}\r\n{size}\r\nConnection: close\r\n\r\n"
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (length, bytes(length)) if chunked else bytes(length)
    answer = send(reg.address, head.encode() + body)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"SIZE_INVALID" in answer
    assert come(reg.address, place) == 0, "nothing of it stays"
    assert finish(reg.address, place, content=CONTENT).status == 201


def test_what_comes_with_a_wrong_digest_is_not_kept(reg: Running) -> None:
    place = begin(reg.address, "lab/tool")
    patch(reg.address, place, CONTENT)
    answer = finish(reg.address, place, ABSENT)
    assert (answer.status, answer.code) == (400, "DIGEST_INVALID")
    assert ask(reg.address, "GET", place).status == 404
    assert ask(reg.address, "HEAD", f"/v2/lab/tool/blobs/{ABSENT}").status == 404
    assert stored(reg.storage) == set()
    for wrong in ("", "sha256:1", "md5:00", "sha256:" + "0" * 63 + "G"):
        place = begin(reg.address, "lab/tool")
        answer = ask(reg.address, "PUT", f"{place}?digest={wrong}", CONTENT)
        assert (answer.status, answer.code) == (400, "DIGEST_INVALID")


def test_an_upload_is_given_up(reg: Running) -> None:
    place = begin(reg.address, "lab/tool")
    patch(reg.address, place, CONTENT)
    assert ask(reg.address, "DELETE", place).status == 204
    assert ask(reg.address, "GET", place).status == 404
    assert stored(reg.storage) == set()


def test_an_upload_belongs_to_its_repository(reg: Running) -> None:
    place = begin(reg.address, "lab/tool").replace("lab/tool", "lab/other")
    assert patch(reg.address, place, CONTENT).code == "BLOB_UPLOAD_UNKNOWN"
    assert ask(reg.address, "DELETE", place).code == "BLOB_UPLOAD_UNKNOWN"


def test_a_client_is_asked_for_its_body_only_when_it_may_send_it(reg: Running) -> None:
    place = begin(reg.address, "lab/tool")
    host, _, port = reg.address.rpartition(":")
    for where, wanted in ((place, b"HTTP/1.1 100 "), ("/v2/lab/tool/blobs/uploads/none", b"HTTP/1.1 404 ")):
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            head = f"PATCH {where} HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\nExpect: 100-continue\r\n\r\n"
            connection.sendall(head.encode())
            assert connection.recv(1 << 16).startswith(wanted)
            if wanted == b"HTTP/1.1 100 ":
                connection.sendall(CONTENT)
                assert connection.recv(1 << 16).startswith(b"HTTP/1.1 202 ")
    assert finish(reg.address, place).status == 201


def test_uploads_that_break_off_are_gone_on_with(reg: Running) -> None:
    # At every byte of the head's end and the body's beginning, and then further and further apart.
    for offset in [*range(12), 100, 65_535, 65_536, 65_537, 131_072, 262_144, 299_999]:
        place = begin(reg.address, "lab/tool")
        head = f"PATCH {place} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(CONTENT)}\r\n\r\n"
        send(reg.address, (head.encode() + CONTENT)[: len(head) - 2 + offset], wait=False)
        wait_until(lambda place=place: go_on(reg.address, place) == 201)
        assert stored(reg.storage) == {PLACE}


def test_a_whole_blob_that_breaks_off_leaves_nothing(reg: Running) -> None:
    path = f"/v2/lab/tool/blobs/uploads/?digest={DIGEST}"
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(CONTENT)}\r\n\r\n"
    for offset in (0, 1, 65_536, 200_000, 299_999):
        send(reg.address, head.encode() + CONTENT[:offset], wait=False)
    assert requests.push_blob(reg.address, "lab/tool", b"another")
    wait_until(lambda: len(stored(reg.storage)) == 1)
    assert ask(reg.address, "HEAD", f"/v2/lab/tool/blobs/{DIGEST}").status == 404


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_another_server_goes_on(tmp_path: Path, algorithm: str) -> None:
    digest = Digest.of(CONTENT, algorithm)
    with registry(tmp_path) as one, registry(tmp_path) as two:
        place = begin(one.address, "lab/tool")
        patch(two.address, place, CONTENT[:1000])
        patch(one.address, place, CONTENT[1000:2000], 1000)
        patch(two.address, place, CONTENT[2000:3000], 2000)
    with registry(tmp_path) as three:
        assert come(three.address, place) == 3000
        assert finish(three.address, place, digest, CONTENT[3000:]).status == 201
    with registry(tmp_path) as four:
        assert ask(four.address, "GET", f"/v2/lab/tool/blobs/{digest}").body == CONTENT


def test_two_do_not_write_to_one_upload_at_once(reg: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushes, "_TRIES", 2)
    place = begin(reg.address, "lab/tool")
    host, _, port = reg.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as first:
        first.sendall(f"PATCH {place} HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n".encode() + CONTENT[:10])
        wait_until(lambda: come(reg.address, place) == 10)
        answer = patch(reg.address, place, b"x")
        assert (answer.status, answer.code, answer.headers["Retry-After"]) == (429, "TOOMANYREQUESTS", "1")
        first.sendall(CONTENT[10:])
        assert first.recv(1 << 16).startswith(b"HTTP/1.1 202 ")
    assert finish(reg.address, place).status == 201


def test_many_bring_the_same_and_others_at_once(reg: Running) -> None:
    contents = [bytes([number]) * 100_000 for number in range(4)]
    failed: list[object] = []

    def push(number: int) -> None:
        try:
            for _ in range(3):
                requests.push_image(reg.address, f"lab/r{number % 3}", "1", contents[number % 4])
        except AssertionError as error:
            failed.append(error)

    threads = [threading.Thread(target=push, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    for number, content in enumerate(contents):
        answer = ask(reg.address, "GET", f"/v2/lab/r{number % 3}/blobs/{Digest.of(content)}")
        assert hashlib.sha256(answer.body).hexdigest() == Digest.of(content).encoded
    assert not [name for name in stored(reg.storage) if not name.startswith("blobs/sha256/")]
