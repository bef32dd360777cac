"""Writing into the files of a group: each write is one command to the kernel, and its order matters on v1."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from kernelbox.errors import Conflict, InvalidOption, KernelError
from kernelbox.linux.cgroups.model import Group

__all__ = ["GONE", "ended", "ordered", "write"]

GONE = (errno.ENOENT, errno.ENODEV)
"""How the kernel says that a group is no more: by its path, and by a file of it that was still open."""

_LIMIT = "memory.limit_in_bytes"
_TOTAL = "memory.memsw.limit_in_bytes"


def write(path: Path, value: str) -> None:
    """Raises InvalidOption where the kernel does not take such a value, KernelError where it refuses."""
    try:
        # One write(2): the kernel takes each as a whole command.
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ERANGE):
            raise InvalidOption(f"the kernel does not take {value!r} for {path}") from error
        raise KernelError(error.errno or 0, f"write {value!r} to", str(path)) from error


def ordered(group: Group) -> Sequence[tuple[str, str]]:
    """The writes of a group that may have limits already, in an order which the kernel accepts.

    On v1 the limit of memory may never pass that of memory and swap, not even between two writes: where it rises
    above what the other is now, the other goes first."""
    writes = list(group.writes)
    asked = dict(writes)
    if {_LIMIT, _TOTAL} <= asked.keys():
        limit = int(asked[_LIMIT])
        if limit < 0 or limit > int((group.path / _TOTAL).read_text()):
            writes.sort(key=lambda each: each[0] != _TOTAL)
    return writes


def ended(group: Group) -> Conflict:
    """What to raise where a group that was there is no more."""
    return Conflict(f"the control group {group.path.name} has gone: its container has ended", status_found="exited")
