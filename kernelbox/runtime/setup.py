"""What a monitor is told first: where the store is, which control groups its containers go below, how a network
namespace is made ready, and what to remove when it goes."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kernelbox.linux import netlink
from kernelbox.linux.cgroups import Group
from kernelbox.native import lib
from kernelbox.runtime.encoder import MAY_FAIL, NONE
from kernelbox.runtime.plan import Plan
from kernelbox.runtime.steps.base import Step
from kernelbox.runtime.steps.ending import KillCgroup, RemoveCgroup, Sweep
from kernelbox.runtime.steps.files import MakeCgroup, OpenShared
from kernelbox.runtime.steps.mounts import AttachInWorkshop, ClearWorkshop, MakeMount
from kernelbox.runtime.steps.process import SendNetlink, SetSysctl
from kernelbox.store.paths import StorePaths
from kernelbox.store.running import is_running

__all__ = [
    "CONTAINERS",
    "FILES",
    "HOST_MASK",
    "KEEP_ID",
    "PROC",
    "READY_SYSCTLS",
    "RUNS",
    "TRASH",
    "Setup",
    "is_ready",
    "parent_slot",
    "recovery_plans",
    "setup_plan",
]

CONTAINERS, RUNS, TRASH, PROC, HOST_MASK, FILES = "@containers", "@runs", "@trash", "@proc", "@host-mask", "@files"
KEEP_ID = "@keep-id"
"""The user namespace of containers whose user has the id of the ordinary user who started them."""

_FILES_PLACE = "/files"
_MOST_STEPS = lib.KB_MAX_OPS // 2
_ID = re.compile(r"[0-9a-f]{40,64}")

READY_SYSCTLS = {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}
"""Docker's two: ports below 1024 and ping need no capability in a network namespace of the container's own."""


def is_ready(name: str, value: str) -> bool:
    """Whether a namespace of the pool has this parameter already; group ids there are the machine's, so all are
    allowed."""
    return READY_SYSCTLS.get(name) == value or (name == "net.ipv4.ping_group_range" and value.startswith("0 "))


def recovery_plans(paths: StorePaths, parents: Sequence[Group]) -> list[Plan]:
    """What a monitor that was killed (or a machine that lost power) left: groups emptied and removed, folders swept.
    At least one plan, none of them too long for a monitor.

    Only to be run by a monitor that has no containers yet: then only kept ones can be running, which are spared. Names
    are those of containers, 64 hexadecimal digits; anything else is not ours."""
    steps: list[Step] = []
    living = {name for name in _left_in(paths.containers) if is_running(paths.containers / name)}
    for group in parents:
        if group.path.name != paths.name:
            continue
        slot = parent_slot(str(group.path))
        for name in _left_in(group.path):
            if name in living:
                continue
            if group.version == "v2":
                steps.append(KillCgroup(name, slot, optional=True))
            steps.append(RemoveCgroup(name, slot, "left-over", flags=MAY_FAIL))
    steps += [Sweep(name, RUNS, TRASH) for name in _left_in(paths.runs)]
    if paths.trash.is_dir():
        steps += [Sweep(entry.name, TRASH, TRASH) for entry in paths.trash.iterdir() if _ID.match(entry.name)]
    return [Plan(tuple(steps[at : at + _MOST_STEPS])) for at in range(0, max(len(steps), 1), _MOST_STEPS)]


def _left_in(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(entry.name for entry in folder.iterdir() if _ID.fullmatch(entry.name) and entry.is_dir())


@dataclass(frozen=True, slots=True)
class Setup:
    """The set-up plan and the numbers of the monitor's own descriptors, the same for every engine of one store."""

    plan: Plan
    shared: Mapping[str, int]
    pool: int
    parents: Sequence[Group] = ()

    def with_runtime(self, folder: Path) -> Setup:
        """The same for a monitor whose runtime folder is another than this process would have chosen."""
        last = (*self.plan.last[:-1], _remove_runtime(folder))
        return dataclasses.replace(self, plan=dataclasses.replace(self.plan, last=last))


def _remove_runtime(folder: Path) -> RemoveCgroup:
    return RemoveCgroup(str(folder), NONE, "runtime", tries=1, flags=MAY_FAIL)


def parent_slot(path: str) -> str:
    """The name of the descriptor of a folder that control groups are made in."""
    return f"@{path}"


def setup_plan(paths: StorePaths, parents: Sequence[Group], *, pool: int, attached: bool = False) -> Setup:
    """`parents` are the groups above all containers of the store, outer ones first; `pool` ready network namespaces.
    `attached`: the kernel can only clone mounts that are attached somewhere."""
    names = [CONTAINERS, RUNS, TRASH, PROC, HOST_MASK, FILES, KEEP_ID]
    steps: list[Step] = [
        OpenShared(str(paths.containers), CONTAINERS),
        OpenShared(str(paths.runs), RUNS),
        OpenShared(str(paths.trash), TRASH, readable=True),
        OpenShared("/proc", PROC),
        MakeMount("tmpfs", FILES, (("mode", "700"), ("size", "64m")), lib.MOUNT_ATTR_NOSUID | lib.MOUNT_ATTR_NODEV),
    ]
    if attached:  # another engine of the store may have put one there
        steps += [ClearWorkshop((_FILES_PLACE,)), AttachInWorkshop(FILES, _FILES_PLACE)]
    for group in parents:
        title = f"{' '.join(group.controllers) or 'v2'} parent"
        steps.append(MakeCgroup(str(group.path), NONE, title, group.writes, exists_ok=True, optional_writes=True))
        names.append(parent_slot(str(group.path)))
        steps.append(OpenShared(str(group.path), names[-1]))
    recipe: list[Step] = []
    if pool:
        recipe.append(SendNetlink(netlink.link_up(1), "bring the loopback up"))
        recipe += [SetSysctl(name, value, PROC, optional=True) for name, value in READY_SYSCTLS.items()]
    goodbye = [
        RemoveCgroup(str(group.path), NONE, "parent", tries=1, flags=MAY_FAIL)
        for group in reversed(parents)
        if "kernelbox" in group.path.parts
    ]
    goodbye.append(_remove_runtime(paths.runtime))
    first = lib.KB_SHARED_SLOTS
    return Setup(
        Plan(tuple(steps), tuple(recipe), tuple(goodbye)), {n: first + i for i, n in enumerate(names)}, pool, parents
    )
