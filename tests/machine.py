"""What this machine's kernel counts, seen in a group that is made for it: no test tells it from a version."""

from __future__ import annotations

import functools
import os

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
