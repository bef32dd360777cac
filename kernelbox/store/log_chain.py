"""The files of a container's log while they are written and rotated: `log.json` the newest, `log.json.1`, ... older.

The writer rotates by renaming, the oldest first, and then makes a new `log.json`; a reader may look at any moment
between. A file that is open keeps its identity, so nothing is lost or read twice however names move on.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

from kernelbox.errors import StoreError

__all__ = ["MAX_LINE", "LogChain", "LogFile"]

MAX_LINE = 4 << 20
"""Bytes. The writer's longest entries have a tenth of it; what is longer is no entry and is skipped."""

_NAME = "log.json"
_FORWARD_BLOCK = 256 << 10
_BACKWARD_BLOCK = 64 << 10
_NO_LIMIT = 1 << 62
_MOST_TRIES = 1000


class LogFile:
    """One file of a log, open. Close it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        status = os.fstat(descriptor)
        self.identity = (status.st_dev, status.st_ino)
        self._begin = 0  # where the line begins that is being read
        self._piece = b""  # what there is of it
        self._next = 0  # where to read on
        self._too_long = False

    def close(self, close: Callable[[int], None] = os.close) -> None:  # at the interpreter's end there is no `os`
        """Idempotent."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            close(descriptor)

    def __del__(self) -> None:  # of a follower that was never asked for an entry
        self.close()

    @property
    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    @property
    def deleted(self) -> bool:
        return not os.fstat(self._descriptor).st_nlink

    def start_at(self, offset: int) -> None:
        """Where `lines` begins; that of a line."""
        self._begin = self._next = offset

    def lines(self, limit: int | None = None) -> Iterator[tuple[int, bytes]]:
        """(where it begins, the line without its newline), up to the byte `limit` or to what there is now; the next
        call goes on from there."""
        end = _NO_LIMIT if limit is None else limit
        while block := os.pread(self._descriptor, min(_FORWARD_BLOCK, end - self._next), self._next):
            self._next += len(block)
            *lines, piece = block.split(b"\n")
            if lines:
                lines[0] = self._piece + lines[0]
                self._piece = b""
            for line in lines:
                begin, self._begin = self._begin, self._begin + len(line) + 1
                if self._too_long:  # its beginning was thrown away
                    self._begin = self._next - len(block) + len(line) + 1
                    self._too_long = False
                elif len(line) <= MAX_LINE:
                    yield begin, line
            if not self._too_long:
                self._piece += piece
            if len(self._piece) > MAX_LINE:
                self._piece, self._too_long = b"", True

    def rest(self) -> tuple[int, bytes]:
        """The last line as far as it goes, once `lines` has come to the end."""
        return self._begin, self._piece

    def lines_backwards(self, end: int) -> Iterator[tuple[int, bytes]]:
        """(where it begins, the line without its newline), the last first, of what is before the byte `end`."""
        piece = b""
        too_long = False
        while end:
            begin = max(end - _BACKWARD_BLOCK, 0)
            first, *lines = (os.pread(self._descriptor, end - begin, begin) + piece).split(b"\n")
            at = begin + len(first) + sum(map(len, lines)) + len(lines)
            for line in reversed(lines):
                at -= len(line)
                if not too_long and len(line) <= MAX_LINE:
                    yield at, line
                too_long = False
                at -= 1
            piece = first
            if too_long or len(piece) > MAX_LINE:
                piece, too_long = b"", True
            end = begin
        if piece and not too_long:
            yield 0, piece


class LogChain:
    """The files of the log in `folder` that are open, oldest first. A context manager; a folder without a log has none.

    `number` is that of the first of them, counted from the oldest that there was; `end` is how long the newest was when
    the chain was opened."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.files = self._open_all()
        self.number = 0
        self.end = self.files[-1].size if self.files else 0

    def __enter__(self) -> LogChain:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Idempotent."""
        _close(self.files)

    def drop_oldest(self) -> None:
        """It has been read."""
        self.files.pop(0).close()
        self.number += 1

    def start_at(self, number: int, offset: int) -> None:
        """Leaves out what is before: whole files, and so many bytes of that one."""
        while self.number < number:
            self.drop_oldest()
        if self.files:
            self.files[0].start_at(offset)

    def open_newer(self) -> bool:
        """Whether the writer has begun files since; they are open now, and the one that was the newest is complete."""
        newest = self.files[-1] if self.files else None
        if newest and newest.identity == self._identity_now():
            return False
        found = self._open_all()
        identities = [each.identity for each in found]
        keep: list[LogFile] = []
        if newest and newest.identity in identities:
            keep = found[identities.index(newest.identity) + 1 :]
        elif newest is None or newest.deleted:
            keep = found
        _close([each for each in found if each not in keep])
        self.files += keep
        return bool(keep)

    def _open_all(self) -> list[LogFile]:
        """A rotation that runs meanwhile moves files towards the greater numbers, which are looked at later: none is
        missed, and one that is met twice is where it was met first. If a rotation was finished meanwhile, so that this
        is not certain, `log.json` is another file afterwards."""
        for _ in range(_MOST_TRIES):
            found: dict[tuple[int, int], LogFile] = {}
            try:
                newest = self._identity_now()
                for number in range(self._greatest_number() + 2):
                    self._open_one(number, found)
                if newest == self._identity_now() and (newest is None or newest in found):
                    return list(reversed(found.values()))
            except BaseException:
                _close(list(found.values()))
                raise
            _close(list(found.values()))
        raise StoreError(f"the log in {self._folder} is rotated faster than it can be opened")

    def _open_one(self, number: int, found: dict[tuple[int, int], LogFile]) -> None:
        path = self._folder / (f"{_NAME}.{number}" if number else _NAME)
        try:
            file = LogFile(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW))
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(f"could not open the log {path}: {error.strerror}") from error
        if file.identity in found:
            file.close()
        else:
            found[file.identity] = file

    def _greatest_number(self) -> int:
        numbers = [0]
        with contextlib.suppress(FileNotFoundError):  # the container has been removed
            for name in os.listdir(self._folder):
                number = name.removeprefix(f"{_NAME}.")
                if number.isdecimal() and number.isascii() and len(number) < 6:
                    numbers.append(int(number))
        return max(numbers)

    def _identity_now(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._folder / _NAME)
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino


def _close(files: list[LogFile]) -> None:
    for each in files:
        each.close()
