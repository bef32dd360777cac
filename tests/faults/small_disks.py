"""Disks that are soon full."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

Mounted = Callable[[str], Path]
"""Mounts one, whose size the options of tmpfs(5) say, and gives the place."""


def fill(disk: Path) -> Path:
    """A file that takes all the room there is."""
    path = disk / "filler"
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(65536)):
            pass
    return path
