"""What a measurement depends on besides the program: stated with every result."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
ADMINISTRATORS = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where Debian has runc, which is not in everybody's PATH."""


def program(name: str) -> str | None:
    return shutil.which(name)


def complete_path() -> None:
    """Programs of administrators are found too, by us and by what we start."""
    os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:{ADMINISTRATORS}"


def first_line(*command: str) -> str:
    """The first thing that a command says; "?" where it fails or says nothing."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return "?"
    said = (done.stdout.strip() or done.stderr.strip()).splitlines()
    return said[0] if said and not done.returncode else "?"


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


def content(path: str) -> str:
    """Of a small file of the kernel; "?" where there is none."""
    try:
        return Path(path).read_text().strip()
    except OSError:
        return "?"


def chosen(path: str) -> str:
    """Which word is in brackets, as in "always [madvise] never"."""
    found = re.search(r"\[(\w+)\]", content(path))
    return found[1] if found else "?"


def load() -> str:
    return content("/proc/loadavg").split()[0]


class StolenTime:
    """The share of processor time that a hypervisor gave to others from now on (proc_stat(5))."""

    def __init__(self) -> None:
        self.before = self.ticks()

    @staticmethod
    def ticks() -> tuple[int, int]:
        """All and stolen, of all processors; the two kinds of guest time are contained in others."""
        numbers = [int(word) for word in content("/proc/stat").splitlines()[0].split()[1:9]]
        return sum(numbers), numbers[7]

    def text(self) -> str:
        everything, stolen = (after - before for after, before in zip(self.ticks(), self.before, strict=True))
        return f"{100 * stolen / max(everything, 1):.2f} %"


def commit() -> str:
    """Of this source tree, which may be somebody else's."""
    git = ("git", "-c", "safe.directory=*", "-C", str(HERE))
    return first_line(*git, "describe", "--always", "--dirty", "--abbrev=12")


def facts(scratch: Path, versions: Mapping[str, tuple[str, ...]]) -> dict[str, object]:
    """`versions`: for each name the command that says its version."""
    return {
        "measured": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "processor": field("/proc/cpuinfo", "model name"),
        "processors": f"{len(os.sched_getaffinity(0))} of {os.cpu_count()}",
        "virtual machine": "yes" if "hypervisor" in field("/proc/cpuinfo", "flags").split() else "not seen",
        "frequency governor": content("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "memory": field("/proc/meminfo", "MemTotal"),
        "huge pages": chosen("/sys/kernel/mm/transparent_hugepage/enabled"),
        "kernel": platform.release(),
        "cgroups": cgroup_version(),
        "file system of the stores": first_line("stat", "--file-system", "--format", "%T", str(scratch)),
        "python": platform.python_version(),
        "user": "root" if os.geteuid() == 0 else "ordinary",
        "kernelbox": f"commit {commit()}",
        **{name: first_line(*command) for name, command in versions.items() if command},
        "load before": load(),
    }
