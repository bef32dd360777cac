"""Checks of limits and counters: a control group of our own is made, limited, looked at and removed."""

from __future__ import annotations

import functools
import os
import resource
from collections.abc import Iterator
from pathlib import Path

from kernelbox.engine.doctor_check import Check, degraded, missing, tried, works
from kernelbox.errors import InvalidOption, KernelBoxError
from kernelbox.linux import cgroups, rlimits

__all__ = ["checks", "first_disk"]

_LIMITS = {
    "memory limit": (cgroups.Limits(memory=64 << 20), "--memory"),
    "swap limit": (cgroups.Limits(memory=64 << 20, memory_swap=128 << 20), "--memory-swap"),
    "processor limit": (cgroups.Limits(cpus=0.5), "--cpus"),
    "processor choice": (cgroups.Limits(cpuset_cpus="0"), "--cpuset-cpus"),
    "process limit": (cgroups.Limits(pids=64), "--pids-limit"),
    "disk weight": (cgroups.Limits(blkio_weight=100), "--blkio-weight"),
}
_KERNEL = {
    "swap limit": "a kernel with CONFIG_SWAP, and swapaccount=1 on its command line",
    "disk weight": "a kernel with BFQ, and echo bfq > /sys/block/DISK/queue/scheduler",
}
_PEAKS = {"memory peak": "memory", "process peak": "pids"}
_LEAST_FILES = 1024


def checks(block: Path = Path("/sys/block")) -> tuple[Check, ...]:
    """`block` is the list of disks."""
    found = tried("control groups", _groups)
    limits: tuple[Check, ...] = ()
    if all(check.state != "missing" for check in found):
        limits = (*tried("disk rates", lambda: _limits(block)), *tried("counters", _peaks))
    return (*found, *limits, *tried("open files", _open_files), *tried("processes", _processes))


def _groups() -> Check:
    name = "control groups"
    hierarchy = cgroups.detect()
    usable = {controller: mount.base for controller, mount in hierarchy.controllers.items() if mount.base is not None}
    groups = hierarchy.groups("kernelbox", cgroups.Limits())
    if not groups:
        return missing(
            name,
            f"{hierarchy.version}: this user may make none, so nothing is limited or counted",
            "systemd-run --user --scope -p Delegate=yes -- COMMAND",
        )
    places = sorted({str(group.path) for group in groups}, key=len)
    detail = f"{hierarchy.version} with {' '.join(usable) or 'no controllers'}; ours go below {places[0]}"
    if len(places) > 1:
        detail += f" and {len(places) - 1} more"
    return works(name, detail)


def _limits(block: Path) -> Iterator[Check]:
    for name, (limits, option) in _LIMITS.items():
        yield from tried(name, functools.partial(_limit, name, limits, option))
    disk = first_disk(block)
    if disk:
        rate = cgroups.Limits(device_read_bps=((*disk, 1 << 20),))
        yield from tried("disk rates", lambda: _limit("disk rates", rate, "--device-read-bps"))


def _limit(name: str, limits: cgroups.Limits, option: str) -> Check:
    try:
        with cgroups.create(f"kernelbox-doctor-{os.getpid()}", limits):
            return works(name, option)
    except (KernelBoxError, InvalidOption) as error:
        reason = error.message.rpartition(": ")[2] if "could not limit" in error.message else error.message
        return missing(name, f"{option}: {reason}", _KERNEL.get(name, ""))


def first_disk(block: Path) -> tuple[int, int] | None:
    """The numbers of the first disk that is none of memory or a file."""
    if not block.is_dir():
        return None
    for disk in sorted(block.iterdir()):
        if not disk.name.startswith(("loop", "ram", "zram")) and (disk / "dev").exists():
            major, _, minor = (disk / "dev").read_text().strip().partition(":")
            return int(major), int(minor)
    return None


def _peaks() -> Iterator[Check]:
    hierarchy = cgroups.detect()
    with cgroups.create(f"kernelbox-doctor-{os.getpid()}") as made:
        for name, controller in _PEAKS.items():
            files = [
                made.groups[counter.group_index].path / counter.file
                for counter in hierarchy.counters(made.groups)
                if "peak" in counter.key or "max_usage" in counter.file
            ]
            mine = [file for file in files if file.name.startswith(f"{controller}.")]
            if any(file.exists() for file in mine):
                yield works(name, f"read exactly from {next(file.name for file in mine if file.exists())} at the end")
            else:
                yield degraded(name, "this kernel does not count it", "Linux 6.1 or newer")


def _open_files() -> Check:
    name = "open files"
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = int(Path("/proc/sys/fs/nr_open").read_text()) if rlimits.may_raise() else hard
    detail = f"{_number(soft)} in each process now, at most {_number(most)}"
    if soft != resource.RLIM_INFINITY and soft < _LEAST_FILES:
        return degraded(name, detail, f"ulimit -n {_LEAST_FILES}")
    if not rlimits.may_raise():
        return works(name, f"{detail}; --ulimit cannot go beyond that")
    return works(name, detail)


def _processes() -> Check:
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    machine = min(int(Path("/proc/sys/kernel", file).read_text()) for file in ("pid_max", "threads-max"))
    mine = "" if os.geteuid() == 0 else f", {_number(soft)} of this user"
    return works("processes", f"at most {machine} on this machine{mine}")


def _number(value: int) -> str:
    return "unlimited" if value == resource.RLIM_INFINITY else str(value)
