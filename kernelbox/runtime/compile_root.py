"""The outside part of a plan: control groups, the container's folder, its root file system, its bind mounts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kernelbox.linux.mount_options import parse_options
from kernelbox.native import lib
from kernelbox.oci.runtime_spec import Config, IdMapping, Linux, Mount, User
from kernelbox.runtime.encoder import NONE
from kernelbox.runtime.plan import ERROR, FOLDER, INPUT, OUTPUT
from kernelbox.runtime.setup import CONTAINERS, FILES, RUNS, parent_slot
from kernelbox.runtime.steps.base import Step
from kernelbox.runtime.steps.ending import RemoveFile
from kernelbox.runtime.steps.files import (
    AttachDeviceFilter,
    MakeCgroup,
    MakeFifo,
    MakeFolder,
    MakeLink,
    OpenBeneath,
    OpenFifo,
    OpenFolder,
    WriteFile,
)
from kernelbox.runtime.steps.memory import ShareMemory
from kernelbox.runtime.steps.mounts import ROOT, CloneTree, MountOverlay
from kernelbox.runtime.target import Layer, Target
from kernelbox.store.volume_names import USED_VOLUMES

__all__ = [
    "bind_clone",
    "bind_name",
    "bind_steps",
    "folder_steps",
    "group_steps",
    "group_title",
    "image_steps",
    "is_bind",
    "layer_name",
    "outside",
    "own_file",
    "owner_of",
    "root_steps",
    "stream_steps",
    "user_of",
]

V2_GROUP = "cgroup"
_ALL_IDS = (1 << 32) - 1
SCRATCH = "scratch"


def own_file(target: Target, path: str) -> str:
    """The name, among the monitor's files, of the container's own `path` of /etc."""
    return f"{target.id}.{path.rpartition('/')[2]}"


def group_title(controllers: tuple[str, ...], version: str) -> str:
    return " ".join(controllers) or version


def owner_of(config: Config) -> tuple[int, int]:
    """The machine's ids of the container's root: what is made for the container belongs to them."""
    if config.linux is None or not config.linux.uid_mappings:
        return 0, 0
    return outside(config.linux.uid_mappings, 0) or 0, outside(config.linux.gid_mappings, 0) or 0


def user_of(config: Config) -> tuple[int, int]:
    """The machine's ids of the user that the program runs as."""
    user = config.process.user if config.process else User(0, 0)
    linux = config.linux or Linux()
    return outside(linux.uid_mappings, user.uid) or 0, outside(linux.gid_mappings, user.gid) or 0


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
    """The container's folder in the store; the files of /etc that are its own, in memory, which takes a fifth of the
    time."""
    if target.kept:
        yield OpenFolder(target.id, FOLDER, CONTAINERS, on_adoption=True)
    else:
        yield MakeFolder(target.id, RUNS, 0o700, exists_ok=target.folder_made)
        yield OpenFolder(target.id, FOLDER, RUNS)
        if target.volumes:
            yield WriteFile(USED_VOLUMES, "\n".join(target.volumes), FOLDER, mode=0o600)
    if target.id_mark:
        yield RemoveFile(target.id_mark, NONE)
        yield MakeLink(target.id_mark, target.bundle)
    for path, content in target.files.items():
        yield WriteFile(own_file(target, path), content, FILES, owner=owner[0])


def stream_steps(target: Target, terminal: bool) -> Iterator[Step]:
    """FIFOs for the streams of a kept container. It opens its output for reading too, and so never gets SIGPIPE while
    there is no monitor, and what it writes then waits for the next one."""
    both, read = lib.O_RDWR, lib.O_RDONLY | lib.O_NONBLOCK
    if not target.kept or terminal:
        return
    if target.interactive:
        yield MakeFifo(INPUT, FOLDER, target.owner)
        yield OpenFifo(INPUT, FOLDER, INPUT, both | lib.O_NONBLOCK, on_adoption=True)
        yield OpenFifo(INPUT, FOLDER, "stdin", lib.O_RDONLY)
    for name, end in ((OUTPUT, "stdout"), (ERROR, "stderr")):
        yield MakeFifo(name, FOLDER, target.owner)
        yield OpenFifo(name, FOLDER, end, both)
        yield OpenFifo(name, FOLDER, name, read, on_adoption=True)


def root_steps(config: Config, target: Target, owner: tuple[int, int]) -> Iterator[Step]:
    """The root mount, as the descriptor ROOT."""
    rootfs = target.rootfs
    if rootfs.path:
        mapped = target.userns if rootfs.mapped else NONE
        yield CloneTree(rootfs.path, ROOT, recursive=True, userns=mapped, propagation=lib.MS_PRIVATE)
        return
    by_path = not target.features.overlay_by_fd
    for number, layer in enumerate(rootfs.layers):
        if not layer.given:
            yield _layer(number, layer, target, by_path)
    yield from _scratch(target, owner, by_path)
    names = tuple(layer_name(number) for number in range(len(rootfs.layers)))
    options: tuple[tuple[str, str | None], ...] = (("source", "kernelbox"),)
    options += (("userxattr", None),) if target.rootless else ()
    options += () if target.kept or target.rootless else (("volatile", None),)
    mapped_owner = owner[0] if rootfs.upper_mapped else 0
    yield MountOverlay(names, ROOT, "upper", "work", mapped_owner, options, by_path=by_path)


def image_steps(target: Target) -> Iterator[Step]:
    """The layers alone, for reading, as the descriptor ROOT."""
    layers, by_path = target.rootfs.layers, not target.features.overlay_by_fd
    if len(layers) == 1:  # of which no overlay can be made
        yield CloneTree(
            layers[0].path,
            ROOT,
            layers[0].source,
            propagation=lib.MS_PRIVATE,
            in_workshop=not layers[0].path and not target.features.detached_clone,
        )
        return
    for number, layer in enumerate(layers):
        if not layer.given:
            yield _layer(number, layer, target, by_path)
    options: tuple[tuple[str, str | None], ...] = (("source", "kernelbox"),)
    options += (("userxattr", None),) if target.rootless else ()
    names = tuple(layer_name(number) for number in range(len(layers)))
    yield MountOverlay(names, ROOT, options=options, attributes=lib.MOUNT_ATTR_RDONLY, by_path=by_path)


def layer_name(number: int) -> str:
    return f"layer {number}"


def _layer(number: int, layer: Layer, target: Target, by_path: bool) -> Step:
    if not layer.mapped and layer.path and not by_path:
        return OpenFolder(layer.path, layer_name(number))
    # What has no path is a mount of the monitor's own.
    workshop = not layer.path and not target.features.detached_clone
    mapped = target.userns if layer.mapped else NONE
    return CloneTree(
        layer.path, layer_name(number), layer.source, userns=mapped, propagation=lib.MS_PRIVATE, in_workshop=workshop
    )


def _scratch(target: Target, owner: tuple[int, int], by_path: bool) -> Iterator[Step]:
    """What the container writes: the folders "upper" and "work", seen through mapped ids where that is possible."""
    rootfs = target.rootfs
    # An ordinary user's images are his own, and so is the folder that lies over their top.
    plain_owner = owner[0] if target.userns and not rootfs.upper_mapped and not target.rootless else 0
    yield MakeFolder("upper", FOLDER, 0o755, owner=plain_owner, exists_ok=target.kept)
    yield MakeFolder("work", FOLDER, 0o755, owner=plain_owner, exists_ok=target.kept)
    if rootfs.scratch_given:
        yield OpenFolder(f"{target.id}/upper", "upper", SCRATCH)
        yield OpenFolder(f"{target.id}/work", "work", SCRATCH)
        return
    parent = FOLDER
    if rootfs.upper_mapped or by_path:
        mapped = target.userns if rootfs.upper_mapped else NONE
        home = CONTAINERS if target.kept else RUNS
        yield CloneTree(target.id, SCRATCH, home, userns=mapped, propagation=lib.MS_PRIVATE)
        parent = SCRATCH
    if not by_path:
        yield OpenFolder("upper", "upper", parent)
        yield OpenFolder("work", "work", parent)


def is_bind(mount: Mount) -> bool:
    return mount.type == "bind" or "bind" in mount.options or "rbind" in mount.options


def bind_name(number: int) -> str:
    return f"bind {number}"


def bind_steps(config: Config, target: Target) -> Iterator[Step]:
    """Detached clones of what is to be bound: the monitor sees the host's paths, the process inside does not."""
    for number, mount in enumerate(config.mounts):
        if is_bind(mount):
            yield from bind_clone(number, mount, config, target)
    for path in target.files:
        workshop = not target.features.detached_clone
        yield CloneTree(own_file(target, path), path, FILES, propagation=lib.MS_PRIVATE, in_workshop=workshop)


def bind_clone(number: int, mount: Mount, config: Config, target: Target) -> Iterator[Step]:
    """What is to be bound, as the descriptor `bind_name(number)`."""
    if target.shared_memory and mount.source == target.shared_memory:
        yield ShareMemory(target.beside["ipc"], bind_name(number), _shown_ids(config, target))
        return
    options = parse_options(mount.options)
    _, can_map = target.sources.get(mount.source, (True, False))
    path, source = mount.source, NONE
    if path in target.beneath:  # containers write there, and may have put a link in the way since somebody looked
        folder, below = target.beneath[path]
        whole, path, source = f"volume of bind {number}", "", f"place of bind {number}"
        yield OpenFolder(folder, whole)
        yield OpenBeneath(below, source, whole)
    yield CloneTree(
        path,
        bind_name(number),
        source,
        recursive=options.recursive,
        userns=target.userns if can_map else NONE,
        set_attributes=options.set,
        clear_attributes=options.clear,
        recursive_attributes=options.recursive_set,
        propagation=options.propagation or lib.MS_PRIVATE,
        whole_propagation=options.recursive_propagation or not options.propagation,
    )


def _shown_ids(config: Config, target: Target) -> tuple[int, int, int]:
    """As those of which container another one's ids are shown. An ordinary user's containers have the same ones."""
    linux = config.linux or Linux()
    if target.rootless:
        return 0, 0, 0
    if not linux.uid_mappings:
        return 0, 0, _ALL_IDS
    return linux.uid_mappings[0].host_id, linux.gid_mappings[0].host_id, linux.uid_mappings[0].size
