"""What is seen of a running container in its control groups: who is in them, and what they use at this moment.

`stats.Usage` has totals and peaks, which are all there is to say once a container has ended; here are the same and what
changes: memory and processes now, the limits in force, each disk by itself.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from kernelbox.errors import KernelError
from kernelbox.linux.cgroups.model import Counter, Group
from kernelbox.linux.cgroups.stats import Usage, parse
from kernelbox.linux.cgroups.writing import GONE, ended

__all__ = ["DiskUsage", "LiveUsage", "parse_now", "processes", "read_now"]

_NOW_V2 = ("memory.current", "memory.max", "memory.stat", "pids.current", "pids.max")
_NOW_V1 = (
    ("memory", "memory.usage_in_bytes"),
    ("memory", "memory.limit_in_bytes"),
    ("memory", "memory.stat"),
    ("pids", "pids.current"),
    ("pids", "pids.max"),
)
_UNLIMITED = 1 << 62
"""v1 says "no limit" of memory as the largest number of whole pages."""


@dataclass(frozen=True, slots=True)
class DiskUsage:
    """Bytes of one block device."""

    major: int
    minor: int
    read_bytes: int
    write_bytes: int


@dataclass(frozen=True, slots=True)
class LiveUsage(Usage):
    """The totals of a container until now and what it uses at this moment; None where this machine cannot tell.

    `memory_bytes` counts everything, the page cache too; of it `memory_inactive_file_bytes` can go at once. A limit of
    None is none. `memory_stat` is the kernel's memory.stat, whose names differ between v1 and v2. `cpu_periods` are
    those in which a cpu quota counted, `cpu_throttled_periods` those in which it was used up."""

    memory_bytes: int | None = None
    memory_inactive_file_bytes: int | None = None
    memory_limit_bytes: int | None = None
    memory_stat: Mapping[str, int] = field(default_factory=dict)
    pids: int | None = None
    pids_limit: int | None = None
    cpu_periods: int | None = None
    cpu_throttled_periods: int | None = None
    disks: tuple[DiskUsage, ...] = ()


def read_now(groups: Sequence[Group], counters: Sequence[Counter]) -> LiveUsage:
    """What the container of these groups uses; `counters` are its hierarchy's for them.

    Without groups nothing is known. Raises Conflict where the container has ended and its groups have gone."""
    files = {}
    for counter in (*counters, *_now(groups)):
        content = _read(groups[counter.group_index].path / counter.file)
        if content is not None:
            files[counter.key] = content
    if groups and not groups[0].path.exists():
        raise ended(groups[0])
    return parse_now(files)


def parse_now(files: Mapping[str, bytes]) -> LiveUsage:
    """As `stats.parse`, which says what `files` are. Raises ValueError where they do not hold what the kernel writes
    into them."""
    stat = _table(files.get("v2/memory.stat", files.get("v1/memory.stat", b"")))
    # Where the cpu controller is one of v1, the v2 file says nothing of periods.
    cpu = _table(files.get("v1/cpu.stat", b"")) | _table(files.get("v2/cpu.stat", b""))
    return LiveUsage(
        **asdict(parse(files)),
        memory_bytes=_number(files, "v2/memory.current", "v1/memory.usage_in_bytes"),
        memory_inactive_file_bytes=stat.get("total_inactive_file", stat.get("inactive_file")),
        memory_limit_bytes=_limit(files, "v2/memory.max", "v1/memory.limit_in_bytes"),
        memory_stat=stat,
        pids=_number(files, "v2/pids.current", "v1/pids.current"),
        pids_limit=_limit(files, "v2/pids.max", "v1/pids.max"),
        cpu_periods=cpu.get("nr_periods"),
        cpu_throttled_periods=cpu.get("nr_throttled"),
        disks=_disks(files),
    )


def processes(groups: Sequence[Group]) -> list[int]:
    """The ids of all processes of the container, as this process's pid namespace sees them, in their order; none
    where it has ended.

    Those count too that a container moved into groups below its own, as a service manager in it does."""
    found: set[int] = set()
    for folder, _, _ in os.walk(groups[0].path, onerror=_unless_gone) if groups else ():
        found.update(map(int, (_read(Path(folder) / "cgroup.procs") or b"").split()))
    return sorted(found - {0})  # 0 is one that this namespace does not see


def _unless_gone(error: OSError) -> None:
    if error.errno not in GONE:  # a group that has been removed has no processes
        raise KernelError(error.errno or 0, "list", str(error.filename)) from error


def _now(groups: Sequence[Group]) -> list[Counter]:
    found = []
    for index, group in enumerate(groups):
        if group.version == "v2":
            files = [file for file in _NOW_V2 if file.split(".")[0] in group.controllers]
        else:
            files = [file for controller, file in _NOW_V1 if controller in group.controllers]
        found += [Counter(index, file, f"{group.version}/{file}") for file in files]
    return found


def _read(path: Path) -> bytes | None:
    """None where there is no such file, on this kernel or any more. A threaded group lists its processes above."""
    try:
        return path.read_bytes()
    except OSError as error:
        if error.errno in (*GONE, errno.EOPNOTSUPP):
            return None
        raise KernelError(error.errno or 0, "read", str(path)) from error


def _number(files: Mapping[str, bytes], *keys: str) -> int | None:
    found = (int(files[key]) for key in keys if files.get(key))
    return next(found, None)


def _limit(files: Mapping[str, bytes], *keys: str) -> int | None:
    texts = (files[key].strip() for key in keys if files.get(key))
    text = next(texts, b"max")
    return None if text == b"max" or int(text) >= _UNLIMITED else int(text)


def _table(text: bytes) -> dict[str, int]:
    return {name.decode(): int(value) for name, value in (line.split() for line in text.splitlines())}


def _disks(files: Mapping[str, bytes]) -> tuple[DiskUsage, ...]:
    found: dict[tuple[int, int], dict[str, int]] = {}
    for line in files.get("v2/io.stat", b"").decode().splitlines():
        device, *pairs = line.split()
        found[_device(device)] = {name: int(value) for name, _, value in (pair.partition("=") for pair in pairs)}
    for line in files.get("v1/blkio.throttle.io_service_bytes_recursive", b"").decode().splitlines():
        words = line.split()
        if len(words) == 3:  # "Total 4197" is the last
            name = {"Read": "rbytes", "Write": "wbytes"}.get(words[1], words[1])
            found.setdefault(_device(words[0]), {})[name] = int(words[2])
    return tuple(DiskUsage(*at, each.get("rbytes", 0), each.get("wbytes", 0)) for at, each in sorted(found.items()))


def _device(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(":")
    return int(major), int(minor)
