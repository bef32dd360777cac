"""What a measurement depends on besides the program: stated with every result."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path


def first_line(command: tuple[str, ...]) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    return (done.stdout.strip() or done.stderr.strip() or "?").splitlines()[0]


def cgroup_mounts() -> dict[Path, str]:
    """Where control groups are mounted: "cgroup" (v1) or "cgroup2" for each place."""
    rows = [line.split(" ") for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    kinds = {Path(row[4]): row[row.index("-") + 1] for row in rows}
    return {place: kind for place, kind in kinds.items() if kind in ("cgroup", "cgroup2")}


def cgroup_version() -> str:
    names = {("cgroup",): "v1", ("cgroup2",): "v2", ("cgroup", "cgroup2"): "hybrid"}
    return names.get(tuple(sorted(set(cgroup_mounts().values()))), "none")


def field(path: str, name: str) -> str:
    """The value of the first "name: value" line of a file of /proc."""
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "?"


def file_system(path: Path) -> str:
    return first_line(("stat", "--file-system", "--format", "%T", str(path)))


def facts(scratch: Path, versions: Mapping[str, tuple[str, ...]]) -> dict[str, object]:
    """`versions`: for each name the command that says its version."""
    return {
        "cpu": field("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count(),
        "memory": field("/proc/meminfo", "MemTotal"),
        "kernel": platform.release(),
        "cgroups": cgroup_version(),
        "file system of the stores": file_system(scratch),
        "python": platform.python_version(),
        "user": "root" if os.geteuid() == 0 else "ordinary",
        "load before": Path("/proc/loadavg").read_text().split()[0],
        "versions": {name: first_line(command) for name, command in versions.items() if command},
    }
