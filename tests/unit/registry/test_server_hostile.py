"""Clients that mean harm, or only very much: what they get is bounded, and everybody else is served as before."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import image_documents as documents
import pytest
import registry_requests as requests
from commands import COMMAND
from hypothesis import given
from hypothesis import strategies as st
from registry_requests import ask, send

from kernelbox.errors import RegistryError
from kernelbox.oci.reference import is_repository
from kernelbox.registry.server import app
from kernelbox.registry.server.failures import CODES
from kernelbox.registry.server.serving import Running, registry
from kernelbox.registry.server.target import parse

MIB = 1 << 20


@pytest.fixture
def reg(tmp_path: Path) -> Iterator[Running]:
    with registry(tmp_path / "storage") as running:
        yield running


@contextmanager
def process(storage: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server of its own, and its address."""
    command = [*COMMAND, "registry", "serve", "--listen", "127.0.0.1:0", "--storage", str(storage)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout
        assert server.stderr
        try:
            yield server, server.stdout.readline().split()[0].removeprefix("http://")
            server.send_signal(signal.SIGTERM)
            assert (server.wait(30), server.stderr.read()) == (0, "")
        finally:
            server.kill()


def peak(server: subprocess.Popen[str]) -> int:
    """Bytes of memory that it has had at most."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{server.pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="?#"), max_size=60))
def test_no_path_is_read_as_a_name_that_is_none(text: str) -> None:
    for path in (text, f"/v2/{text}", f"/v2/{text}/blobs/sha256:00", f"/v2/{text}/tags/list"):
        with contextlib.suppress(RegistryError):
            target = parse(path)
            assert not target.repository or is_repository(target.repository)


def test_every_code_is_a_word_as_the_specification_wants_it() -> None:
    assert all(re.fullmatch("[A-Z_]+", code) and status >= 400 for code, status in CODES.items())


@pytest.mark.parametrize("path", ["manifests/1", "manifests/sha256:" + "0" * 64])
def test_a_manifest_of_100_mb_is_refused_unread(reg: Running, path: str) -> None:
    head = f"PUT /v2/lab/tool/{path} HTTP/1.1\r\nHost: x\r\nContent-Length: {100 * MIB}\r\nConnection: close\r\n\r\n"
    answer = send(reg.address, head.encode())
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"SIZE_INVALID" in answer


def test_a_manifest_that_does_not_say_how_long_it_is(reg: Running) -> None:
    piece = b"%x\r\n%s\r\n" % (MIB, b" " * MIB)
    head = (
        b"PUT /v2/lab/tool/manifests/1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )
    assert send(reg.address, head + piece * 4 + b"1\r\n \r\n").startswith(b"HTTP/1.1 413 ")
    assert b"MANIFEST_INVALID" in send(reg.address, head + piece * 4 + b"0\r\n\r\n"), "4 MiB are read"


def test_the_largest_manifest_is_taken_and_given(reg: Running) -> None:
    requests.push_image(reg.address, "lab/tool", "1")
    small = len(requests.image(annotations={"a": ""}))
    manifest = requests.image(annotations={"a": "a" * (4 * MIB - small)})
    assert len(manifest) == 4 * MIB
    digest = requests.push_manifest(reg.address, "lab/tool", manifest, "big")
    for reference in ("big", str(digest)):
        answer = ask(reg.address, "GET", f"/v2/lab/tool/manifests/{reference}")
        assert (answer.body, answer.headers["Content-Type"]) == (manifest, documents.MANIFEST)


NO_REQUESTS = (
    b"GET /v2/ HTTP/1.1\r\nHost: x\r\n" + b"A: " + b"a" * 100_000 + b"\r\n\r\n",
    b"GET /v2/" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v2/ HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 1000 + b"\r\n",
    b"POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    b"POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"\0" * 1000,
)


def test_what_is_no_request_is_refused_and_fills_no_log(tmp_path: Path) -> None:
    with process(tmp_path) as (_, address):
        for raw in NO_REQUESTS:
            assert send(address, raw).split(b" ")[1] == b"400"
        for number in range(0, 200, 7):
            send(address, b"GET /v2/ HTTP/1.1\r\nHost: x\r\nAccept: a/b\r\n\r\n"[:number], wait=False)
        assert ask(address, "GET", "/v2/").status == 200


def test_who_comes_when_there_are_too_many_is_asked_to_come_again(
    reg: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "MOST_REQUESTS", 3)
    host, _, port = reg.address.rpartition(":")
    with ExitStack() as waiting:
        for _ in range(3):
            place = requests.begin(reg.address, "lab/tool")
            connection = waiting.enter_context(socket.create_connection((host, int(port))))
            connection.sendall(f"PATCH {place} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n".encode())
            connection.sendall(b"Expect: 100-continue\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        answer = ask(reg.address, "GET", "/v2/lab/tool/tags/list")
        assert (answer.status, answer.code, answer.headers["Retry-After"]) == (429, "TOOMANYREQUESTS", "1")
    assert ask(reg.address, "GET", "/v2/lab/tool/tags/list").status in (404, 429)


def test_damage_on_the_disk_is_not_handed_out_as_a_manifest(reg: Running) -> None:
    digest = requests.push_image(reg.address, "lab/tool", "1")
    path = reg.storage / "blobs/sha256" / digest.encoded
    path.write_bytes(path.read_bytes().replace(b"2", b"3", 1))
    assert ask(reg.address, "GET", "/v2/lab/tool/manifests/1").code == "MANIFEST_UNKNOWN"
    requests.push_manifest(reg.address, "lab/tool", requests.image(), "1")
    assert ask(reg.address, "GET", "/v2/lab/tool/manifests/1").status == 200, "put again it is well"


def test_a_blob_that_the_disk_has_lost_is_taken_again(reg: Running) -> None:
    digest = requests.push_blob(reg.address, "lab/tool", b"content")
    (reg.storage / "blobs/sha256" / digest.encoded).write_bytes(b"cont")
    for method in ("HEAD", "GET"):
        assert ask(reg.address, method, f"/v2/lab/tool/blobs/{digest}").status == 404
    requests.push_blob(reg.address, "lab/tool", b"content")
    assert ask(reg.address, "GET", f"/v2/lab/tool/blobs/{digest}").body == b"content"


def test_memory_stays_flat_with_many_who_read_and_write(tmp_path: Path) -> None:
    size, clients = 128 * MIB, 32
    block = os.urandom(MIB)
    digest = hashlib.sha256(block * (size // MIB)).hexdigest()
    with process(tmp_path) as (server, address):
        ask(address, "GET", "/metrics")
        before = peak(server)
        place = requests.begin(address, "lab/big")
        threads = [threading.Thread(target=_send_much, args=(address, place, digest, block, size))]
        _run(threads)
        found: list[tuple[int, bool]] = []
        threads = [threading.Thread(target=_read_much, args=(address, digest, block, found)) for _ in range(clients)]
        _run(threads)
        assert found == [(size, True)] * clients
        assert peak(server) - before < 48 * MIB


def _run(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _connected(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=120)


def _send_much(address: str, place: str, digest: str, block: bytes, size: int) -> None:
    with _connected(address) as connection:
        head = f"PUT {place}?digest=sha256:{digest} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n"
        connection.sendall(head.encode())
        for _ in range(size // len(block)):
            connection.sendall(block)
        assert connection.recv(100).startswith(b"HTTP/1.1 201 ")


def _read_much(address: str, digest: str, block: bytes, found: list[tuple[int, bool]]) -> None:
    """Each block is compared, which is quicker than a hash."""
    with _connected(address) as connection, connection.makefile("rb") as file:
        connection.sendall(f"GET /v2/lab/big/blobs/sha256:{digest} HTTP/1.1\r\nHost: x\r\n".encode())
        connection.sendall(b"Connection: close\r\n\r\n")
        while file.readline() != b"\r\n":
            pass
        count, right = 0, True
        while piece := file.read(len(block)):
            count += len(piece)
            right = right and piece == block
        found.append((count, right))


def test_a_hostile_manifest_takes_no_more_than_it_may(tmp_path: Path) -> None:
    # Lists in a list are what JSON makes most of; sixteen are sent at once.
    raw = b"[" + b"[]," * (4 * MIB // 3 - 2) + b"[]]"
    assert len(raw) <= 4 * MIB
    assert isinstance(json.loads(raw), list)
    with process(tmp_path) as (server, address):
        ask(address, "GET", "/metrics")
        before = peak(server)
        answers: list[str] = []

        def put() -> None:
            answers.append(ask(address, "PUT", "/v2/lab/tool/manifests/1", raw).code)

        _run([threading.Thread(target=put) for _ in range(16)])
        assert answers == ["MANIFEST_INVALID"] * 16
        assert peak(server) - before < 500 * MIB
