"""What a monitor is told first: where the store is, which control groups its containers go below, how a network namespace
is made ready, and what to remove when it goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kernelbox.linux import netlink
from kernelbox.linux.cgroups import Group
from kernelbox.native import lib
from kernelbox.runtime.encoder import MAY_FAIL, NONE
from kernelbox.runtime.plan import Plan
from kernelbox.runtime.steps.base import Step
from kernelbox.runtime.steps.ending import RemoveCgroup
from kernelbox.runtime.steps.files import MakeCgroup, OpenShared
from kernelbox.runtime.steps.process import SendNetlink, SetSysctl
from kernelbox.store.paths import StorePaths

__all__ = ["CONTAINERS", "HOST_MASK", "PROC", "READY_SYSCTLS", "TRASH", "Setup", "is_ready", "parent_slot", "setup_plan"]

CONTAINERS, TRASH, PROC, HOST_MASK = "@containers", "@trash", "@proc", "@host-mask"

READY_SYSCTLS = {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}
"""Docker's two: ports below 1024 and ping need no capability in a network namespace of the container's own."""


def is_ready(name: str, value: str) -> bool:
    """Whether a namespace of the pool has this parameter already; group ids there are the machine's, so all are allowed."""
    return READY_SYSCTLS.get(name) == value or (name == "net.ipv4.ping_group_range" and value.startswith("0 "))


@dataclass(frozen=True, slots=True)
class Setup:
    """The set-up plan and the numbers of the monitor's own descriptors, the same for every engine of one store."""

    plan: Plan
    shared: Mapping[str, int]
    pool: int


def parent_slot(path: str) -> str:
    """The name of the descriptor of a folder that control groups are made in."""
    return f"@{path}"


def setup_plan(paths: StorePaths, parents: Sequence[Group], *, pool: int) -> Setup:
    """`parents` are the groups above all containers of the store, outer ones first; `pool` ready network namespaces."""
    names = [CONTAINERS, TRASH, PROC, HOST_MASK]
    steps: list[Step] = [
        OpenShared(str(paths.containers), CONTAINERS),
        OpenShared(str(paths.trash), TRASH, readable=True),
        OpenShared("/proc", PROC),
    ]
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
    goodbye.append(RemoveCgroup(str(paths.runtime), NONE, "runtime", tries=1, flags=MAY_FAIL))
    first = lib.KB_SHARED_SLOTS
    return Setup(Plan(tuple(steps), tuple(recipe), tuple(goodbye)), {n: first + i for i, n in enumerate(names)}, pool)
