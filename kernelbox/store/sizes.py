"""How much is in a folder: for `docker ps --size`."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from kernelbox.linux.descriptor import Descriptor
from kernelbox.store import inside

__all__ = ["folder_size"]


def folder_size(folder: Path) -> int:
    """The bytes of the files in it and below, each file once whatever names it has; 0 where there is no such folder.

    Links are not followed and other file systems are left out. What is deeper than 256 levels or closed to this process
    is not counted: it is a container's, which may have made it so on purpose."""
    try:
        top = Descriptor(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return 0
    with top:
        return _size_of(top.fileno(), set(), 0)


def _size_of(folder: int, seen: set[tuple[int, int]], depth: int) -> int:
    total = 0
    for name in os.listdir(folder):
        try:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            continue
        if stat.S_ISDIR(status.st_mode):
            found = inside.open_child(folder, name, os.O_RDONLY | os.O_DIRECTORY, same_mount=True)
            if found >= 0 and depth < inside.MOST_DEPTH:
                with Descriptor(found):
                    total += _size_of(found, seen, depth + 1)
            elif found >= 0:
                os.close(found)
            continue
        if status.st_nlink > 1:
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
        total += status.st_size
    return total
