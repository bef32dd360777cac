"""Steps on mounts. A mount is made detached, outside or inside, then attached beneath the container's root."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from kernelbox.native import lib
from kernelbox.oci.value import frozen
from kernelbox.runtime.encoder import IN_WORKSHOP, MAY_FAIL, NONE, Encoder
from kernelbox.runtime.steps.base import Step

__all__ = [
    "FILE",
    "FOLDER",
    "ROOT",
    "Attach",
    "AttachInWorkshop",
    "ClearWorkshop",
    "CloneTree",
    "EnterRoot",
    "MakeDeviceNodes",
    "MakeMount",
    "MakePath",
    "MaskPath",
    "MountOverlay",
    "ProtectPath",
    "ProtectRoot",
    "SetPropagation",
    "Unmount",
]

FOLDER = lib.KB_TARGET_FOLDER
FILE = lib.KB_TARGET_FILE

ROOT = "root"
"""The name of the descriptor of the container's root mount."""

_CLONE = lib.OPEN_TREE_CLONE
_RECURSIVE = lib.AT_RECURSIVE
_SET_STRING, _SET_FLAG, _SET_FD = lib.FSCONFIG_SET_STRING, lib.FSCONFIG_SET_FLAG, lib.FSCONFIG_SET_FD


def set_options(out: Encoder, fs: str, options: Iterable[tuple[str, str | None]]) -> None:
    """Options of a file system context: (name, value), a flag where the value is None."""
    for name, value in options:
        command = _SET_FLAG if value is None else _SET_STRING
        out.add(lib.KB_OP_FSCONFIG, command, at=fs, text=(out.string(name), out.string(value)))


@frozen
class CloneTree(Step):
    """A detached copy `to` of the mount at `path` (of descriptor `source`), for a bind mount or a layer.

    `attributes` are MOUNT_ATTR_* to set and to clear; with `userns`, ids are mapped as in that user namespace."""

    syscall: ClassVar[str] = "open_tree mount_setattr"
    path: str
    to: str
    source: str = NONE
    recursive: bool = False
    userns: str = NONE
    set_attributes: int = 0
    clear_attributes: int = 0
    recursive_attributes: int = 0
    propagation: int = 0
    whole_propagation: bool = True
    in_workshop: bool = False

    def describe(self) -> str:
        return f"clone the mount of {self.path or self.source}" + (" with mapped ids" if self.userns else "")

    def encode(self, out: Encoder) -> None:
        path = out.string(self.path) if self.path else 0
        how = _CLONE | (_RECURSIVE if self.recursive else 0)
        flags = IN_WORKSHOP if self.in_workshop else 0
        out.add(lib.KB_OP_OPEN_TREE, how, at=self.source, to=self.to, text=(path,), flags=flags)
        whole = self.propagation if self.recursive and self.whole_propagation else 0
        if whole or self.recursive_attributes:
            out.add(lib.KB_OP_SET_ATTR, self.recursive_attributes, 0, whole, _RECURSIVE, at=self.to)
        attributes = self.set_attributes | (lib.MOUNT_ATTR_IDMAP if self.userns else 0)
        if attributes or self.clear_attributes or (self.propagation and not whole):
            change = (attributes, self.clear_attributes, 0 if whole else self.propagation, 0)
            out.add(lib.KB_OP_SET_ATTR, *change, at=self.to, second=self.userns)


@frozen
class MakeMount(Step):
    """A new detached mount `to` of a file system type. As `owner`, where its root folder must belong to that id."""

    syscall: ClassVar[str] = "fsopen fsconfig fsmount"
    fstype: str
    to: str
    options: tuple[tuple[str, str | None], ...] = ()
    attributes: int = 0
    source: str = ""

    def describe(self) -> str:
        return f"make a {self.fstype} mount"

    def encode(self, out: Encoder) -> None:
        fs = f"fs of {self.to}"
        out.add(lib.KB_OP_FSOPEN, to=fs, text=(out.string(self.fstype),))
        if self.source:
            set_options(out, fs, (("source", self.source),))
        set_options(out, fs, self.options)
        out.add(lib.KB_OP_FSCREATE, at=fs)
        out.add(lib.KB_OP_FSMOUNT, self.attributes, at=fs, to=self.to)


@frozen
class MountOverlay(Step):
    """An overlay `to` of layers (the topmost first) under the folders `upper` and `work`, or read-only without them.

    By descriptors where the kernel takes them for detached mounts; otherwise by path: the layers are attached in the
    monitor's workshop for as long as the mount takes (`by_path`). `owner`: see KB_OP_FSCREATE."""

    syscall: ClassVar[str] = "fsopen fsconfig fsmount"
    layers: tuple[str, ...]
    to: str
    upper: str = NONE
    work: str = NONE
    owner: int = 0
    options: tuple[tuple[str, str | None], ...] = ()
    attributes: int = 0
    by_path: bool = False

    def describe(self) -> str:
        return f"mount an overlay of {len(self.layers)} layer{'s'[: len(self.layers) != 1]}"

    def encode(self, out: Encoder) -> None:
        if self.by_path:
            self._encode_by_path(out)
            return
        fs = f"fs of {self.to}"
        out.add(lib.KB_OP_FSOPEN, to=fs, text=(out.string("overlay"),))
        lower, upper, work = out.string("lowerdir+"), out.string("upperdir"), out.string("workdir")
        for layer in self.layers:
            out.add(lib.KB_OP_FSCONFIG, _SET_FD, at=fs, second=layer, text=(lower,))
        if self.upper:
            out.add(lib.KB_OP_FSCONFIG, _SET_FD, at=fs, second=self.upper, text=(upper,))
            out.add(lib.KB_OP_FSCONFIG, _SET_FD, at=fs, second=self.work, text=(work,))
        set_options(out, fs, self.options)
        out.add(lib.KB_OP_FSCREATE, self.owner, self.owner, at=fs)
        out.add(lib.KB_OP_FSMOUNT, self.attributes, at=fs, to=self.to)

    def _encode_by_path(self, out: Encoder) -> None:
        """`upper` and `work` are then folders below the mount "scratch", by their names."""
        places = {layer: f"/{number}" for number, layer in enumerate(self.layers)}
        if self.upper:
            places["scratch"] = "/scratch"
        for mount, place in places.items():
            out.add(lib.KB_OP_ATTACH, FOLDER, at=mount, text=(out.string(place),), flags=IN_WORKSHOP)
        fs = f"fs of {self.to}"
        options = [("lowerdir", ":".join(places[layer] for layer in self.layers))]
        if self.upper:
            options += [("upperdir", f"/scratch/{self.upper}"), ("workdir", f"/scratch/{self.work}")]
        out.add(lib.KB_OP_FSOPEN, to=fs, text=(out.string("overlay"),))
        for name, value in (*options, *self.options):
            command = _SET_FLAG if value is None else _SET_STRING
            texts = (out.string(name), out.string(value))
            out.add(lib.KB_OP_FSCONFIG, command, at=fs, text=texts, flags=IN_WORKSHOP)
        out.add(lib.KB_OP_FSCREATE, self.owner, self.owner, at=fs, flags=IN_WORKSHOP)
        out.add(lib.KB_OP_FSMOUNT, self.attributes, at=fs, to=self.to, flags=IN_WORKSHOP)
        ClearWorkshop(tuple(places.values())).encode(out)


@frozen
class ClearWorkshop(Step):
    """The layers leave the workshop: the overlay has them for itself by now, or the launch has failed."""

    syscall: ClassVar[str] = "umount2"
    places: tuple[str, ...]

    def describe(self) -> str:
        return "clear the workshop"

    def encode(self, out: Encoder) -> None:
        flags = IN_WORKSHOP | MAY_FAIL
        for place in self.places:
            out.add(lib.KB_OP_UMOUNT, lib.MNT_DETACH, text=(out.string(place),), flags=flags)


@frozen
class Attach(Step):
    """The detached mount `source` at `target` beneath the container's root; a missing target is made, by `owner`.

    `in_workshop`: the root is attached there."""

    syscall: ClassVar[str] = "openat2 move_mount"
    source: str
    target: str
    title: str
    kind: int = FOLDER
    owner: tuple[int, int] = (0, 0)
    in_workshop: bool = False

    def describe(self) -> str:
        return f"{self.title} on {self.target}"

    def encode(self, out: Encoder) -> None:
        flags = IN_WORKSHOP if self.in_workshop else 0
        numbers = (self.kind, *self.owner)
        out.add(lib.KB_OP_ATTACH, *numbers, at=self.source, second=ROOT, text=(out.string(self.target),), flags=flags)


@frozen
class AttachInWorkshop(Step):
    """A mount of the monitor's own, at a place of the workshop: kernels before 6.15 clone only what is attached."""

    syscall: ClassVar[str] = "openat2 move_mount"
    source: str
    place: str

    def describe(self) -> str:
        return f"keep {self.source} in the workshop"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_ATTACH, FOLDER, at=self.source, text=(out.string(self.place),), flags=IN_WORKSHOP)


@frozen
class MakePath(Step):
    """A folder (or an empty file) beneath the container's root, with the folders above it; one that exists is left
    alone."""

    syscall: ClassVar[str] = "openat2 mkdirat"
    target: str
    kind: int = FOLDER

    def describe(self) -> str:
        return f"make sure of {self.target}"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_ATTACH, self.kind, second=ROOT, text=(out.string(self.target),))


@frozen
class EnterRoot(Step):
    """The container's root over "/" of a namespace that holds nothing else, then chroot: constant time, where
    pivot_root visits every task of the machine."""

    syscall: ClassVar[str] = "move_mount fchdir chroot"

    def describe(self) -> str:
        return "enter the root file system"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_ROOT, at=ROOT)


@frozen
class ProtectRoot(Step):
    """The root file system becomes read-only, after everything that is mounted in it has its place."""

    syscall: ClassVar[str] = "mount_setattr"

    def describe(self) -> str:
        return "make the root file system read-only"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_SET_ATTR, lib.MOUNT_ATTR_RDONLY, 0, 0, 0, at=ROOT)


@frozen
class Unmount(Step):
    """A mount of the template goes; `path` is seen from the process."""

    syscall: ClassVar[str] = "umount2"
    path: str

    def describe(self) -> str:
        return f"unmount {self.path}"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_UMOUNT, lib.MNT_DETACH, text=(out.string(self.path),))


@frozen
class SetPropagation(Step):
    """Which mounts of other namespaces arrive at `path`, and which of ours leave (mount_namespaces(7))."""

    syscall: ClassVar[str] = "mount"
    path: str
    flags: int
    title: str

    def describe(self) -> str:
        return f"make {self.path} {self.title}"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_PROPAGATION, self.flags, text=(out.string(self.path),))


@frozen
class MakeDeviceNodes(Step):
    """Device nodes and links in a /dev of our own, before it is attached: (name, mode, device number), (name,
    target)."""

    syscall: ClassVar[str] = "mknodat symlinkat mkdirat"
    folder: str
    nodes: tuple[tuple[str, int, int], ...]
    links: tuple[tuple[str, str], ...]
    folders: tuple[str, ...]

    def describe(self) -> str:
        return "make the devices " + " ".join(name for name, _, _ in self.nodes)

    def encode(self, out: Encoder) -> None:
        for name in self.folders:
            out.add(lib.KB_OP_MKDIR, 0o755, at=self.folder, text=(out.string(name),))
        for name, mode, number in self.nodes:
            out.add(lib.KB_OP_MKNOD, mode, number, at=self.folder, text=(out.string(name),))
        for name, target in self.links:
            out.add(lib.KB_OP_SYMLINK, at=self.folder, text=(out.string(name), out.string(target)))


@frozen
class MaskPath(Step):
    """Nothing to see at `path`: an empty read-only folder over a folder, /dev/null over a file. Both are ours.

    `kernel`: a path of the procfs or sysfs that this plan mounts."""

    syscall: ClassVar[str] = "mount"
    path: str
    empty: str
    null: str
    folder: bool = False
    kernel: bool = True

    def describe(self) -> str:
        return f"mask {self.path}"

    def encode(self, out: Encoder) -> None:
        path = (out.string(self.path),)
        if self.kernel:
            out.add(lib.KB_OP_MASK_KERNEL, self.folder, at=self.empty, third=self.null, text=path)
        else:
            out.add(lib.KB_OP_MASK, at=self.empty, second=ROOT, third=self.null, text=path)


@frozen
class ProtectPath(Step):
    """`path` becomes read-only by a bind mount on itself; `kernel` as for MaskPath."""

    syscall: ClassVar[str] = "mount"
    path: str
    kernel: bool = True

    def describe(self) -> str:
        return f"make {self.path} read-only"

    def encode(self, out: Encoder) -> None:
        path = (out.string(self.path),)
        if self.kernel:
            flags = lib.MS_RDONLY | lib.MS_NOSUID | lib.MS_NODEV | lib.MS_NOEXEC
            out.add(lib.KB_OP_PROTECT_KERNEL, flags, text=path)
        else:
            attributes = lib.MOUNT_ATTR_RDONLY | lib.MOUNT_ATTR_NOSUID | lib.MOUNT_ATTR_NODEV | lib.MOUNT_ATTR_NOEXEC
            out.add(lib.KB_OP_READONLY, attributes, second=ROOT, text=path)
