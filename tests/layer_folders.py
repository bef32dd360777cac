"""Layers as folders, for tests: unpacked from bytes, written to bytes, and compared."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from kernelbox.linux.descriptor import Descriptor
from kernelbox.store.layer_tree import Facts, diff, unpack

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

MOST_READ = 1 << 24
"""Of a file; longer ones in tests are holes."""


def unpack_bytes(folder: Path, archive: bytes, **options: Any) -> Facts:
    """Unpacks the archive into a new folder."""
    folder.mkdir()
    with Descriptor(os.memfd_create("archive")) as source, Descriptor(os.open(folder, FOLDER)) as root:
        with open(source.fileno(), "wb", closefd=False) as file:
            file.write(archive)
        os.lseek(source.fileno(), 0, os.SEEK_SET)
        return unpack(root.fileno(), source.fileno(), **options)


def diff_bytes(folder: Path, **options: Any) -> tuple[bytes, Facts]:
    """The archive of a folder as a layer, and what is said of it."""
    with Descriptor(os.memfd_create("archive")) as target, Descriptor(os.open(folder, FOLDER)) as upper:
        facts = diff(upper.fileno(), target.fileno(), **options)
        size = os.lseek(target.fileno(), 0, os.SEEK_END)
        return os.pread(target.fileno(), size, 0), facts


def archive_of(folder: Path, **options: Any) -> bytes:
    return diff_bytes(folder, **options)[0]


def _content(path: Path, status: os.stat_result) -> object:
    if stat.S_ISLNK(status.st_mode):
        return os.readlink(path)
    if stat.S_ISREG(status.st_mode) and status.st_size <= MOST_READ:
        return path.read_bytes()
    return (status.st_size, status.st_rdev) if not stat.S_ISDIR(status.st_mode) else ()


def _xattrs(path: Path) -> dict[str, bytes]:
    names = sorted(os.listxattr(path, follow_symlinks=False))
    return {name: os.getxattr(path, name, follow_symlinks=False) for name in names}


def listing(folder: Path, *, changed: bool = False) -> dict[str, tuple[object, ...]]:
    """All that can be told of everything in the folder, and of itself; `changed`: with when it was last changed."""
    found: dict[str, tuple[object, ...]] = {}
    below = (Path(top, name) for top, folders, files in os.walk(folder) for name in (*folders, *files))
    for path in [folder, *below]:
        status = path.lstat()
        links = 1 if stat.S_ISDIR(status.st_mode) else status.st_nlink
        owner = (status.st_uid, status.st_gid)
        when: tuple[int, ...] = (status.st_mtime_ns, status.st_ctime_ns) if changed else (status.st_mtime_ns,)
        if stat.S_ISCHR(status.st_mode) and not status.st_rdev and not changed:
            when = ()  # a whiteout's time is nobody's
        facts = (oct(status.st_mode), owner, links, when, _content(path, status), _xattrs(path))
        found[os.fspath(path.relative_to(folder))] = facts
    return found
