"""Control groups, version 1: one tree of directories for each controller (cgroups(7),
Documentation/admin-guide/cgroup-v1).

A process is in one group of every tree. A group without an own limit costs something all the same, so only the trees
that a container needs get a directory. Mirror image of v2.py.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kernelbox.linux.cgroups.model import PERIOD_US, Counter, Group, Knob, Limits, Mount, Rate, Writes, check_name
from kernelbox.linux.cgroups.stats import V1_FILES

__all__ = ["KNOBS", "V1"]

KNOBS = (
    Knob("cpus", "cpu", "cpu.cfs_quota_us", marker="cpu.cfs_quota_us"),
    Knob("cpu_period", "cpu", "cpu.cfs_period_us", marker="cpu.cfs_period_us"),
    Knob("cpu_quota", "cpu", "cpu.cfs_quota_us", marker="cpu.cfs_quota_us"),
    Knob("cpu_shares", "cpu", "cpu.shares", marker="cpu.shares"),
    Knob("cpuset_cpus", "cpuset", "cpuset.cpus"),
    Knob("cpuset_mems", "cpuset", "cpuset.mems"),
    Knob("memory", "memory", "memory.limit_in_bytes"),
    Knob("memory_swap", "memory", "memory.memsw.limit_in_bytes", marker="memory.memsw.limit_in_bytes"),
    Knob("memory_reservation", "memory", "memory.soft_limit_in_bytes", marker="memory.soft_limit_in_bytes"),
    Knob("pids", "pids", "pids.max"),
    Knob("blkio_weight", "blkio", "blkio.bfq.weight", marker="blkio.bfq.io_service_bytes"),
    Knob("device_read_bps", "blkio", "blkio.throttle.read_bps_device", marker="blkio.throttle.read_bps_device"),
    Knob("device_write_bps", "blkio", "blkio.throttle.write_bps_device", marker="blkio.throttle.write_bps_device"),
    Knob("device_read_iops", "blkio", "blkio.throttle.read_iops_device", marker="blkio.throttle.read_iops_device"),
    Knob("device_write_iops", "blkio", "blkio.throttle.write_iops_device", marker="blkio.throttle.write_iops_device"),
)

_ALWAYS = ("memory", "pids", "blkio")  # for the exact totals of every run
_WITHOUT_V2 = ("cpuacct", "freezer")  # a v2 tree, even one without controllers, does these better
_LIMITED = ("cpu", "cpuset")


@dataclass(frozen=True, slots=True)
class V1:
    """The v1 trees of a machine. `beside_v2`: there is a v2 tree too, for cpu time, freezing and killing."""

    controllers: Mapping[str, Mount]
    beside_v2: bool = False
    block: Path = Path("/sys/block")
    version: Literal["v1"] = "v1"
    unified: Path | None = None

    def parents(self, prefix: str) -> tuple[Group, ...]:
        names = (*self._usual(), *_LIMITED, "devices")
        below = (group for path in _levels(check_name(prefix)) for group in self._make(path, names, Limits(), ()))
        return (*self._accounting(), *below)

    def groups(self, name: str, limits: Limits, device_lines: Sequence[str] = ()) -> tuple[Group, ...]:
        asked = limits.asked()
        needed = {knob.controller for knob in KNOBS if knob.limit in asked}
        names = (*self._usual(), *(controller for controller in _LIMITED if controller in needed))
        return self._make(check_name(name), (*names, "devices") if device_lines else names, limits, device_lines)

    def counters(self, groups: Sequence[Group]) -> tuple[Counter, ...]:
        found = []
        for controller, file in V1_FILES:
            index = _index(groups, controller)
            if index is not None:
                found.append(Counter(index, file, f"v1/{file}"))
        return tuple(found)

    def unsupported(self, limits: Limits) -> tuple[str, ...]:
        asked = limits.asked()
        return tuple(reason for knob in KNOBS if knob.limit in asked and (reason := self._refusal(knob)))

    def _accounting(self) -> tuple[Group, ...]:
        # Since about Linux 6.10 a disk counts a group's bytes only once some group has a rate for it. 0 is "no limit".
        mount = self.controllers.get("blkio")
        counter = "blkio.throttle.io_service_bytes_recursive"
        if mount is None or mount.base is None or not (mount.path / counter).exists():
            return ()
        counted = {line.split()[0] for line in (mount.path / counter).read_text().splitlines()}
        writes = tuple(
            ("blkio.throttle.read_bps_device", f"{disk} 0") for disk in _disks(self.block) if disk not in counted
        )
        return (Group(mount.base, "v1", ("blkio",), writes),) if writes else ()

    def _usual(self) -> tuple[str, ...]:
        return _ALWAYS if self.beside_v2 else (*_ALWAYS, *_WITHOUT_V2)

    def _make(self, name: str, names: Sequence[str], limits: Limits, device_lines: Sequence[str]) -> tuple[Group, ...]:
        asked = limits.asked()
        refused = {knob.file for knob in KNOBS if knob.limit in asked and self._refusal(knob)}
        groups, seen = [], set()
        for controller in names:
            mount = self.controllers.get(controller)
            if mount is None or mount.base is None or mount.path in seen:  # cpu and cpuacct may share one
                continue
            seen.add(mount.path)
            controllers = tuple(other for other, where in self.controllers.items() if where is mount)
            writes = self._writes(controllers, mount.base, limits, device_lines)
            kept = tuple((file, value) for file, value in writes if file not in refused)
            groups.append(Group(mount.base / name, "v1", controllers, kept))
        return tuple(groups)

    @staticmethod
    def _writes(controllers: Sequence[str], base: Path, limits: Limits, device_lines: Sequence[str]) -> Writes:
        writes: list[tuple[str, str]] = []
        for controller in controllers:
            if controller == "cpuset":
                writes += _cpuset(limits, base)
            elif controller == "devices":
                writes += _devices(device_lines)
            elif controller in _WRITERS:
                writes += _WRITERS[controller](limits)
        return tuple(writes)

    def _refusal(self, knob: Knob) -> str:
        mount = self.controllers.get(knob.controller)
        if mount is None:
            return f"{knob.limit}: the kernel's {knob.controller} controller is not mounted or not compiled in"
        if mount.base is None:
            return f"{knob.limit}: the control groups of {mount.path} cannot be written by this user"
        if knob.marker and not (mount.path / knob.marker).exists():
            return f"{knob.limit}: this kernel has no {knob.file}"
        return ""


def _cpu(limits: Limits) -> Writes:
    writes: list[tuple[str, str]] = []
    if limits.cpus is not None or limits.cpu_period is not None:
        writes.append(("cpu.cfs_period_us", str(limits.cpu_period or PERIOD_US)))
    if limits.quota is not None:
        writes.append(("cpu.cfs_quota_us", str(limits.quota)))
    if limits.cpu_shares is not None:
        writes.append(("cpu.shares", str(limits.cpu_shares)))
    return tuple(writes)


def _cpuset(limits: Limits, base: Path) -> Writes:
    # A new v1 cpuset is empty and takes no process before both files are written: what is not asked for comes from
    # above.
    cpus = limits.cpuset_cpus or (base / "cpuset.cpus").read_text().strip()
    mems = limits.cpuset_mems or (base / "cpuset.mems").read_text().strip()
    return (("cpuset.cpus", cpus), ("cpuset.mems", mems))


def _memory(limits: Limits) -> Writes:
    # memory+swap may never be less than memory, so memory comes first in a group that has no limits yet.
    files = {
        "memory.limit_in_bytes": limits.memory,
        "memory.memsw.limit_in_bytes": limits.memory_swap,
        "memory.soft_limit_in_bytes": limits.memory_reservation,
    }
    return tuple((file, str(value)) for file, value in files.items() if value is not None)


def _pids(limits: Limits) -> Writes:
    return () if limits.pids is None else (("pids.max", "max" if limits.pids < 0 else str(limits.pids)),)


def _blkio(limits: Limits) -> Writes:
    writes = [] if limits.blkio_weight is None else [("blkio.bfq.weight", str(limits.blkio_weight))]
    writes += _rates("blkio.throttle.read_bps_device", limits.device_read_bps)
    writes += _rates("blkio.throttle.write_bps_device", limits.device_write_bps)
    writes += _rates("blkio.throttle.read_iops_device", limits.device_read_iops)
    writes += _rates("blkio.throttle.write_iops_device", limits.device_write_iops)
    return tuple(writes)


def _rates(file: str, rates: Sequence[Rate]) -> Writes:
    return tuple((file, f"{major}:{minor} {value}") for major, minor, value in rates)


def _devices(lines: Sequence[str]) -> Writes:
    return (("devices.deny", "a"), *(("devices.allow", line) for line in lines)) if lines else ()


def _disks(block: Path) -> list[str]:
    """The "major:minor" of real disks: those made of others (loop, dm, md) would count every byte twice. A path of a
    multipath NVMe disk is hidden and has no number, and any disk may be pulled out while we look."""
    found = []
    for device in block.glob("*/device"):
        with contextlib.suppress(OSError):
            if device.with_name("removable").read_text().strip() == "0":
                found.append(device.with_name("dev").read_text().strip())
    return sorted(found)


_WRITERS = {"cpu": _cpu, "memory": _memory, "pids": _pids, "blkio": _blkio}


def _levels(prefix: str) -> tuple[str, ...]:
    parts = prefix.split("/")
    return tuple("/".join(parts[: depth + 1]) for depth in range(len(parts)))


def _index(groups: Sequence[Group], controller: str) -> int | None:
    found = (index for index, group in enumerate(groups) if group.version == "v1" and controller in group.controllers)
    return next(found, None)
