"""A file descriptor with an owner: the kernel's handle on a namespace, a mount, a process, closed at the end of a
block."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Self

__all__ = ["Closing", "Descriptor"]


class Closing:
    """What is closed at the end of its block."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of it; does nothing the second time."""
        raise NotImplementedError


class Descriptor(Closing):
    """Owns `fd` until `close` or `take`. Works wherever Python takes an object with `fileno()`."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._fd if self._fd >= 0 else 'closed'}>"

    def fileno(self) -> int:
        """The number, still owned by this object. Raises ValueError once it is closed or taken."""
        if self._fd < 0:
            raise ValueError("the descriptor is closed")
        return self._fd

    def take(self) -> int:
        """The number, from now on the caller's to close."""
        fd, self._fd = self.fileno(), -1
        return fd

    def close(self) -> None:
        """Close it; does nothing the second time."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)
