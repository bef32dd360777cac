"""What all tests of faults use: a bundle, a small disk, and an end for the orphans that killing makes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import bundles
import leaks
import pytest
from faults.small_disks import Mounted
from waiting import wait_until


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


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Mounted]:
    """A store's place on a file system of its own: the options say how much it holds."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options: str) -> Path:
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "small", place], check=True)
        return place

    yield mount
    # The monitor, which is just going, still has the store's lock there.
    wait_until(
        lambda: not subprocess.run(["umount", place], stderr=subprocess.DEVNULL).returncode, "the disk is let go"
    )
