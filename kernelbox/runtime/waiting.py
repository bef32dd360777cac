"""Waits for the end of a kept container, which this process need not have started."""

from __future__ import annotations

import errno
import time

from kernelbox.native import lib
from kernelbox.runtime.connection import Answer
from kernelbox.runtime.monitor import Monitor
from kernelbox.runtime.plan import request

__all__ = ["wait_end"]

_LONGEST_MS = 200
"""Python is asked this often whether a signal came: one that arrives just before poll(2) does not end it."""


def wait_end(monitor: Monitor, token: bytes, timeout: float | None) -> Answer | None:
    """How it ended; None where `timeout` seconds passed first, or where the monitor has no such container (any more).

    A container that is started again ends several times: this waits for the next time."""
    deadline = None if timeout is None else time.monotonic() + timeout
    connection = monitor.take()
    try:
        connection.begin(request(lib.KB_WAIT, token=token) + b"\0")
        while True:
            left = _LONGEST_MS if deadline is None else max(0, round((deadline - time.monotonic()) * 1000))
            state = connection.converse(-1, min(left, _LONGEST_MS))
            if state & lib.KB_DONE:
                answer = connection.answers()[-1]
                monitor.give(connection)
                return None if answer.kind == lib.KB_FAILED and answer.error == errno.ESRCH else answer
            if state & lib.KB_GONE or (deadline is not None and time.monotonic() >= deadline):
                connection.close()
                return None
    except BaseException:
        connection.close()
        raise
