"""Finds the control groups of a machine and the place in them where this process may make its own.

As root this is the top of every tree. An ordinary user may write where a system manager has handed a subtree over
("delegation"; systemd gives each user one): the nearest such group above the one that this process is in.
"""

from __future__ import annotations

import os
from pathlib import Path

from kernelbox.linux import mountinfo
from kernelbox.linux.cgroups.hybrid import Hybrid
from kernelbox.linux.cgroups.model import Mount
from kernelbox.linux.cgroups.v1 import V1
from kernelbox.linux.cgroups.v2 import V2

__all__ = ["V1_CONTROLLERS", "detect"]

V1_CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "pids", "blkio", "devices", "freezer", "hugetlb")


def detect(
    root: Path = Path("/sys/fs/cgroup"), proc: Path = Path("/proc"), block: Path = Path("/sys/block")
) -> V1 | V2 | Hybrid:
    """What is mounted below `root`, according to `proc`; reads, and changes nothing. `block` is the list of disks.

    A machine with no control groups at all gives a V1 without controllers, which can enforce nothing and says so."""
    v1: dict[str, Mount] = {}
    v2: V2 | None = None
    own = _own_groups(proc)
    for mount in mountinfo.read("self", proc):
        path = Path(mount.target)
        if mount.fstype not in ("cgroup", "cgroup2") or not path.is_relative_to(root):
            continue
        if mount.fstype == "cgroup2":
            v2 = v2 or _v2(path, _below(own.get("", "/"), mount.root))
            continue
        together = [controller for controller in V1_CONTROLLERS if controller in mount.super_options]
        if together:
            tree = Mount(path, "v1", _v1_base(path, _below(own.get(together[0], "/"), mount.root)))
            for controller in together:
                v1.setdefault(controller, tree)
    if v2 is None:
        return V1(v1, block=block)
    return Hybrid(V1(v1, beside_v2=v2.base is not None, block=block), v2) if v1 else v2


def _own_groups(proc: Path) -> dict[str, str]:
    """The group of this process in the tree of each controller, in the v2 tree under ""."""
    groups = {}
    for line in (proc / "self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        groups.update(dict.fromkeys(controllers.split(","), path))
    return groups


def _below(group: str, mount_root: str) -> str:
    """`group` as seen from a mount that shows only the subtree `mount_root` (a container without cgroup namespace)."""
    inside = group.removeprefix(mount_root.rstrip("/")) if group.startswith(mount_root) else group
    return inside.strip("/")


def _v1_base(top: Path, own: str) -> Path | None:
    return next((group for group in (top, top / own) if _writable(group, "cgroup.procs")), None)


def _v2(top: Path, own: str) -> V2:
    base = _v2_base(top, own)
    if base is None:
        return V2({}, top, None)
    controllers = (base / ("cgroup.controllers" if _may_delegate(base) else "cgroup.subtree_control")).read_text()
    return V2({name: Mount(top, "v2", base) for name in controllers.split()}, top, base)


def _v2_base(top: Path, own: str) -> Path | None:
    if _writable(top, "cgroup.procs", "cgroup.subtree_control"):
        return top
    group = top / own
    # Moving a process needs write access to a group above both its old and its new place: so only groups above ours.
    writable = []
    for candidate in (group, *group.parents):
        if not _writable(candidate, "cgroup.procs", "cgroup.subtree_control"):
            break
        writable.append(candidate)
    return next(filter(_may_delegate, writable), writable[0] if writable else None)


def _may_delegate(group: Path) -> bool:
    """The "no internal processes" rule: a group with processes gives no controllers to its children; the top may."""
    return not (group / "cgroup.type").exists() or not (group / "cgroup.procs").read_text()


def _writable(group: Path, *files: str) -> bool:
    return os.access(group, os.W_OK) and all(os.access(group / file, os.W_OK) for file in files)
