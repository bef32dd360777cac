"""Where output belongs: the cell that started it, also when a thread prints after the cell has ended."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from IPython.core.interactiveshell import InteractiveShell


class Origin:
    """The cell which is running now. `show()` prints there, from any thread.

    From version 7 on, ipykernel files what a thread prints under whichever cell runs at that moment, unless the thread
    has said which request it works for. Older kernels and the terminal need no telling."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell: Any = shell
        self._parent: Any = shell.get_parent() if hasattr(shell, "get_parent") else None

    def show(self, stream: int, text: str) -> None:
        """Print on the cell's standard output (1) or standard error (2), at once."""
        with self.pinned():
            out = sys.stdout if stream == 1 else sys.stderr
            out.write(text)
            out.flush()

    @contextmanager
    def pinned(self) -> Iterator[None]:
        """Whatever the calling thread prints or displays goes to the cell."""
        if self._parent is None:
            yield
        elif hasattr(self._shell, "set_thread_parent"):
            tokens = self._shell.set_thread_parent(self._parent)
            try:
                yield
            finally:
                self._shell.reset_thread_parent(tokens)
        else:
            # 7.0 and 7.1 have context variables, but only a setter that also changes the default for all other threads.
            if isinstance(getattr(self._shell, "_parent_header", None), ContextVar):
                self._shell.set_parent(self._parent)
            yield
