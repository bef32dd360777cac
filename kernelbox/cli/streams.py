"""The standard streams of this process, as a container gets and gives them."""

from __future__ import annotations

import os
import select
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from kernelbox.runtime.launch import Launch

__all__ = ["Output", "read_chunk", "standard_input", "write"]

_CHUNK = 65536


class Output:
    """Writes what comes from the container to `streams`, for its output and its errors, from `attach` on.

    That may wait for a reader for as long as it takes. Where nothing can be written any more the container is killed;
    `failure` says why."""

    def __init__(self, streams: tuple[int, int]) -> None:
        self.failure: OSError | None = None
        self._streams = streams
        self._launch: Launch | None = None
        self._early: list[tuple[int, bytes]] = []

    def attach(self, launch: Launch) -> None:
        """The container runs, and may be killed now: what it said until then is written."""
        self._launch = launch
        for stream, chunk in self._early:
            self(stream, chunk)
        self._early.clear()

    def __call__(self, stream: int, chunk: bytes) -> None:
        if self._launch is None:
            self._early.append((stream, chunk))
            return
        if self.failure is not None:
            return
        try:
            write(self._streams[stream - 1], chunk)
        except OSError as error:
            self.failure = error
            self._launch.kill()


def write(descriptor: int, content: bytes) -> None:
    """All of it, also where the descriptor does not block (it may be shared with a program that set it so)."""
    rest = memoryview(content)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            select.select([], [descriptor], [])


@contextmanager
def standard_input() -> Iterator[IO[bytes]]:
    """Our standard input as a container may have it: files and pipes as they are.

    A terminal or another device is copied through a pipe instead: who has it could do more than read."""
    kind = os.fstat(0).st_mode
    if stat.S_ISREG(kind) or stat.S_ISFIFO(kind):
        with open(0, "rb", buffering=0, closefd=False) as file:
            yield file
        return
    reading, writing = os.pipe2(os.O_CLOEXEC)
    # It may wait for input that never comes, so nobody waits for it.
    threading.Thread(target=_copy, args=(writing,), name="kernelbox input", daemon=True).start()
    with open(reading, "rb", buffering=0) as file:
        yield file


def read_chunk() -> bytes:
    """What comes next; also where reading does not block, because a program that shares the stream set it so."""
    while True:
        try:
            return os.read(0, _CHUNK)
        except BlockingIOError:
            select.select([0], [], [])


def _copy(writing: int) -> None:
    try:
        while content := read_chunk():
            os.write(writing, content)
    except OSError:  # either end has gone: the container will not read, or the terminal was closed
        return
    finally:
        os.close(writing)
