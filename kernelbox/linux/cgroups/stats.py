"""What a group has used, from the bytes of its counter files.

The same fact has another file and another unit in every version: cpu time is `cpu.stat` in microseconds (v2) or
`cpuacct.usage` in nanoseconds (v1), the memory peak is `memory.peak` (v2, Linux 5.19) or `memory.max_usage_in_bytes`
(v1). Sources: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/.

    >>> parse({"v2/cpu.stat": b"usage_usec 1500\\nuser_usec 1000\\nsystem_usec 500\\n"}).cpu_usage_seconds
    0.0015
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["V1_FILES", "V2_FILES", "Usage", "parse"]

V2_FILES = ("cpu.stat", "memory.peak", "memory.events", "pids.peak", "io.stat")
"""The counter files of a v2 group; their keys are "v2/" and the name."""

V1_FILES = (
    ("cpu", "cpu.stat"),
    ("cpuacct", "cpuacct.usage"),
    ("cpuacct", "cpuacct.usage_user"),
    ("cpuacct", "cpuacct.usage_sys"),
    ("memory", "memory.max_usage_in_bytes"),
    ("memory", "memory.oom_control"),
    ("pids", "pids.peak"),
    ("blkio", "blkio.throttle.io_service_bytes_recursive"),
)
"""The counter files of v1 groups with their controllers; their keys are "v1/" and the name."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Totals of a group and everything that ever ran in it; None where this machine cannot tell."""

    cpu_usage_seconds: float | None = None
    cpu_user_seconds: float | None = None
    cpu_system_seconds: float | None = None
    cpu_throttled_seconds: float | None = None
    memory_peak_bytes: int | None = None
    pids_peak: int | None = None
    io_read_bytes: int | None = None
    io_write_bytes: int | None = None
    oom_kills: int | None = None


def parse(files: Mapping[str, bytes]) -> Usage:
    """`files` holds the contents of counter files by `Counter.key`; leave out those that could not be read.

    Raises ValueError where a file does not hold what the kernel writes into it."""
    cpu, throttled = _table(files.get("v2/cpu.stat")), _table(files.get("v1/cpu.stat"))
    read, write = _io(files)
    return Usage(
        cpu_usage_seconds=_seconds(cpu.get("usage_usec"), 1e6, _number(files.get("v1/cpuacct.usage"))),
        cpu_user_seconds=_seconds(cpu.get("user_usec"), 1e6, _number(files.get("v1/cpuacct.usage_user"))),
        cpu_system_seconds=_seconds(cpu.get("system_usec"), 1e6, _number(files.get("v1/cpuacct.usage_sys"))),
        cpu_throttled_seconds=_seconds(cpu.get("throttled_usec"), 1e6, throttled.get("throttled_time")),
        memory_peak_bytes=_first(files, "v2/memory.peak", "v1/memory.max_usage_in_bytes"),
        pids_peak=_first(files, "v2/pids.peak", "v1/pids.peak"),
        io_read_bytes=read,
        io_write_bytes=write,
        oom_kills=_table(files.get("v2/memory.events") or files.get("v1/memory.oom_control")).get("oom_kill"),
    )


def _seconds(v2: int | None, v2_unit: float, v1_nanoseconds: int | None) -> float | None:
    if v2 is not None:
        return v2 / v2_unit
    return None if v1_nanoseconds is None else v1_nanoseconds / 1e9


def _number(text: bytes | None) -> int | None:
    return int(text) if text else None


def _first(files: Mapping[str, bytes], *keys: str) -> int | None:
    found = (_number(files.get(key)) for key in keys)
    return next((number for number in found if number is not None), None)


def _table(text: bytes | None) -> dict[str, int]:
    """A file of "name number" lines."""
    return {name.decode(): int(value) for name, value in (line.split() for line in (text or b"").splitlines())}


def _io(files: Mapping[str, bytes]) -> tuple[int | None, int | None]:
    if (v2 := files.get("v2/io.stat")) is not None:  # an empty file means: no device was used
        pairs = [pair.partition(b"=") for line in v2.splitlines() for pair in line.split()[1:]]
        return _sum(pairs, b"rbytes"), _sum(pairs, b"wbytes")
    if (v1 := files.get("v1/blkio.throttle.io_service_bytes_recursive")) is not None:
        rows = [(row[1], b"", row[2]) for row in (line.split() for line in v1.splitlines()) if len(row) == 3]
        return _sum(rows, b"Read"), _sum(rows, b"Write")
    return None, None


def _sum(rows: list[tuple[bytes, bytes, bytes]], want: bytes) -> int:
    return sum(int(value) for name, _, value in rows if name == want)
