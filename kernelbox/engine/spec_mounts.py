"""The mounts of a container: the kernel's file systems as Docker lays them out, then what the options ask for."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from kernelbox.engine import hardening
from kernelbox.engine.machine import Machine
from kernelbox.engine.options import RunOptions
from kernelbox.oci.runtime_spec import Mount

SHM = "/dev/shm"
_STRICT = ("nosuid", "noexec", "nodev")
_FROM_HOST = ("rbind", "rprivate", *_STRICT)


def build(options: RunOptions, machine: Machine, ids: int, own: Sequence[Mount]) -> tuple[Mount, ...]:
    """All mounts, outer ones first; `ids` is how many ids the user namespace maps (0: the machine's own ids).

    A mount the user asks for takes the place of a default, or of the engine's `own`, on the same target."""
    defaults = _defaults(
        machine.host_mqueue if options.ipc == "host" else machine.mqueue,
        options.network == "host",
        options.pid == "host",
        options.ipc,
        options.cgroupns == "host",
        options.privileged,
        options.shm_size or hardening.SHM_SIZE,
        ids,
    )
    asked = (*options.tmpfs, *options.volumes, *options.mounts)
    if not asked and not own:
        return defaults
    by_target = {mount.destination: mount for mount in (*defaults, *own, *asked)}
    return tuple(sorted(by_target.values(), key=_depth))


def _depth(mount: Mount) -> int:
    return mount.destination.count("/")


@functools.lru_cache(maxsize=64)
def _defaults(
    mqueue: bool,
    host_network: bool,
    host_pid: bool,
    ipc: str,
    host_cgroups: bool,
    privileged: bool,
    shm_size: int,
    ids: int,
) -> tuple[Mount, ...]:
    own_ids = ids > 0
    write = "rw" if privileged else "ro"
    # devpts gives terminals to group 5 (tty), which a small id map does not have
    tty_group = () if 0 < ids < 6 else ("gid=5",)
    every = [
        _proc(own_ids and host_pid),
        Mount("/dev", "tmpfs", "tmpfs", ("nosuid", "noexec", "strictatime", "mode=755", "size=65536k")),
        _sys(own_ids and host_network, write),
        Mount(
            "/dev/pts",
            "devpts",
            "devpts",
            ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", *tty_group),
        ),
        *_ipc_mounts(ipc, mqueue, shm_size),
        _cgroup(host_cgroups, write),
    ]
    return tuple(sorted(every, key=_depth))


def _proc(from_host: bool) -> Mount:
    """A new user namespace may mount proc only for a pid namespace that it owns (user_namespaces(7))."""
    return Mount("/proc", "bind", "/proc", _FROM_HOST) if from_host else Mount("/proc", "proc", "proc", _STRICT)


def _sys(from_host: bool, write: str) -> Mount:
    """Likewise sysfs only for a network namespace that it owns."""
    if from_host:
        return Mount("/sys", "bind", "/sys", (*_FROM_HOST, "ro", "rro"))
    return Mount("/sys", "sysfs", "sysfs", (*_STRICT, write))


def _cgroup(from_host: bool, write: str) -> Mount:
    if from_host:
        return Mount("/sys/fs/cgroup", "bind", "/sys/fs/cgroup", (*_FROM_HOST, "ro", "rro"))
    return Mount("/sys/fs/cgroup", "cgroup", "cgroup", (*_STRICT, "relatime", write))


def _ipc_mounts(ipc: str, mqueue: bool, shm_size: int) -> list[Mount]:
    if ipc == "host":
        names = (SHM, "/dev/mqueue") if mqueue else (SHM,)
        return [Mount(name, "bind", name, _FROM_HOST) for name in names]
    queue = [Mount("/dev/mqueue", "mqueue", "mqueue", _STRICT)] if mqueue else []
    if ipc == "none":
        return queue
    return [Mount(SHM, "tmpfs", "shm", (*_STRICT, "mode=1777", f"size={shm_size}")), *queue]
