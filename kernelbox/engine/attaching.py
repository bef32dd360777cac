"""Somebody who watches a kept container and writes to it: from its start on, or later."""

from __future__ import annotations

import os
import threading
import time

from kernelbox.errors import Conflict, ContainerNotFound, MonitorError
from kernelbox.runtime.attach import Attach
from kernelbox.runtime.connection import OnOutput
from kernelbox.runtime.launch import Launch
from kernelbox.runtime.monitor import Monitor

__all__ = ["Attachment"]


class Attachment:
    """`input` is a descriptor that the container's standard input, or its terminal, is written to; -1: it has none.

    Where the monitor is killed meanwhile, it attaches again to the next one. `detach` may be called from any thread."""

    def __init__(
        self, monitor: Monitor, token: bytes, source: Launch | Attach, on_output: OnOutput | None, pid: int, tty: bool
    ) -> None:
        self.pid = pid
        self._monitor = monitor
        self._token = token
        self._source = source
        self._on_output = on_output
        self._tty = tty
        self._detached = threading.Event()
        self.input = source.terminal if isinstance(source, Launch) else source.input

    @classmethod
    def to_running(
        cls, monitor: Monitor, token: bytes, *, pid: int, tty: bool, on_output: OnOutput | None
    ) -> Attachment:
        """Raises Conflict where the container does not run."""
        return cls(monitor, token, _attach(monitor, token, tty, on_output), on_output, pid, tty)

    @property
    def detached(self) -> bool:
        return self._detached.is_set()

    def detach(self) -> None:
        """`wait` returns soon; the container goes on. Idempotent."""
        self._detached.set()

    def kill(self, number: int = 9) -> None:
        """Sends a signal to the first process."""
        self._monitor.signal(self._token, number)

    def close_input(self, *, for_all: bool) -> None:
        """We write no more; `for_all`: nobody will, and the container's standard input ends."""
        descriptor, self.input = self.input, -1
        if descriptor >= 0:
            os.close(descriptor)
        if for_all:
            self._monitor.close_input(self._token)

    def wait(self, timeout: float | None = None) -> bool:
        """Moves output until the container has ended (true), it was detached or `timeout` seconds passed (false)."""
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            while not self._detached.is_set():
                if self._step():
                    return True
                if deadline is not None and time.monotonic() >= deadline:
                    return False
            return False
        finally:
            if self._detached.is_set():
                self._source.detach()

    def close(self) -> None:
        """Detaches, and closes the input. Idempotent."""
        self.detach()
        self._source.detach()
        self.close_input(for_all=False)

    def _step(self) -> bool:
        try:
            if isinstance(self._source, Launch):
                return self._source.wait(0.2)
            return self._source.wait() is not None
        except MonitorError:
            return self._attach_again()

    def _attach_again(self) -> bool:
        """The next monitor takes the container over; true where it had ended."""
        self.close_input(for_all=False)
        self._monitor.reach()
        try:
            source = _attach(self._monitor, self._token, self._tty, self._on_output)
        except (Conflict, ContainerNotFound):
            return True
        self._source, self.input = source, source.input
        return False


def _attach(monitor: Monitor, token: bytes, tty: bool, on_output: OnOutput | None) -> Attach:
    return Attach(monitor, token, tty=tty, on_output=on_output or (lambda stream, chunk: None))
