"""The facts about the machine that decide whether options can be meant, gathered once."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING

from kernelbox.engine.limit_values import parse_list
from kernelbox.oci.value import frozen

if TYPE_CHECKING:
    from pathlib import Path


@frozen
class Machine:
    """The processors that are online and the memory (bytes), all of them whatever this process may use, and its own
    standing."""

    cpus: int
    memory: int
    cpuset: frozenset[int]
    mems: frozenset[int] = frozenset({0})
    stack_limit: int = 8 << 20
    """Soft RLIMIT_STACK, which bounds the arguments and environment of execve(2); UNLIMITED when there is none."""
    oom_score_adj: int = 0
    uid: int = 0
    gid: int = 0
    hostname: str = "localhost"
    architecture: str = "x86_64"
    kernel: str = "5.15"
    mqueue: bool = True
    """Whether the kernel has POSIX message queues (mq_overview(7))."""
    host_mqueue: bool = True
    """Whether they are mounted on this machine's /dev/mqueue."""
    rlimits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Soft and hard limits of this process, by name: RLIMIT_NOFILE."""
    throttle_counters: tuple[str, ...] = ()
    """Folders of sysfs that tell how often each processor was slowed down for its heat. One that is offline has none
    until it comes online."""


@functools.cache
def this_machine() -> Machine:
    """The machine this process runs on, read once."""
    from pathlib import Path

    return read(Path("/proc"), Path("/sys"), Path("/dev"))


def read(proc: Path, sys: Path, dev: Path) -> Machine:
    """The machine as its kernel's files describe it."""
    import resource

    status = _fields(proc / "self/status")
    cpus = _list_in(sys / "devices/system/cpu/online") or parse_list(status.get("Cpus_allowed_list", "0"))
    limits = {each: resource.getrlimit(getattr(resource, each)) for each in dir(resource) if each.startswith("RLIMIT_")}
    name = os.uname()
    return Machine(
        cpus=len(cpus),
        memory=int(_fields(proc / "meminfo")["MemTotal"].split()[0]) * 1024,
        cpuset=cpus,
        mems=_list_in(sys / "devices/system/node/online") or frozenset({0}),
        stack_limit=limits["RLIMIT_STACK"][0] % (1 << 64),
        oom_score_adj=int((proc / "self/oom_score_adj").read_text()),
        uid=os.geteuid(),
        gid=os.getegid(),
        hostname=name.nodename,
        architecture=name.machine,
        kernel=name.release,
        mqueue="\tmqueue\n" in (proc / "filesystems").read_text(encoding="ascii"),
        host_mqueue=(dev / "mqueue").is_dir(),
        throttle_counters=_throttle_counters(sys / "devices/system/cpu"),
        rlimits={each: (soft % (1 << 64), hard % (1 << 64)) for each, (soft, hard) in limits.items()},
    )


def _throttle_counters(cpus: Path) -> tuple[str, ...]:
    if not (cpus / "cpu0/thermal_throttle").is_dir():
        return ()
    return tuple(f"/sys/devices/system/cpu/cpu{each}/thermal_throttle" for each in sorted(_list_in(cpus / "present")))


def _list_in(path: Path) -> frozenset[int]:
    try:
        return parse_list(path.read_text(encoding="ascii").strip())
    except FileNotFoundError:  # sysfs is not mounted, or the kernel has no NUMA nodes
        return frozenset()


def _fields(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
