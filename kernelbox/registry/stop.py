"""How one thread ends what others do for it: an interrupted pull has several that wait for a registry."""

from __future__ import annotations

import contextlib
import socket
import threading
import weakref

from kernelbox.errors import RegistryError

__all__ = ["Stop"]


class Stop:
    """Set once; whoever works under it raises RegistryError then, also from the middle of a read."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._mutex = threading.Lock()
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    def set(self) -> None:
        """Idempotent."""
        with self._mutex:
            self._event.set()
            sockets = list(self._sockets)
        for each in sockets:
            _shut(each)

    def check(self) -> None:
        """Raises RegistryError where it was set."""
        if self._event.is_set():
            raise RegistryError("what was being moved was stopped half-way")

    def wait(self, seconds: float) -> None:
        """So long, or until it is set."""
        self._event.wait(seconds)

    def watch(self, connection: socket.socket) -> None:
        """Nothing more is read from it once this is set."""
        with self._mutex:
            self._sockets.add(connection)
            late = self._event.is_set()
        if late:
            _shut(connection)

    def unwatch(self, connection: socket.socket) -> None:
        """It may be somebody else's from now on."""
        with self._mutex:
            self._sockets.discard(connection)


def _shut(connection: socket.socket) -> None:
    # Not the method of an SSLSocket, which takes the session away from the thread that reads.
    with contextlib.suppress(OSError):  # it may have ended by itself
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
