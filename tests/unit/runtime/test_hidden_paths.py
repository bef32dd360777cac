"""Which paths of /proc and /sys a plan hides: what is there, and what may come while the plan is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernelbox.runtime.compile_mounts import hideable


@pytest.fixture
def proc(tmp_path: Path) -> tuple[str, tuple[str]]:
    """A file system of the kernel's as a folder: its path, and the prefix of what is below it."""
    (tmp_path / "folder").mkdir()
    for name, mode in (("open", 0o444), ("closed", 0o400)):
        (tmp_path / name).touch(mode)
    return str(tmp_path), (f"{tmp_path}/",)


def test_what_is_there(proc: tuple[str, tuple[str]]) -> None:
    top, fresh = proc
    paths = (f"{top}/folder", f"{top}/open", f"{top}/closed")
    assert hideable(paths, fresh) == ((paths[0], True), (paths[1], False), (paths[2], False))


def test_what_may_come(proc: tuple[str, tuple[str]]) -> None:
    top, fresh = proc
    assert hideable((f"{top}/later", f"{top}/folder/later"), fresh) == (
        (f"{top}/later", False),
        (f"{top}/folder/later", False),
    )


def test_what_no_kernel_gets_later_costs_nothing() -> None:
    assert hideable(("/proc/timer_stats", "/sys/kernel/debug"), ("/proc/", "/sys/")) == ()
