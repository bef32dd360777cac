"""A cell that runs while the notebook goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class BackgroundCell:
    """A container in the background. It prints under the cell that started it; `wait()` gives its RunResult.

    `finish` runs in a thread of its own: it waits for the job and deals with its end."""

    def __init__(self, job: Any, finish: Callable[[], None]) -> None:
        self._job = job
        self._thread = threading.Thread(target=finish, name="kernelbox background cell", daemon=True)
        self._thread.start()

    @property
    def container(self) -> Any:
        """Its id and name."""
        return self._job.container

    @property
    def done(self) -> bool:
        """Whether it has ended and its variables are bound."""
        return not self._thread.is_alive()

    @property
    def result(self) -> Any:
        """The RunResult; None while it runs."""
        return self._job.result if self.done else None

    def wait(self, timeout: float | None = None) -> Any:
        """Its RunResult, once it has ended and its variables are bound.

        Raises TimeoutError after `timeout` seconds, and KernelBoxError where the container could not be started."""
        self._thread.join(timeout)
        if not self.done:
            raise TimeoutError(f"{self.container.name} still runs after {timeout:g} s")
        return self._job.wait()

    def kill(self, signal: int = 9) -> None:
        """Send a signal to the command; 9 ends everything in the container."""
        self._job.kill(signal)

    def __repr__(self) -> str:
        if self.done:
            return f"<BackgroundCell {self.container.name}: {self.result!r}>"
        return f"<BackgroundCell {self.container.name}: running; .wait() for its result, .kill() to end it>"
