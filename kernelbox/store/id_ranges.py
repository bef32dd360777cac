"""Which ids of the machine a container's user namespace has: ranges of 65,536 that no two running containers share.

A range is held by a lock on one byte of a file that all stores of this user share (open file description locks,
fcntl(2)): the kernel releases it with the last descriptor, so that no crash can leak a range and no record can be out
of date. There are many files, each for a few ranges: whenever a process that has copies of the descriptors of a
thousand locks closes them, as every process does that a monitor starts, the kernel looks for each of them through all
locks of its file. Ids that the machine has given to accounts, or to their containers (subuid(5)), are never in a range.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kernelbox.errors import NotSupported, StoreError
from kernelbox.native import check as check_native
from kernelbox.native import ffi, lib
from kernelbox.store.running import is_running

__all__ = ["COUNT", "IdRange", "IdRanges"]

COUNT = 65_536
_FIRST = 524_288
_RANGES = (1 << 31) // COUNT - _FIRST // COUNT - 1
_F_OFD_SETLK = 37
_FILES = 1024
_MOST_FREE = 32  # with two mounts each, an eighth of the usual limit of open files
_MOST_MOUNTS = 16
_MARKS = "ids-in-use"


@dataclass(frozen=True, slots=True, eq=False)
class IdRange:
    """`COUNT` ids from `start`. `lock` holds the range, `userns` is a user namespace with these ids; both descriptors
    belong to the IdRanges it came from."""

    number: int
    start: int
    lock: int
    userns: int
    mounts: OrderedDict[tuple[str, int, int], int] = field(default_factory=OrderedDict, repr=False)

    def mapped(self, path: str | os.PathLike[str]) -> int:
        """A detached mount of the folder `path`, its ids mapped as in `userns`; stays this object's, at least until the
        range is given back. It is kept for the next container of this range: making one is quick, but ending one waits
        for every processor.

        Raises KernelError where the file system cannot map ids."""
        status = os.stat(path)
        key = (os.fspath(path), status.st_dev, status.st_ino)
        found = self.mounts.get(key)
        if found is None:
            tree = check_native(lib.kb_open_tree(lib.AT_FDCWD, os.fsencode(path), lib.OPEN_TREE_CLONE), "clone", path)
            try:
                change = (lib.MOUNT_ATTR_IDMAP, 0, lib.MS_PRIVATE, self.userns)
                check_native(lib.kb_mount_setattr(tree, b"", lib.AT_EMPTY_PATH, *change), "map the ids of", path)
            except BaseException:
                os.close(tree)
                raise
            found = self.mounts[key] = tree
        self.mounts.move_to_end(key)
        return found

    def close_mounts(self, most: int = 0) -> None:
        """Keeps the `most` that were used last. Not while a container is being launched with them."""
        while len(self.mounts) > most:
            os.close(self.mounts.popitem(last=False)[1])


class IdRanges:
    """Hands out ranges and keeps those that came back, with their user namespaces, for the next container.

    `etc` has the accounts of the machine; they are read once."""

    def __init__(self, folder: Path, etc: Path = Path("/etc")) -> None:
        self._locks = folder / "id-ranges"
        self._marks = folder / _MARKS
        self._etc = etc
        self._foreign: bytes | None = None
        self._free: deque[IdRange] = deque()
        self._mutex = threading.Lock()
        self._closed = False
        self._begin = os.getpid() * 61 % _RANGES  # processes begin at different places: they seldom ask for the same

    def mark(self, number: int) -> Path:
        """Where a link to the folder of a kept container says that its processes have this range: they outlive the
        lock where the monitor that holds it is killed."""
        return self._marks / str(number)

    def unmark(self, number: int, folder: Path) -> None:
        """Takes a mark away that a killed monitor has left for a container which has ended; nothing where another
        container has the range by now."""
        mark = self.mark(number)
        if number < 0 or not mark.is_symlink() or (lock := self._try_lock(number)) < 0:
            return
        try:
            if mark.is_symlink() and os.readlink(mark) == os.fspath(folder):
                mark.unlink()
        finally:
            os.close(lock)

    def take(self, number: int | None = None) -> IdRange:
        """A range that nobody else on this machine has; `number` is one that must be it, marked or not.

        Raises NotSupported where all are taken."""
        with self._mutex:
            if self._free and number is None:
                return self._free.pop()
            for each in self._free:
                if each.number == number:
                    self._free.remove(each)
                    return each
            if self._foreign is None:
                self._foreign = _foreign_ranges(self._etc)
        for folder in (self._marks, self._locks):
            folder.mkdir(mode=0o700, exist_ok=True)
        if number is None:
            number, lock = self._lock_free(self._foreign)
        elif (lock := self._try_lock(number)) < 0:
            raise NotSupported(f"the range {number} of ids is in use by another container")
        try:
            userns = self._make_userns(_FIRST + number * COUNT)
        except BaseException:
            os.close(lock)
            raise
        return IdRange(number, _FIRST + number * COUNT, lock, userns)

    @contextlib.contextmanager
    def named(self, number: int) -> Iterator[IdRange]:
        """The range with this number, to speak of it alone: nobody has it by this, and somebody else may."""
        userns = self._make_userns(_FIRST + number * COUNT)
        try:
            yield IdRange(number, _FIRST + number * COUNT, -1, userns)
        finally:
            os.close(userns)

    def give(self, taken: IdRange) -> None:
        """Back, once no process of the container is left."""
        taken.close_mounts(_MOST_MOUNTS)
        with self._mutex:
            if not self._closed:
                self._free.append(taken)
                if len(self._free) <= _MOST_FREE:
                    return
                taken = self._free.popleft()
        self._release(taken)

    def close(self) -> None:
        """Releases what is not in use; what comes back later is released then. Idempotent."""
        with self._mutex:
            free, self._free, self._closed = self._free, deque(), True
        for each in free:
            self._release(each)

    def release(self, taken: IdRange) -> None:
        """Closes our part of a range whose lock a monitor has too: it is free when that lets go of it."""
        self._release(taken)

    @staticmethod
    def _release(taken: IdRange) -> None:
        taken.close_mounts()
        os.close(taken.userns)
        os.close(taken.lock)

    def _lock_free(self, foreign: bytes) -> tuple[int, int]:
        """A number, and the descriptor that holds it."""
        begin = self._begin
        for offset in range(_RANGES):
            number = (begin + offset) % _RANGES
            if foreign[number] or (lock := self._try_lock(number)) < 0:
                continue
            if not self._outlived(number):
                self._begin = (number + 1) % _RANGES  # those before are mostly taken: a search would grow with them
                return number, lock
            os.close(lock)
        left = foreign.count(0)
        if not left:
            raise NotSupported("accounts of this machine have all ids", hint="see /etc/subuid and /etc/subgid")
        raise NotSupported(f"all {left} ranges of ids are in use", hint="end some containers")

    def _try_lock(self, number: int) -> int:
        """The descriptor that holds it; -1 where another one does."""
        lock = os.open(self._locks / str(number % _FILES), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.fcntl(lock, _F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, number, 1, 0))
        except OSError as error:
            os.close(lock)
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            return -1
        return lock

    def _outlived(self, number: int) -> bool:
        """Whether processes have this range though nobody holds its lock; a mark that is out of date goes."""
        mark = self.mark(number)
        try:
            folder = os.readlink(mark)
        except FileNotFoundError:
            return False
        if is_running(folder):
            return True
        mark.unlink(missing_ok=True)
        return False

    @staticmethod
    def _make_userns(start: int) -> int:
        text = f"0 {start} {COUNT}".encode()
        descriptors = ffi.new("int[8]")
        check_native(
            lib.kb_make_namespaces(lib.CLONE_NEWUSER, text, text, descriptors),
            "make a user namespace",
            hint="kernelbox doctor says whether this machine allows them",
        )
        return int(descriptors[0])


def _foreign_ranges(etc: Path) -> bytes:
    """A byte for each range: not 0 where the machine's accounts, or those who may map ids, have some of it."""
    found = bytearray(_RANGES)
    for start, count in _given_ids(etc):
        first = max((start - _FIRST) // COUNT, 0)
        end = min((start + count - 1 - _FIRST) // COUNT + 1, _RANGES)
        if count > 0 and first < end:
            found[first:end] = b"\1" * (end - first)
    return bytes(found)


def _given_ids(etc: Path) -> Iterator[tuple[int, int]]:
    """(first id, how many), from passwd(5), group(5), subuid(5) and subgid(5)."""
    for fields in _entries(etc / "passwd"):
        yield from ((int(each), 1) for each in fields[2:4] if each.isdigit())
    for fields in _entries(etc / "group"):
        yield from ((int(each), 1) for each in fields[2:3] if each.isdigit())
    for name in ("subuid", "subgid"):
        for _, *numbers in _entries(etc / name):
            if len(numbers) == 2 and all(each.isdigit() for each in numbers):
                yield int(numbers[0]), int(numbers[1])


def _entries(path: Path) -> Iterator[list[bytes]]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"could not read {path}, which says whose ids are whose: {error.strerror}") from error
    yield from (line.split(b":") for line in content.splitlines())
