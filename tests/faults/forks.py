"""Nobody gets another process: limits of the pids controller that are reached."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import leaks
from faults.monitors import monitors_of
from waiting import wait_until

from kernelbox import Engine
from kernelbox.linux import cgroups

__all__ = ["full_group", "no_process_allowed"]


@contextlib.contextmanager
def full_group(processes: int) -> Iterator[Path]:
    """A group that holds so many processes and no more. It must be empty at the end."""
    groups = cgroups.detect().groups(f"kernelbox-tests-fork-{os.getpid()}", cgroups.Limits(pids=1))
    (path,) = [group.path for group in groups if "pids" in group.controllers]
    path.mkdir()
    try:
        (path / "pids.max").write_text(str(processes))
        yield path
    finally:
        wait_until(lambda: removed(path))


def removed(group: Path) -> bool:
    """A process that has just ended or left may still count for a moment."""
    try:
        group.rmdir()
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True


@contextlib.contextmanager
def no_process_allowed(engine: Engine) -> Iterator[None]:
    """The engine's monitor makes no process. A new one counts in the monitor's group, on v2 in those above the
    container's."""
    hierarchy = cgroups.detect()
    if hierarchy.version == "v2":
        (parent,) = hierarchy.parents(f"kernelbox/{engine.paths.name}")[-1:]
        (parent.path / "pids.max").write_text("0")
        yield
        with contextlib.suppress(FileNotFoundError):  # it goes with the last container of the store
            (parent.path / "pids.max").write_text("max")
        return
    (monitor,) = monitors_of(engine.paths.root)
    before = group_of(monitor)
    with full_group(0) as group:
        (group / "cgroup.procs").write_text(str(monitor))
        try:
            yield
        finally:
            (before / "cgroup.procs").write_text(str(monitor))


def group_of(pid: int) -> Path:
    """The pids controller's (version 1)."""
    mount = cgroups.detect().controllers["pids"].path
    for line in leaks.lines(f"/proc/{pid}/cgroup"):
        _, controllers, path = line.split(":", 2)
        if "pids" in controllers.split(","):
            return mount / path.lstrip("/")
    raise AssertionError(f"{pid} is in no group of the pids controller")
