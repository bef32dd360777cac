"""A server that does as a test tells it, however wrong: on a loopback port, in threads that end with the block."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Received:
    """A request as it came; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)


@dataclass
class Answer:
    """`length` is what Content-Length says, if not the truth; after `cut` bytes of the body the connection is dropped.
    `raw` is sent in place of all that. With `hang` nothing more comes after what there is, until the server ends."""

    status: int = 200
    body: bytes | Iterable[bytes] = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None
    cut: int | None = None
    raw: bytes | None = None
    hang: bool = False


Script = Callable[[Received], Answer]


class Scripted:
    """`received` has every request, in the order of their arrival."""

    def __init__(self, script: Script, context: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.received: list[Received] = []
        self.take: Callable[[str, str], int | None] = lambda method, target: None
        """How many bytes of the body of a request are read before the connection is dropped; None for all of it."""
        self.ending = threading.Event()
        self.connections: set[socket.socket] = set()
        self.mutex = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"scripted": self}))
        self._server.daemon_threads = False
        if context is not None:
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def said(self, method: str, path: str = "") -> list[Received]:
        """Those of a method, and of a path that ends so."""
        return [each for each in self.received if each.method == method and each.path.endswith(path)]

    def close(self) -> None:
        self.ending.set()
        self._server.shutdown()
        with self.mutex:
            for each in self.connections:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(each, socket.SHUT_RDWR)
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    """Of one connection."""

    scripted: Scripted
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        with self.scripted.mutex:
            self.scripted.connections.add(self.request)
        super().setup()

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            super().handle()

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()
        with self.scripted.mutex:
            self.scripted.connections.discard(self.request)

    def log_message(self, *_: Any) -> None:
        pass

    def serve_one(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        taken = self.scripted.take(self.command, self.path)
        body = self.rfile.read(length if taken is None else min(taken, length))
        headers = {name.lower(): value for name, value in self.headers.items()}
        received = Received(self.command, self.path, headers, body)
        self.scripted.received.append(received)
        answer = self.scripted.script(received)
        if taken is None:
            self.send(answer)
        else:
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = serve_one  # noqa: N815

    def send(self, answer: Answer) -> None:
        if answer.raw is not None:
            self.wfile.write(answer.raw)
            self.close_connection = True
        else:
            self.send_usual(answer)
        if answer.hang:
            self.scripted.ending.wait()
            self.close_connection = True

    def send_usual(self, answer: Answer) -> None:
        self.send_response(answer.status)
        whole = answer.body if isinstance(answer.body, bytes) else None
        length = answer.length if answer.length is not None else None if whole is None else len(whole)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if length is not None and "Content-Length" not in answer.headers:
            self.send_header("Content-Length", str(length))
        if length is None or (whole is not None and length != len(whole)) or answer.cut is not None:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if self.command == "HEAD":
            return
        if whole is not None:
            self.wfile.write(whole if answer.cut is None else whole[: answer.cut])
        else:
            for piece in answer.body:
                self.wfile.write(piece)  # type: ignore[arg-type]


@contextlib.contextmanager
def scripted(script: Script, context: ssl.SSLContext | None = None) -> Iterator[Scripted]:
    server = Scripted(script, context)
    try:
        yield server
    finally:
        server.close()
