"""Files that somebody is working on: each locked (flock) by whoever does, so that what nobody holds any more was left
by somebody who was killed, and can go."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from kernelbox.errors import StoreError, reason_of
from kernelbox.linux.descriptor import Descriptor

__all__ = [
    "Waiting",
    "disk_error",
    "hold",
    "keep_as",
    "lock",
    "make_folder",
    "new_file",
    "share",
    "sync_folder",
    "unheld",
]

Waiting = Callable[[], object]
"""Is called again and again while somebody else is waited for; what it raises ends that. Without it only a signal does,
and only in the main thread."""

_MOMENT_S = 0.005
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def disk_error(what: str, error: OSError) -> StoreError:
    """The sentence for a system call that refused; `what` is what could not be done."""
    hints = {
        errno.ENOSPC: "free some space on that disk",
        errno.EDQUOT: "free some space: this user may use no more of that disk",
    }
    return StoreError(
        f"could not {what}: {reason_of(error)}",
        hint=hints.get(error.errno or 0, "see that the store can be read and written"),
    )


def make_folder(path: Path) -> None:
    """With those above it, and sure to last."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """The names in it, as they are now, survive a power cut."""
    with Descriptor(os.open(path, _FOLDER)) as folder:
        os.fsync(folder.fileno())


def hold(path: Path, *, wait: bool = True, waiting: Waiting | None = None) -> Descriptor | None:
    """The file, made if there is none, and nobody else's until the descriptor is closed: whoever holds it may remove or
    rename it. Waits for whoever holds it, or without `wait` gives None."""
    try:
        return _locked(path, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), waiting)
    except BlockingIOError:
        return None


def share(path: Path) -> Descriptor:
    """The file, made if there is none, which nobody can `hold` as long as a copy of the descriptor is open anywhere."""
    return _locked(path, fcntl.LOCK_SH, None)


def lock(file: Descriptor, how: int, waiting: Waiting | None = None) -> None:
    """flock(2), which says `waiting` while somebody else has it. Raises BlockingIOError where `how` has LOCK_NB."""
    while waiting is not None and not how & fcntl.LOCK_NB:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file.fileno(), how | fcntl.LOCK_NB)
            return
        waiting()
        time.sleep(_MOMENT_S)
    fcntl.flock(file.fileno(), how)


def _locked(path: Path, how: int, waiting: Waiting | None) -> Descriptor:
    while True:
        file = Descriptor(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        try:
            lock(file, how, waiting)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), path.lstat()):
                    return file
        except BaseException:
            file.close()
            raise
        file.close()  # its holder was done with it between our open and our lock


def new_file(folder: Path) -> tuple[Path, Descriptor]:
    """An empty file of a name that nobody else has, held."""
    while True:
        path = folder / secrets.token_hex(16)
        file = hold(path, wait=False)
        if file is not None:
            return path, file


def keep_as(path: Path, file: Descriptor, place: Path) -> None:
    """The file, which we hold, is at `place` from now on, whole, and survives a power cut."""
    make_folder(place.parent)
    os.fsync(file.fileno())
    os.rename(path, place)
    sync_folder(place.parent)


def unheld(folder: Path, before: float = float("inf")) -> Iterator[Path]:
    """The files that nobody holds, last written before that moment (seconds since 1970). Each is held by us while it is
    given, and may be removed."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return
    for path in (folder / name for name in sorted(names)):
        with contextlib.suppress(FileNotFoundError):
            if path.lstat().st_mtime >= before:
                continue
            file = hold(path, wait=False)
            if file is not None:
                with file:
                    yield path
