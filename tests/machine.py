"""What this machine counts, seen in a group that is made for it, and on what its folders lie: no test tells it from a
version."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import pytest

from kernelbox.linux import cgroups

_FILES = {
    "cpu_usage_seconds": ("cpu.stat", "cpuacct.usage"),
    "memory_peak_bytes": ("memory.peak", "memory.max_usage_in_bytes"),
    "pids_peak": ("pids.peak",),
}


@functools.cache
def counted() -> frozenset[str]:
    """Which costs of a run are known here, by the names that the fields of a result's `usage` have."""
    with cgroups.create(f"kernelbox-test-{os.getpid()}-counted") as group:
        return frozenset(
            name
            for name, files in _FILES.items()
            if any((inner.path / file).exists() for inner in group.groups for file in files)
        )


def need_disk(folder: Path) -> None:
    """Skips where the folder lies in memory, on an overlay or on a network: no disk counts what is written there."""
    if os.major(folder.stat().st_dev) == 0:
        pytest.skip(f"{folder} is not on a disk")
