"""Which ids of the machine a container's user namespace has: ranges of 65,536 that no two running containers share.

A range is held by a lock on one byte of a file that all stores of this user share (open file description locks,
fcntl(2)): the kernel releases it with the last descriptor, so that no crash can leak a range and no record can be out
of date. Ids that the machine has given to accounts, or to their containers (subuid(5)), are never in a range.
"""

from __future__ import annotations

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

__all__ = ["COUNT", "IdRange", "IdRanges"]

COUNT = 65_536
_FIRST = 524_288
_RANGES = (1 << 31) // COUNT - _FIRST // COUNT - 1
_F_OFD_SETLK = 37
_MOST_FREE = 32  # with two mounts each, an eighth of the usual limit of open files
_MOST_MOUNTS = 16


@dataclass(frozen=True, slots=True, eq=False)
class IdRange:
    """`COUNT` ids from `start`. `lock` holds the range, `userns` is a user namespace with these ids; both descriptors
    belong to the IdRanges it came from."""

    number: int
    start: int
    lock: int
    userns: int
    mounts: OrderedDict[tuple[str, int, int], int] = field(default_factory=OrderedDict, repr=False)

    def mapped(self, path: str) -> int:
        """A detached mount of the folder `path`, its ids mapped as in `userns`; stays this object's, at least until the
        range is given back. It is kept for the next container of this range: making one is quick, but ending one waits
        for every processor.

        Raises KernelError where the file system cannot map ids."""
        status = os.stat(path)
        key = (path, status.st_dev, status.st_ino)
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
        self._file = folder / "id-ranges.lock"
        self._etc = etc
        self._foreign: bytes | None = None
        self._free: deque[IdRange] = deque()
        self._mutex = threading.Lock()
        self._closed = False

    def take(self) -> IdRange:
        """A range that nobody else on this machine has. Raises NotSupported where all are taken."""
        with self._mutex:
            if self._free:
                return self._free.pop()
            if self._foreign is None:
                self._foreign = _foreign_ranges(self._etc)
        lock = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            number = self._lock_free_byte(lock, self._foreign)
            userns = self._make_userns(_FIRST + number * COUNT)
        except BaseException:
            os.close(lock)
            raise
        return IdRange(number, _FIRST + number * COUNT, lock, userns)

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

    @staticmethod
    def _release(taken: IdRange) -> None:
        taken.close_mounts()
        os.close(taken.userns)
        os.close(taken.lock)

    @staticmethod
    def _lock_free_byte(lock: int, foreign: bytes) -> int:
        # Processes begin at different places, so that they seldom ask for the same one.
        begin = os.getpid() * 61 % _RANGES
        for offset in range(_RANGES):
            number = (begin + offset) % _RANGES
            if foreign[number]:
                continue
            try:
                fcntl.fcntl(lock, _F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, number, 1, 0))
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
            else:
                return number
        left = foreign.count(0)
        if not left:
            raise NotSupported("accounts of this machine have all ids", hint="see /etc/subuid and /etc/subgid")
        raise NotSupported(f"all {left} ranges of ids are in use", hint="end some containers")

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
