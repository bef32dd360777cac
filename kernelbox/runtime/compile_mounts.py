"""The middle of the inside part: the root file system entered, file systems of the kernel mounted, paths hidden."""

from __future__ import annotations

import dataclasses
import functools
import os
import stat
from collections.abc import Iterator

from kernelbox.errors import InvalidOption
from kernelbox.linux import devices
from kernelbox.linux.mount_options import parse_options
from kernelbox.native import lib
from kernelbox.oci.runtime_spec import Config, Device, Mount
from kernelbox.runtime.compile_root import bind_name, is_bind, outside
from kernelbox.runtime.setup import PROC
from kernelbox.runtime.steps import mounts as steps
from kernelbox.runtime.steps.base import Step
from kernelbox.runtime.steps.files import OpenPlace
from kernelbox.runtime.target import Target

__all__ = ["EARLY", "device_binds", "early_mounts", "hide_steps", "make_devpts", "mount_steps", "proc_of"]

_NODES = tuple((node.path[5:], node.major, node.minor) for node in devices.DEFAULT_NODES)
_LINKS = tuple((link[5:], target) for link, target in devices.LINKS.items() if link != "/dev/ptmx")
_PTMX = ("ptmx", devices.LINKS["/dev/ptmx"])
_DEVICE_MODES = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}

EARLY = ("proc", "sysfs")
"""Mounted before the root is entered: in a user namespace the kernel wants to see an unmasked one beside them."""


def early_mounts(config: Config) -> Iterator[Step]:
    for mount in config.mounts:
        if mount.type in EARLY:
            yield _make(mount, early_name(mount), mount.type)


def early_name(mount: Mount) -> str:
    return "proc" if mount.destination == "/proc" else f"{mount.type} {mount.destination}"


def proc_of(config: Config) -> str:
    """Where a process's settings are written: the container's own proc, or the monitor's where that is none or the
    machine's."""
    own = any(mount.type == "proc" and mount.destination == "/proc" for mount in config.mounts)
    return "proc" if own else PROC


def _make(mount: Mount, to: str, fstype: str) -> steps.MakeMount:
    options = parse_options(mount.options)
    return steps.MakeMount(fstype, to, options.data, options.set & ~lib.MOUNT_ATTR_IDMAP, mount.source or fstype)


def _with_outer_ids(mount: Mount, config: Config) -> Mount:
    """uid= and gid= are meant inside, and the mount is made before the user namespace is joined."""
    if config.linux is None or not config.linux.uid_mappings:
        return mount
    maps = {"uid": config.linux.uid_mappings, "gid": config.linux.gid_mappings}
    options = []
    for option in mount.options:
        name, _, value = option.partition("=")
        if name in maps and value.isdecimal():
            number = outside(maps[name], int(value))
            if number is None:
                raise InvalidOption(f"the mount on {mount.destination}: {option} is not among the container's ids")
            option = f"{name}={number}"
        options.append(option)
    return dataclasses.replace(mount, options=tuple(options))


def make_devpts(mount: Mount, config: Config) -> Step:
    """Made outside, so that the monitor can open a terminal in it."""
    plain = tuple(o for o in mount.options if o != "newinstance")  # every devpts is, since Linux 4.7
    return _make(_with_outer_ids(dataclasses.replace(mount, options=plain), config), "devpts", "devpts")


def mount_steps(config: Config, target: Target, owner: tuple[int, int], terminal: bool) -> Iterator[Step]:
    """Every mount of the configuration, in its order."""
    files = [path for path in target.files if all(mount.destination != path for mount in config.mounts)]
    for number, mount in enumerate(config.mounts):
        yield from _mount(number, mount, config, target, owner)
    for path in files:
        yield steps.Attach(path, path, "bind a file of its own", steps.FILE)
    if terminal:
        yield steps.CloneTree("0", "console", "devpts")
        yield steps.Attach("console", "/dev/console", "bind the terminal", steps.FILE)


def _mount(number: int, mount: Mount, config: Config, target: Target, owner: tuple[int, int]) -> Iterator[Step]:
    if is_bind(mount):
        folder, _ = target.sources.get(mount.source, (True, False))
        kind = steps.FOLDER if folder else steps.FILE
        yield steps.Attach(bind_name(number), mount.destination, f"bind {mount.source}", kind)
    elif mount.type in EARLY:
        yield steps.Attach(early_name(mount), mount.destination, f"mount {mount.type}")
    elif mount.type == "devpts":
        yield steps.Attach("devpts", mount.destination, "mount devpts")
    elif mount.destination == "/dev":
        yield _make(mount, "dev", mount.type)
        yield _devices(config, target)
        yield steps.Attach("dev", "/dev", "mount " + mount.type)
        if target.rootless:
            for name, _, _ in _NODES:
                yield steps.Attach(host_device(name), f"/dev/{name}", "bind the device", steps.FILE)
    elif mount.type == "cgroup":
        yield from _cgroup(mount, target)
    else:
        name = f"{mount.type} {mount.destination}"
        yield _make(_with_outer_ids(mount, config), name, mount.type)
        yield steps.Attach(name, mount.destination, f"mount {mount.type}")


def _cgroup(mount: Mount, target: Target) -> Iterator[Step]:
    """The container sees its own groups as the top. With v1 controllers, the v2 tree alone is shown: it is enough to
    see what one uses, and a v1 mount for each controller would cost 60 microseconds and a superblock scan."""
    if any(group.version == "v2" for group in target.groups):
        yield _make(mount, "cgroup mount", "cgroup2")
        yield steps.Attach("cgroup mount", mount.destination, "mount cgroup2")


def host_device(name: str) -> str:
    return f"host {name}"


def device_binds(target: Target) -> Iterator[Step]:
    """In a user namespace no device can be made (mknod(2)), so an ordinary user's container has the machine's own."""
    if target.rootless:
        yield from (
            steps.CloneTree(f"/dev/{name}", host_device(name), propagation=lib.MS_PRIVATE) for name, _, _ in _NODES
        )


def _devices(config: Config, target: Target) -> Step:
    own = config.linux.devices if config.linux else ()
    extra = tuple(_node(device) for device in own if device.path.startswith("/dev/"))
    taken = {name for name, _, _ in extra}
    made = () if target.rootless else _NODES
    nodes = tuple((name, stat.S_IFCHR | 0o666, os.makedev(a, b)) for name, a, b in made if name not in taken)
    links = (*_LINKS, _PTMX) if any(mount.type == "devpts" for mount in config.mounts) else _LINKS
    below = sorted({m.destination[5:] for m in config.mounts if m.destination.startswith("/dev/") and not is_bind(m)})
    folders = {parent for name in taken if "/" in name for parent in _parents(name)}
    return steps.MakeDeviceNodes(
        "dev", nodes + extra, links, tuple(sorted(folders)) + tuple(b for b in below if "/" not in b)
    )


def _parents(name: str) -> Iterator[str]:
    parts = name.split("/")[:-1]
    return ("/".join(parts[: count + 1]) for count in range(len(parts)))


def _node(device: Device) -> tuple[str, int, int]:
    mode = _DEVICE_MODES[device.type] | (0o666 if device.file_mode is None else device.file_mode & 0o7777)
    return device.path[5:], mode, os.makedev(device.major or 0, device.minor or 0)


def hide_steps(config: Config, target: Target) -> Iterator[Step]:
    """Masked and read-only paths. Those of /proc and /sys that this kernel cannot have are left out."""
    if config.linux is None:
        return
    fresh = tuple(mount.destination + "/" for mount in config.mounts if mount.type in EARLY)
    masked = hideable(config.linux.masked_paths, fresh, bool(target.userns))
    if masked:
        attributes = lib.MOUNT_ATTR_RDONLY | lib.MOUNT_ATTR_NOSUID | lib.MOUNT_ATTR_NODEV | lib.MOUNT_ATTR_NOEXEC
        yield steps.MakeMount("tmpfs", "empty", (("nr_inodes", "2"), ("mode", "755")), attributes, "tmpfs")
        null = host_device("null") if target.rootless else "null"
        if not target.rootless:
            yield OpenPlace("null", "null", "dev")
        folders = [path for path, is_folder in masked if is_folder and path.startswith(fresh)]
        folder = min(folders, key=lambda path: path not in _BUILT_IN, default="")
        if folder:  # an attached mount can be cloned by every kernel, and its descriptor closed without waiting
            yield steps.Attach("empty", folder, "mask")
            masked = tuple(each for each in masked if each[0] != folder)
        for path, is_folder in masked:
            yield steps.MaskPath(path, "empty", null, is_folder, path.startswith(fresh))
    for path, _ in hideable(config.linux.readonly_paths, fresh):
        yield steps.ProtectPath(path, path.startswith(fresh))


_MOUNT_POINTS = frozenset(
    ["/sys/fs/bpf", "/sys/fs/pstore", "/sys/kernel/debug", "/sys/kernel/security", "/sys/kernel/tracing"]
)
"""Folders of sysfs on which the machine mounts other file systems: empty in a sysfs of the container's own."""


_BUILT_IN = frozenset({
    "/proc/acpi", "/proc/bootconfig", "/proc/bus", "/proc/driver", "/proc/dynamic_debug", "/proc/fs", "/proc/irq",
    "/proc/kcore", "/proc/latency_stats", "/proc/modules", "/proc/mtrr", "/proc/sched_debug", "/proc/schedstat",
    "/proc/sys", "/proc/sysrq-trigger", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/dmi",
    "/sys/firmware", "/sys/fs/selinux", "/sys/kernel/boot_params", "/sys/kernel/notes", "/sys/kernel/vmcoreinfo",
})  # fmt: skip
"""What a kernel has from its start or never. Anything else may come with a module, when a plan has long been made."""


@functools.lru_cache(maxsize=32)
def hideable(paths: tuple[str, ...], fresh: tuple[str, ...], own_ids: bool = False) -> tuple[tuple[str, bool], ...]:
    """(path, whether it is a folder) of the paths that have, or may yet have, something to hide; `fresh` are the
    kernel's own file systems that the container mounts anew, with the same files as the machine's.

    `own_ids`: in a user namespace without the machine's root, what only that root may open is closed already."""
    found = []
    for path in paths:
        if not path.startswith(fresh):
            found.append((path, os.path.isdir(path)))
        elif path in _MOUNT_POINTS:
            continue
        elif os.path.exists(path):
            status = os.stat(path)
            if not own_ids or status.st_uid or status.st_mode & 0o077:
                found.append((path, stat.S_ISDIR(status.st_mode)))
        elif path not in _BUILT_IN:
            found.append((path, False))
    return tuple(found)
