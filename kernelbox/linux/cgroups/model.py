"""The words of control groups: limits, groups to make, counters to read. Frozen values, no I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from kernelbox.errors import InvalidOption

__all__ = ["PERIOD_US", "Counter", "Group", "Knob", "Limits", "Mount", "Rate", "Writes", "check_name"]

PERIOD_US = 100_000
"""The time over which a cpu quota counts, in microseconds, where none is asked for (Docker's and the kernel's
default)."""

Rate = tuple[int, int, int]
"""A limit of one block device: (major, minor, bytes or operations per second)."""

Writes = tuple[tuple[str, str], ...]
"""Files of one group and what to write into them, in an order which the kernel accepts."""

# A component of a group's name must not look like a file of the kernel ("memory.max"), nor leave the tree.
_NAME = re.compile(
    r"(?!(cgroup|cpu|cpuacct|cpuset|memory|pids|blkio|io|devices|freezer|hugetlb|rdma|misc)\.)[\w][\w.:@-]*"
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a group may use; None where nothing is asked. Sizes in bytes, -1 for "unlimited" (Docker's meanings).

    `cpus` is the number of cores, as a quota over 100 ms; `cpu_shares` 2 to 262144, `memory_swap` the total of memory
    and swap, `blkio_weight` 10 to 1000. Raises InvalidOption for numbers that cannot be meant."""

    cpus: float | None = None
    cpu_shares: int | None = None
    cpu_period: int | None = None
    cpu_quota: int | None = None
    cpuset_cpus: str | None = None
    cpuset_mems: str | None = None
    memory: int | None = None
    memory_swap: int | None = None
    memory_reservation: int | None = None
    pids: int | None = None
    blkio_weight: int | None = None
    device_read_bps: tuple[Rate, ...] = ()
    device_write_bps: tuple[Rate, ...] = ()
    device_read_iops: tuple[Rate, ...] = ()
    device_write_iops: tuple[Rate, ...] = ()

    def __post_init__(self) -> None:
        _within("cpus", self.cpus, 0.01, 1 << 20)
        _within("cpu_shares", self.cpu_shares, 2, 262_144)
        _within("cpu_period", self.cpu_period, 1_000, 1_000_000)
        _within("cpu_quota", self.cpu_quota, 1_000, 1 << 44, unlimited=True)
        _within("memory", self.memory, 1, 1 << 62, unlimited=True)
        _within("memory_swap", self.memory_swap, 1, 1 << 62, unlimited=True)
        _within("memory_reservation", self.memory_reservation, 1, 1 << 62)
        _within("pids", self.pids, 1, 1 << 22, unlimited=True)
        _within("blkio_weight", self.blkio_weight, 10, 1000)
        if self.cpus is not None and (self.cpu_period is not None or self.cpu_quota is not None):
            raise InvalidOption("cpus says the same as cpu_period and cpu_quota: give one or the other")
        if self.memory_swap is not None and self.memory_swap > 0:
            if self.memory is None:
                raise InvalidOption("memory_swap is the total of memory and swap: it needs a memory limit too")
            if self.memory_swap < self.memory:
                raise InvalidOption(f"memory_swap ({self.memory_swap}) is less than memory ({self.memory})")

    def asked(self) -> tuple[str, ...]:
        """The names of the limits that are asked for, in the order of the fields."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name) not in (None, ()))

    @property
    def quota(self) -> int | None:
        """Microseconds of cpu time per period; -1 unlimited, None not asked."""
        return self.cpu_quota if self.cpus is None else round(self.cpus * PERIOD_US)


def _within(name: str, value: float | None, low: float, high: int, *, unlimited: bool = False) -> None:
    if value is None or (unlimited and value == -1) or low <= value <= high:
        return
    raise InvalidOption(f"{name} must be from {low} to {high}{' or -1' if unlimited else ''}, not {value}")


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted hierarchy. `base` is the group below which this process may make groups, None where it may not."""

    path: Path
    version: Literal["v1", "v2"]
    base: Path | None


@dataclass(frozen=True, slots=True)
class Group:
    """A directory to make (it may be there already) and the files to write in it, in this order."""

    path: Path
    version: Literal["v1", "v2"]
    controllers: tuple[str, ...] = ()
    writes: Writes = ()


@dataclass(frozen=True, slots=True)
class Counter:
    """A file of `groups[group_index]` to read when the last process has ended; `key` names it for `stats.parse`.

    A file that is not there (an older kernel) is left out of what `stats.parse` is given."""

    group_index: int
    file: str
    key: str


@dataclass(frozen=True, slots=True)
class Knob:
    """A limit, the controller that enforces it and its file. `marker` is a file that is there if and only if the
    kernel has the knob: some knobs are compiled out, and those of the top group are hidden."""

    limit: str
    controller: str
    file: str
    marker: str = ""


def check_name(name: str) -> str:
    """A group's path below its base, such as "kernelbox/ab12/c0ffee"; raises InvalidOption for any other."""
    if not all(_NAME.fullmatch(part) for part in name.split("/")):
        raise InvalidOption(f"{name!r} cannot be the name of a control group")
    return name
