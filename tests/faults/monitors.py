"""The processes of a store, found by the lock that its monitor holds."""

from __future__ import annotations

from pathlib import Path

import leaks

from kernelbox.store.paths import StorePaths


def monitors_of(store: Path) -> list[int]:
    """The pids of the store's monitor: none or one."""
    lock = str(StorePaths.of(store).lock)
    every = {p.pid: p for p in leaks.processes() if p.name == "kb-monitor"}
    holding = [pid for pid in every if lock in leaks.links(f"/proc/{pid}/fd")]
    return [pid for pid in holding if every[pid].parent not in holding]  # its sweeper is a copy of it at first


def groups_of(store: Path) -> list[str]:
    """The control groups of the store's containers."""
    name = StorePaths.of(store).name
    return [group for group in leaks.cgroups(set()) if Path(group).parent.name == name]


def processes_in(groups: list[str]) -> list[int]:
    return [int(line) for group in groups for line in leaks.lines(f"{group}/cgroup.procs")]
