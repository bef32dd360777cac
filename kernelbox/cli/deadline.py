"""The time that a container of the command line may take."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace
from signal import SIGKILL
from typing import Protocol

from kernelbox.engine.result import RunResult
from kernelbox.errors import KernelBoxError

__all__ = ["Deadline"]


class Killable(Protocol):
    """A launch, or what one is attached to."""

    def kill(self, number: int = 9) -> None: ...


class Deadline:
    """Kills the container of a started `launch` when `seconds` have passed within the block; None: never.
    `passed` says whether they have.

    A thread of its own does so: this command may be waiting for a reader of its output that stands still."""

    def __init__(self, launch: Killable, seconds: float | None) -> None:
        self._launch = launch
        self.passed = False
        most = threading.TIMEOUT_MAX
        self._timer = None if seconds is None else threading.Timer(min(seconds, most), self._kill)

    def __enter__(self) -> Deadline:
        if self._timer is not None:
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()

    def judged(self, result: RunResult) -> RunResult:
        """The result, as one that timed out where that is what ended it. It may have ended by itself just before."""
        return replace(result, timed_out=True) if self.passed and result.signal == SIGKILL else result

    def _kill(self) -> None:
        self.passed = True
        with contextlib.suppress(KernelBoxError):  # the monitor has gone, and the container with it
            self._launch.kill()
