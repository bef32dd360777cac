"""Control groups, version 2: one tree for all controllers (Documentation/admin-guide/cgroup-v2.rst).

A group offers to its children what its `cgroup.subtree_control` names, and only a group without processes of its own
may do so (the top group excepted). Even a tree without controllers counts cpu time, freezes and kills. Mirror image of
v1.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kernelbox.linux.cgroups.model import PERIOD_US, Counter, Group, Knob, Limits, Mount, Writes, check_name
from kernelbox.linux.cgroups.stats import V2_FILES

__all__ = ["KNOBS", "V2"]

KNOBS = (
    Knob("cpus", "cpu", "cpu.max", marker="cpu.max"),
    Knob("cpu_period", "cpu", "cpu.max", marker="cpu.max"),
    Knob("cpu_quota", "cpu", "cpu.max", marker="cpu.max"),
    Knob("cpu_shares", "cpu", "cpu.weight", marker="cpu.weight"),
    Knob("cpuset_cpus", "cpuset", "cpuset.cpus"),
    Knob("cpuset_mems", "cpuset", "cpuset.mems"),
    Knob("memory", "memory", "memory.max"),
    Knob("memory_swap", "memory", "memory.swap.max", marker="memory.swap.max"),
    Knob("memory_reservation", "memory", "memory.low"),
    Knob("pids", "pids", "pids.max"),
    Knob("blkio_weight", "io", "io.weight", marker="io.weight"),
    Knob("device_read_bps", "io", "io.max", marker="io.max"),
    Knob("device_write_bps", "io", "io.max", marker="io.max"),
    Knob("device_read_iops", "io", "io.max", marker="io.max"),
    Knob("device_write_iops", "io", "io.max", marker="io.max"),
)

_USED = ("cpu", "cpuset", "io", "memory", "pids")


@dataclass(frozen=True, slots=True)
class V2:
    """The v2 tree mounted at `unified`. `base` is the group below which this process may make groups (None: nowhere);
    `controllers` are those that it can give to them."""

    controllers: Mapping[str, Mount]
    unified: Path
    base: Path | None
    version: Literal["v2"] = "v2"

    def parents(self, prefix: str) -> tuple[Group, ...]:
        if self.base is None:
            return ()
        controllers = self._used()
        given = (self.base / "cgroup.subtree_control").read_text().split()
        missing = tuple(controller for controller in controllers if controller not in given)
        top = (Group(self.base, "v2", controllers, _delegate(missing)),) if missing else ()
        below = (
            Group(self.base / name, "v2", controllers, _delegate(controllers)) for name in _levels(check_name(prefix))
        )
        return (*top, *below)

    def groups(self, name: str, limits: Limits, device_lines: Sequence[str] = ()) -> tuple[Group, ...]:
        if self.base is None:
            return ()
        controllers = self._used()
        writes = [write for controller in controllers for write in _WRITERS[controller](limits)]
        asked = limits.asked()
        refused = {knob.file for knob in KNOBS if knob.limit in asked and self._refusal(knob)}
        kept = [(file, value) for file, value in writes if file not in refused]
        if limits.blkio_weight is not None and self._bfq():
            kept.append(("io.bfq.weight", str(limits.blkio_weight)))
        return (Group(self.base / check_name(name), "v2", controllers, tuple(kept)),)

    def counters(self, groups: Sequence[Group]) -> tuple[Counter, ...]:
        found = []
        for index, group in enumerate(groups):
            if group.version == "v2":
                # cpu.stat is there without the cpu controller too
                files = (file for file in V2_FILES if file == "cpu.stat" or file.split(".")[0] in group.controllers)
                found += [Counter(index, file, f"v2/{file}") for file in files]
        return tuple(found)

    def unsupported(self, limits: Limits) -> tuple[str, ...]:
        asked = limits.asked()
        reasons = {knob.limit: self._refusal(knob) for knob in KNOBS if knob.limit in asked}
        if reasons.get("blkio_weight") and self._bfq():
            del reasons["blkio_weight"]
        return tuple(reason for reason in reasons.values() if reason)

    def _used(self) -> tuple[str, ...]:
        return tuple(controller for controller in _USED if controller in self.controllers)

    def _refusal(self, knob: Knob) -> str:
        if self.base is None:
            return f"{knob.limit}: the control groups of {self.unified} cannot be written by this user"
        if knob.controller not in self.controllers:
            return f"{knob.limit}: the {knob.controller} controller is not delegated to {self.base}"
        if knob.marker and not self._has(knob.marker):
            return f"{knob.limit}: this kernel has no {knob.file}"
        return ""

    def _has(self, file: str) -> bool:
        """Whether the groups of this kernel have `file`. The top group hides most, so its children are asked there."""
        assert self.base is not None
        if (self.base / "cgroup.type").exists():  # every group has this file but the top one
            return (self.base / file).exists()
        if file == "io.weight":
            return (self.base / "io.cost.qos").exists()
        given = (self.base / "cgroup.subtree_control").read_text().split()
        children = [path.parent for path in self.base.glob("*/cgroup.type")] if file.split(".")[0] in given else []
        return not children or any((child / file).exists() for child in children)

    def _bfq(self) -> bool:
        if self.base is None or "io" not in self.controllers:
            return False
        return (self.base / "io.bfq.weight").exists() or any(self.base.glob("*/io.bfq.weight"))


def _cpu(limits: Limits) -> Writes:
    writes = []
    if limits.quota is not None or limits.cpu_period is not None:
        quota = "max" if limits.quota is None or limits.quota < 0 else str(limits.quota)
        writes.append(("cpu.max", f"{quota} {limits.cpu_period or PERIOD_US}"))
    if limits.cpu_shares is not None:
        # The scale 2..262144 of v1 onto 1..10000 of v2, as runc does (libcontainer/cgroups:
        # ConvertCPUSharesToCgroupV2Value).
        writes.append(("cpu.weight", str(1 + (limits.cpu_shares - 2) * 9999 // 262_142)))
    return tuple(writes)


def _cpuset(limits: Limits) -> Writes:
    files = {"cpuset.cpus": limits.cpuset_cpus, "cpuset.mems": limits.cpuset_mems}
    return tuple((file, value) for file, value in files.items() if value)


def _memory(limits: Limits) -> Writes:
    swap = limits.memory_swap
    if swap is not None and swap > 0:
        swap -= limits.memory or 0  # v2 limits swap by itself, Docker's number is the total
    files = {"memory.max": limits.memory, "memory.swap.max": swap, "memory.low": limits.memory_reservation}
    return tuple((file, "max" if value < 0 else str(value)) for file, value in files.items() if value is not None)


def _pids(limits: Limits) -> Writes:
    return () if limits.pids is None else (("pids.max", "max" if limits.pids < 0 else str(limits.pids)),)


def _io(limits: Limits) -> Writes:
    # The scale 10..1000 of v1 onto 1..10000 of v2, as runc does (ConvertBlkIOToIOWeightValue).
    weight = limits.blkio_weight
    writes = [] if weight is None else [("io.weight", str(1 + (weight - 10) * 9999 // 990))]
    devices: dict[tuple[int, int], list[str]] = {}
    kinds = {
        "rbps": limits.device_read_bps,
        "wbps": limits.device_write_bps,
        "riops": limits.device_read_iops,
        "wiops": limits.device_write_iops,
    }
    for kind, rates in kinds.items():
        for major, minor, value in rates:
            devices.setdefault((major, minor), []).append(f"{kind}={value}")
    writes += [("io.max", f"{major}:{minor} {' '.join(rates)}") for (major, minor), rates in devices.items()]
    return tuple(writes)


def _delegate(controllers: Sequence[str]) -> Writes:
    return (("cgroup.subtree_control", " ".join(f"+{name}" for name in controllers)),) if controllers else ()


_WRITERS = {"cpu": _cpu, "cpuset": _cpuset, "memory": _memory, "pids": _pids, "io": _io}


def _levels(prefix: str) -> tuple[str, ...]:
    parts = prefix.split("/")
    return tuple("/".join(parts[: depth + 1]) for depth in range(len(parts)))
