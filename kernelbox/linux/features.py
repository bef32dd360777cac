"""What the kernel of this machine can do for containers, and this process in it: found out by doing it, not by version.

Distributions patch kernels, containers and seccomp filters take calls away, so the only good answer to "does it work"
is a small try: a detached file system that nobody sees, gone a moment later.

    >>> from kernelbox.linux import features
    >>> features.probe().idmapped_mounts                               # doctest: +SKIP
    True
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from kernelbox.errors import KernelBoxError
from kernelbox.linux import capabilities, cgroups, devices, idmap, mounts, overlay
from kernelbox.linux.descriptor import Descriptor
from kernelbox.linux.idmap import IdRange
from kernelbox.native import ffi, lib

__all__ = ["Features", "can_idmap", "probe"]


@dataclass(frozen=True, slots=True)
class Features:
    """Each says whether this process can use the thing here and now."""

    privileged: bool = False
    """Root of the machine: user id 0 and CAP_SYS_ADMIN in the first user namespace."""
    mount_api: bool = False
    """fsopen(2), open_tree(2), mount_setattr(2)."""
    overlay_by_fd: bool = False
    """An overlay of detached mounts given as descriptors ("lowerdir+" by FSCONFIG_SET_FD)."""
    detached_clone: bool = False
    """open_tree(OPEN_TREE_CLONE) of a mount that is attached nowhere."""
    idmapped_mounts: bool = False
    """Mounts with ids mapped, at least of the file system of "/"; see `can_idmap` for others."""
    idmapped_tmpfs: bool = False
    user_namespaces: bool = False
    time_namespaces: bool = False
    clone_into_cgroup: bool = False
    """A v2 tree to start processes in directly (clone3 with CLONE_INTO_CGROUP)."""
    cgroup_kill: bool = False
    bpf_device: bool = False
    """Device filters on v2 groups."""
    seccomp: bool = False
    memory_peak: bool = False
    """The memory peak of a finished group can be read exactly."""
    pids_peak: bool = False


class _Untried(Features):
    """Features that are tried when they are first looked at."""

    __slots__ = ()

    def __getattr__(self, name: str) -> bool:  # the slot is empty
        if name not in _TRIES:
            raise AttributeError(name)
        found = _TRIES[name]()
        object.__setattr__(self, name, found)
        return found


@functools.cache
def probe() -> Features:
    """What this process can use; each feature is tried once, when it is first looked at, and leaves nothing."""
    return object.__new__(_Untried)


def can_idmap(path: Path | str, userns: Descriptor) -> bool:
    """Whether the file system of `path` can be mounted with its ids mapped as in `userns` (mount_setattr(2))."""
    try:
        with mounts.clone(path) as copy:
            copy.change(userns=userns.fileno())
    except KernelBoxError:
        return False
    return True


def _privileged() -> bool:
    whole = os.geteuid() == 0 and Path("/proc/self/uid_map").read_text().split() == ["0", "0", "4294967295"]
    return whole and bool(capabilities.current().effective & capabilities.parse(["SYS_ADMIN"]))


def _userns() -> Descriptor:
    # Root maps an id that is not its own, as for a container; anybody else can only map themselves.
    root = os.geteuid() == 0
    return idmap.userns([IdRange(0, 1 if root else os.geteuid(), 1)], [IdRange(0, 1 if root else os.getegid(), 1)])


def _tmpfs() -> mounts.Mount:
    return mounts.detached("tmpfs", {"size": "16k", "nr_inodes": "8"})


def _works(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except KernelBoxError:
        return False
    return True


def _make_userns() -> None:
    _userns().close()


def _make_tmpfs() -> None:
    _tmpfs().close()


def _make_overlay() -> None:
    with ExitStack() as opened:
        tmpfs = opened.enter_context(_tmpfs())
        folders: dict[str, Descriptor] = {}
        for name in ("lower", "upper", "work"):
            os.mkdir(name, 0o700, dir_fd=tmpfs.fileno())
            fd = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=tmpfs.fileno())
            folders[name] = opened.enter_context(Descriptor(fd))
        overlay.by_descriptor([folders["lower"]], folders["upper"], folders["work"]).close()


def _clone_detached() -> None:
    with _tmpfs() as tmpfs:
        mounts.clone(tmpfs).close()


def _map_tmpfs() -> None:
    with _userns() as userns, _tmpfs() as fresh:
        fresh.change(userns=userns.fileno())


def _map_root() -> None:
    with _userns() as userns, mounts.clone("/") as copy:
        copy.change(userns=userns.fileno())


def _groups() -> Sequence[cgroups.Group]:
    return cgroups.detect().groups("probe", cgroups.Limits())


def _v2() -> Path | None:
    """Where v2 groups would be made to start processes in."""
    groups = _groups()
    return groups[0].path.parent if groups and groups[0].version == "v2" else None


def _kill() -> bool:
    v2 = _v2()
    # Where there is no group yet to look at: all kernels since 5.14 have it.
    return v2 is not None and _in_any(v2, "cgroup.kill") is not False


def _device_filter() -> bool:
    if _v2() is None:
        return False
    program = devices.filter_program([devices.DENY_ALL])
    fd = lib.kb_bpf_load_device_filter(ffi.from_buffer("char[]", program), len(program) // 8)
    if fd < 0:
        return False
    os.close(fd)
    return True


def _peak(controller: str) -> bool:
    """v1 has always counted the memory peak; the files named *.peak came with Linux 5.19 (memory) and later."""
    group = next((group for group in _groups() if controller in group.controllers), None)
    if group is None:
        return False
    if group.version == "v1" and controller == "memory":
        return True
    return _in_any(group.path.parent, f"{controller}.peak") is True


def _in_any(parent: Path, file: str) -> bool | None:
    """Whether the groups below `parent` have `file`; None where there are no groups."""
    known: bool | None = None
    for entry in parent.iterdir():
        if entry.is_dir():
            known = (entry / file).exists()
            if known:
                break
    return known


_TRIES: dict[str, Callable[[], bool]] = {
    "privileged": _privileged,
    "mount_api": lambda: _works(_make_tmpfs),
    "overlay_by_fd": lambda: _works(_make_overlay),
    "detached_clone": lambda: _works(_clone_detached),
    "idmapped_mounts": lambda: _works(_map_root),
    "idmapped_tmpfs": lambda: _works(_map_tmpfs),
    "user_namespaces": lambda: _works(_make_userns),
    "time_namespaces": Path("/proc/self/ns/time").exists,
    "clone_into_cgroup": lambda: _v2() is not None,
    "cgroup_kill": _kill,
    "bpf_device": _device_filter,
    "seccomp": Path("/proc/sys/kernel/seccomp/actions_avail").exists,
    "memory_peak": lambda: _peak("memory"),
    "pids_peak": lambda: _peak("pids"),
}
