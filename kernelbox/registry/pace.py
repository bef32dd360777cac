"""Connections that notice when the other side only pretends to send.

A time-out on a socket starts anew with every byte, so a server that sends one byte a minute holds its client for
ever. Here the time that was spent waiting is added up, and what came in it has to be worth it.
"""

from __future__ import annotations

import functools
import http.client
import io
import socket
import threading
from collections.abc import Callable
from typing import Any

from requests.adapters import HTTPAdapter

from kernelbox.oci.value import frozen
from kernelbox.registry.stop import Stop

__all__ = ["Pace", "PacedAdapter", "PacedReader"]

_SEND_BYTES = 64 << 10
"""Of a body at a time. Each has to be taken within the time-out, so it is not larger; the libraries' own 16 KiB cost
three times as many calls."""
_BUFFER_BYTES = 64 << 10


@frozen
class Pace:
    """At least so many bytes in so many seconds of waiting."""

    bytes: int = 4096
    seconds: float = 60.0


class PacedReader(io.RawIOBase):
    """Reads `raw`, which it owns; raises TimeoutError where less comes than `pace` asks for.

    `ended` says whether there is no more; `done` is called when it is closed. Until the first byte only the time-out of
    the socket counts: the server may think about its answer that long."""

    def __init__(
        self, raw: io.RawIOBase, pace: Pace, clock: Callable[[], float], done: Callable[[], None] | None = None
    ) -> None:
        self._raw = raw
        self._done = done
        self._pace = pace
        self._clock = clock
        self._waited = 0.0
        self._came = -1
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        began = self._clock()
        count = self._raw.readinto(buffer)
        self.ended = self.ended or count == 0
        if self._came < 0:
            self._came = 0
            return count
        self._waited += self._clock() - began
        self._came += count or 0
        if self._waited >= self._pace.seconds:
            if count and self._came < self._pace.bytes:
                raise TimeoutError(f"only {self._came} bytes came in {self._waited:.0f} s")
            self._waited, self._came = 0.0, 0
        return count

    def close(self) -> None:
        if self._done is not None and not self.closed:
            self._done()
        self._raw.close()
        super().close()


class PacedAdapter(HTTPAdapter):
    """Connections of the requests library that read through PacedReader, and that a Stop can end.

    An adapter without a session: sessions keep cookies, follow redirects, and take passwords from ~/.netrc."""

    def __init__(self, pace: Pace, clock: Callable[[], float], connections: int) -> None:
        self._of_this_thread = threading.local()
        self._answers = _answer_class(pace, clock, self._of_this_thread)
        super().__init__(pool_connections=connections, pool_maxsize=connections)

    def stopped_by(self, stop: Stop | None) -> None:
        """What this thread sends next ends when `stop` is set."""
        self._of_this_thread.stop = stop

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, blocksize=_SEND_BYTES, **options)
        self._pace(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        known = proxy in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **options)
        if not known:
            self._pace(manager)
        return manager

    def close(self) -> None:
        """Now, and not when nobody knows of them any more: an error that is kept knows of them."""
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            for key in manager.pools.keys():  # noqa: SIM118  # it has no iterator
                if pool := manager.pools.get(key):
                    pool.close()
        super().close()

    def _pace(self, manager: Any) -> None:
        manager.pool_classes_by_scheme = {
            scheme: type("Pool", (pool,), {"ConnectionCls": _connection_class(pool.ConnectionCls, self._answers)})
            for scheme, pool in manager.pool_classes_by_scheme.items()
        }


def _answer_class(pace: Pace, clock: Callable[[], float], current: threading.local) -> type[http.client.HTTPResponse]:
    class Answer(http.client.HTTPResponse):
        def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
            super().__init__(sock, *arguments, **options)
            raw: Any = self.fp.detach()
            stop: Stop | None = getattr(current, "stop", None)
            done = functools.partial(stop.unwatch, sock) if stop is not None else None
            self._reader = PacedReader(raw, pace, clock, done)
            self.fp = io.BufferedReader(self._reader, _BUFFER_BYTES)
            if stop is not None:
                stop.watch(sock)

        def begin(self) -> None:
            super().begin()
            # The library takes the end of the connection for the end of the headers: half of them would be believed.
            if self._reader.ended:
                self.close()
                raise http.client.IncompleteRead(b"")

    return Answer


def _connection_class(base: Any, answers: type[http.client.HTTPResponse]) -> Any:
    def connect(self: Any) -> None:
        base.connect(self)
        # Else every request warns that the certificate is not checked, which is what was configured.
        self.is_verified = True

    return type("Connection", (base,), {"response_class": answers, "connect": connect})
