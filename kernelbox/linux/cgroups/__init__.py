"""Control groups: who may use how much of the machine, and who has used how much (cgroups(7)).

A group is a directory which the kernel makes files in. Write a process id into `cgroup.procs` and the process, with all
its children to come, is in the group; write into `memory.max` or `pids.max` and it has a limit; read `cpu.stat` and you
know what it cost. Version 2 has one tree for all controllers, version 1 one tree for each, many machines have both.

    from kernelbox.linux import cgroups

    with cgroups.create("lesson", cgroups.Limits(memory=64 << 20, pids=20)) as group:
        group.attach(process.pid)
        group.freeze()
        group.thaw()
        print(group.processes(), group.usage())
    # here every process of the group has been killed and its directories are gone

A launch does not use `Cgroup` but the values behind it: `detect()` finds what the machine has, and the result says
which directories to make (`parents`, `groups`), which files to write, which counters to read and what cannot be
enforced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from kernelbox.linux.cgroups.detect import detect
from kernelbox.linux.cgroups.direct import Cgroup, create
from kernelbox.linux.cgroups.model import Counter, Group, Limits, Mount, Rate
from kernelbox.linux.cgroups.stats import Usage, parse

__all__ = ["Cgroup", "Counter", "Group", "Hierarchy", "Limits", "Mount", "Rate", "Usage", "create", "detect", "parse"]


class Hierarchy(Protocol):
    """What a machine has of control groups. `version` is "v1", "v2" or "hybrid"; the methods read and change
    nothing."""

    @property
    def version(self) -> str: ...

    @property
    def controllers(self) -> Mapping[str, Mount]:
        """The mounted controllers."""

    @property
    def unified(self) -> Path | None:
        """Where the v2 tree is, also one without controllers."""

    def parents(self, prefix: str) -> tuple[Group, ...]:
        """The directories above all containers, to make once, such as "kernelbox/ab12"; writes may be repeated.

        The base itself may be among them, with what it must do for its children (v2: give them its controllers; v1:
        make disks count bytes)."""

    def groups(self, name: str, limits: Limits, device_lines: Sequence[str] = ()) -> tuple[Group, ...]:
        """The directories of one container, `name` below the base of each tree; none where nothing may be written.

        The v2 group comes first. `device_lines` are allowed devices for the v1 devices controller, to give where no
        device program can be attached to the v2 group; a v1 group for them is made only then."""

    def counters(self, groups: Sequence[Group]) -> tuple[Counter, ...]:
        """The files to read after the last process, to be handed to `stats.parse` by their keys."""

    def unsupported(self, limits: Limits) -> tuple[str, ...]:
        """One sentence, led by the limit's name, for each asked limit that this machine cannot enforce."""
