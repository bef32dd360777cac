"""A wire that breaks: it forwards to a server on this machine, and drops connections after so many bytes."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator


class Breaking:
    """`up` and `down` are how many bytes the next connections carry to the server and from it before they are dropped;
    those after the last carry everything."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = host, int(port)
        self.up: list[int] = []
        self.down: list[int] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: set[socket.socket] = set()
        self._mutex = threading.Lock()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listener.close()
        with self._mutex:
            for each in self._open:
                _shut(each)
        for thread in self._threads[1:]:
            thread.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                with self._mutex:
                    self._open |= {near, far}
                left = [2]
                for source, sink, limits in ((near, far, self.up), (far, near, self.down)):
                    limit = limits.pop(0) if limits else None
                    thread = threading.Thread(target=self._carry, args=(source, sink, limit, left))
                    self._threads.append(thread)
                    thread.start()

    def _carry(self, source: socket.socket, sink: socket.socket, limit: int | None, left: list[int]) -> None:
        with contextlib.suppress(OSError):
            while limit is None or limit > 0:
                piece = source.recv(65536 if limit is None else min(limit, 65536))
                if not piece:
                    break
                sink.sendall(piece)
                limit = None if limit is None else limit - len(piece)
        _shut(source)
        _shut(sink)
        with self._mutex:
            left[0] -= 1
            if not left[0]:  # closed only now: the other direction may have been reading
                self._open -= {source, sink}
                source.close()
                sink.close()


def _shut(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def breaking(target: str) -> Iterator[Breaking]:
    wire = Breaking(target)
    try:
        yield wire
    finally:
        wire.close()
