"""A connection that is attached to a kept container: copies of what it writes, its input, at last how it ended."""

from __future__ import annotations

import errno

from kernelbox.errors import Conflict, MonitorError
from kernelbox.native import lib
from kernelbox.runtime.connection import Answer, OnOutput
from kernelbox.runtime.monitor import Monitor
from kernelbox.runtime.plan import Life, request

__all__ = ["Attach"]

_TICK_MS = 50
_LONGEST_MS = 200
"""Python is asked this often whether a signal came: one that arrives just before poll(2) does not end it."""


class Attach:
    """Attached when it is made. `input` is what the container's standard input, or its terminal, is written to: the
    caller's, -1 where it has none. Raises Conflict where the monitor has no such container (any more)."""

    def __init__(self, monitor: Monitor, token: bytes, *, tty: bool, on_output: OnOutput) -> None:
        self._monitor = monitor
        self._on_output = on_output
        self._over = False
        self._connection = monitor.take()
        slots = {"attached output": 0} if tty else {"attached output": 0, "attached error": 1}
        message = request(lib.KB_ATTACH, token=token, life=Life().pack(slots)) + b"\0"
        try:
            self._connection.begin(message, pipes=2 if tty else 6)
            self.input = self._begun()
        except BaseException:
            self._connection.close()
            raise

    def _begun(self) -> int:
        while not self._connection.answers():
            if self._connection.converse(0, 10) & lib.KB_GONE:
                raise MonitorError("the monitor went away")
        answer = self._connection.answers()[0]
        if answer.kind == lib.KB_FAILED:
            what = "it does not run" if answer.error == errno.ESRCH else f"error {answer.error}"
            raise Conflict(f"could not attach to the container: {what}", status_found="exited")
        return self._connection.take_descriptor()

    def wait(self, timeout_ms: int = _LONGEST_MS) -> Answer | None:
        """Moves output for at most so long; how the container ended, once it has and all it wrote has come.

        Raises MonitorError where the monitor has gone; the container goes on then."""
        state = self._connection.converse(_TICK_MS, timeout_ms)
        for stream in (1, 2):
            if chunk := self._connection.take_output(stream):
                self._on_output(stream, chunk)
        if state & lib.KB_GONE:
            self.detach()
            raise MonitorError("the monitor went away while attached")
        if not state & lib.KB_DONE:
            return None
        answer = self._connection.answers()[-1]
        self._over = True
        self._monitor.give(self._connection)
        return answer

    def detach(self) -> None:
        """Nothing more comes; the container goes on. Idempotent."""
        if not self._over and not self._connection.closed:
            self._connection.close()
