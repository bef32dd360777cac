"""What all tests of faults use: a bundle, and an end for the orphans that killing makes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import bundles
import leaks
import pytest


@pytest.fixture
def bundle(tmp_path: Path, busybox_rootfs: Path) -> str:
    """The name of a bundle on the small root file system."""
    return bundles.write(tmp_path / "bundle", bundles.config(busybox_rootfs))


@pytest.fixture
def orphans() -> Iterator[None]:
    """The first processes of containers whose monitor was killed come to us, and elsewhere to init, to be waited
    for."""

    def zombies() -> list[int]:
        return [p.pid for p in leaks.processes() if (p.parent, p.state) == (os.getpid(), "Z") and p.session == p.pid]

    assert not zombies()
    yield
    for pid in zombies():
        os.waitpid(pid, 0)
