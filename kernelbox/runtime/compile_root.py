"""The outside part of a plan: control groups, the container's folder, its root file system, its bind mounts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kernelbox.linux.mount_options import parse_options
from kernelbox.native import lib
from kernelbox.oci.runtime_spec import Config, IdMapping, Mount
from kernelbox.runtime.encoder import NONE
from kernelbox.runtime.setup import CONTAINERS, parent_slot
from kernelbox.runtime.steps.base import Step
from kernelbox.runtime.steps.files import AttachDeviceFilter, MakeCgroup, MakeFolder, OpenFolder, WriteFile
from kernelbox.runtime.steps.mounts import ROOT, CloneTree, MakeMount, MountOverlay
from kernelbox.runtime.target import Target

__all__ = [
    "bind_name",
    "bind_steps",
    "folder_steps",
    "group_steps",
    "group_title",
    "is_bind",
    "outside",
    "owner_of",
    "root_steps",
]

V2_GROUP = "cgroup"
FOLDER_SLOT = "folder"


def own_files(target: Target) -> str:
    """Where the files of /etc are: in memory, which takes a fifth of the time, or in the container's folder for
    kernels that cannot clone a mount which is attached nowhere."""
    return "own files" if target.features.detached_clone else FOLDER_SLOT


def group_title(controllers: tuple[str, ...], version: str) -> str:
    return " ".join(controllers) or version


def owner_of(config: Config) -> tuple[int, int]:
    """The machine's ids of the container's root: what is made for the container belongs to them."""
    if config.linux is None or not config.linux.uid_mappings:
        return 0, 0
    return outside(config.linux.uid_mappings, 0) or 0, outside(config.linux.gid_mappings, 0) or 0


def outside(mappings: Sequence[IdMapping], number: int) -> int | None:
    """The machine's id for one of the container's; None where it has none. Without mappings they are the same."""
    found = (m.host_id + number - m.container_id for m in mappings if 0 <= number - m.container_id < m.size)
    return next(found, None) if mappings else number


def group_steps(target: Target) -> Iterator[Step]:
    """One group in each tree that is needed; the v2 one stays open for clone3 and the device filter."""
    for group in target.groups:
        parent = parent_slot(str(group.path.parent))
        yield MakeCgroup(group.path.name, parent, group_title(group.controllers, group.version), group.writes)
        if group.version == "v2":
            yield OpenFolder(group.path.name, V2_GROUP, parent)
            if target.device_filter:
                yield AttachDeviceFilter(V2_GROUP, target.device_filter)


def folder_steps(target: Target, owner: tuple[int, int]) -> Iterator[Step]:
    """The container's folder in the store, with the files of /etc that are its own."""
    yield MakeFolder(target.id, CONTAINERS, 0o700)
    yield OpenFolder(target.id, FOLDER_SLOT, CONTAINERS)
    parent = own_files(target)
    if target.files and parent != FOLDER_SLOT:
        yield MakeMount(
            "tmpfs", parent, (("mode", "755"), ("size", "8m")), lib.MOUNT_ATTR_NOSUID | lib.MOUNT_ATTR_NODEV
        )
    for path, content in target.files.items():
        yield WriteFile(path.rpartition("/")[2], content, parent, owner=owner[0])


def root_steps(config: Config, target: Target, owner: tuple[int, int]) -> Iterator[Step]:
    """The root mount, as the descriptor ROOT."""
    rootfs = target.rootfs
    if rootfs.path:
        mapped = target.userns if rootfs.mapped else NONE
        yield CloneTree(rootfs.path, ROOT, recursive=True, userns=mapped, propagation=lib.MS_PRIVATE)
        return
    names = []
    for number, layer in enumerate(rootfs.layers):
        names.append(f"layer {number}")
        mapped = target.userns if layer.mapped else NONE
        # What has no path is a mount of the monitor's own.
        workshop = not layer.path and not target.features.detached_clone
        yield CloneTree(
            layer.path, names[-1], layer.source, userns=mapped, propagation=lib.MS_PRIVATE, in_workshop=workshop
        )
    mapped = target.userns if rootfs.upper_mapped else NONE
    plain_owner = owner[0] if target.userns and not mapped else 0
    yield MakeFolder("upper", FOLDER_SLOT, 0o755, owner=plain_owner)
    yield MakeFolder("work", FOLDER_SLOT, 0o755, owner=plain_owner)
    yield CloneTree(target.id, "scratch", CONTAINERS, userns=mapped, propagation=lib.MS_PRIVATE)
    by_path = not target.features.overlay_by_fd
    if not by_path:
        yield OpenFolder("upper", "upper", "scratch")
        yield OpenFolder("work", "work", "scratch")
    options: tuple[tuple[str, str | None], ...] = (("source", "kernelbox"),)
    options += (("userxattr", None),) if target.rootless else (("volatile", None),)
    yield MountOverlay(tuple(names), ROOT, "upper", "work", owner[0] if mapped else 0, options, by_path=by_path)


def is_bind(mount: Mount) -> bool:
    return mount.type == "bind" or "bind" in mount.options or "rbind" in mount.options


def bind_name(number: int) -> str:
    return f"bind {number}"


def bind_steps(config: Config, target: Target) -> Iterator[Step]:
    """Detached clones of what is to be bound: the monitor sees the host's paths, the process inside does not."""
    for number, mount in enumerate(config.mounts):
        if is_bind(mount):
            yield _bind(number, mount, target)
    for path in target.files:
        yield CloneTree(path.rpartition("/")[2], path, own_files(target), propagation=lib.MS_PRIVATE)


def _bind(number: int, mount: Mount, target: Target) -> Step:
    options = parse_options(mount.options)
    _, can_map = target.sources.get(mount.source, (True, False))
    return CloneTree(
        mount.source,
        bind_name(number),
        recursive=options.recursive,
        userns=target.userns if can_map else NONE,
        set_attributes=options.set,
        clear_attributes=options.clear,
        recursive_attributes=options.recursive_set,
        propagation=options.propagation or lib.MS_PRIVATE,
        whole_propagation=options.recursive_propagation or not options.propagation,
    )
