"""Names of running containers: each held by a lock on a small file, which the kernel releases if its holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from kernelbox.errors import NameInUse

__all__ = ["hold_name"]


@contextlib.contextmanager
def hold_name(folder: Path, name: str) -> Iterator[int]:
    """The name is ours within the block; gives the descriptor that holds it. Raises NameInUse."""
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / name
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise NameInUse(f"the name {name!r} is in use by a running container", hint="choose another name") from None
        with contextlib.suppress(FileNotFoundError):
            if os.fstat(descriptor).st_ino == path.stat().st_ino:
                break
        os.close(descriptor)  # its holder removed the file between our open and our lock: there is no such name now
    try:
        yield descriptor
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)
