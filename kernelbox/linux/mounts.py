"""Mounts: file systems, or parts of them, made to appear in the tree of folders (mount(2), open_tree(2), fsopen(2)).

The newer calls take a mount apart into steps. `fsopen` and `fsmount` make one, `open_tree` copies one; until it is
moved somewhere it is "detached": a descriptor which sees it, while no path does. Attributes (read-only, no set-user-id,
ids mapped) are changed with `mount_setattr`, and closing the descriptor of a detached mount makes it vanish.

    from kernelbox.linux import mounts

    with mounts.detached("tmpfs", {"size": "1m"}) as mount:            # as root
        Path(f"/proc/self/fd/{mount.fileno()}/hello").touch()         # usable before it is anywhere
        mount.move("/mnt")
    # unmounted again

    with mounts.bind("/etc", "/mnt", "ro"): ...
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType

from kernelbox.errors import KernelError
from kernelbox.linux.descriptor import Descriptor
from kernelbox.linux.mount_options import MountOptions, parse_options
from kernelbox.linux.mountinfo import MountInfo
from kernelbox.linux.mountinfo import read as mountinfo
from kernelbox.native import check, cstring, ffi, lib

__all__ = [
    "BoundMount",
    "Mount",
    "MountInfo",
    "MountOptions",
    "bind",
    "clone",
    "detached",
    "mountinfo",
    "parse_options",
    "set_attributes",
    "unmount",
]

Options = Mapping[str, str | None] | Iterable[tuple[str, str | int | None]]


class Mount(Descriptor):
    """A mount held by a descriptor. At the end of its block it is unmounted, if it was moved somewhere, and closed."""

    __slots__ = ("_target",)

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self._target: Path | None = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._target is not None:
                unmount(self._target)
        finally:
            self.close()

    @property
    def target(self) -> Path | None:
        """Where it was moved, None while it is detached."""
        return self._target

    def move(self, target: Path | str) -> None:
        """Attach it on the folder or file `target`, or move it there from where it is."""
        path = Path(target).absolute()
        flags = lib.MOVE_MOUNT_F_EMPTY_PATH
        check(lib.kb_move_mount(self.fileno(), b"", lib.AT_FDCWD, os.fsencode(path), flags), "attach a mount on", path)
        self._target = path

    def change(
        self, *, add: int = 0, clear: int = 0, propagation: int = 0, recursive: bool = False, userns: int = -1
    ) -> None:
        """Change its attributes (MOUNT_ATTR_*); see `set_attributes`."""
        set_attributes(self.fileno(), add=add, clear=clear, propagation=propagation, recursive=recursive, userns=userns)


def detached(fstype: str, options: Options = (), attributes: int = 0, *, source: str | None = None) -> Mount:
    """A new mount of a file system, such as "tmpfs" or "proc", not attached anywhere.

    A value None makes an option a flag; `attributes` are MOUNT_ATTR_*. Raises KernelError, with the kernel's own words
    as the hint where it says more than the errno."""
    fs = Descriptor(check(lib.kb_fsopen(cstring(fstype), lib.FSOPEN_CLOEXEC), "open the file system", fstype))
    pairs: Iterable[tuple[str, str | int | None]] = options.items() if isinstance(options, Mapping) else options
    with fs:
        for name, value in (("source", source or fstype), *pairs):
            configure(fs, name, None if value is None else str(value))
        return create(fs, fstype, attributes)


def configure(fs: Descriptor, name: str, value: str | int | None) -> None:
    """One option of a file system being made: a string, a descriptor (int), or a flag (None). fsconfig(2)"""
    kinds = {str: lib.FSCONFIG_SET_STRING, int: lib.FSCONFIG_SET_FD, type(None): lib.FSCONFIG_SET_FLAG}
    text = cstring(value) if isinstance(value, str) else ffi.NULL
    number = value if isinstance(value, int) else 0
    result = lib.kb_fsconfig(fs.fileno(), kinds[type(value)], cstring(name), text, number)
    check(result, "set the mount option", f"{name}={value}" if value is not None else name, hint=_message(fs, result))


def create(fs: Descriptor, fstype: str, attributes: int = 0) -> Mount:
    """The detached mount of a file system whose options are set. fsconfig(2), fsmount(2)"""
    result = lib.kb_fsconfig(fs.fileno(), lib.FSCONFIG_CMD_CREATE, ffi.NULL, ffi.NULL, 0)
    check(result, "mount", fstype, hint=_message(fs, result))
    return Mount(check(lib.kb_fsmount(fs.fileno(), lib.FSMOUNT_CLOEXEC, attributes), "mount", fstype))


def _message(fs: Descriptor, result: int) -> str | None:
    """What the kernel has to say about a failure: lines led by "e " (error), "w " or "i "."""
    if result >= 0:
        return None
    lines = []
    buffer = ffi.new("char[]", 512)
    while (size := lib.kb_fs_message(fs.fileno(), buffer, 512)) > 0:
        lines.append(bytes(ffi.buffer(buffer, size)).decode("utf-8", "replace")[2:].strip())
    return "; ".join(lines) or None


def clone(path: Path | str | Descriptor, *, recursive: bool = False) -> Mount:
    """A detached copy of what is mounted at `path`, from that folder or file on; `recursive` takes mounts below too."""
    flags = lib.OPEN_TREE_CLONE | lib.OPEN_TREE_CLOEXEC | (lib.AT_RECURSIVE if recursive else 0)
    if isinstance(path, Descriptor):
        result = lib.kb_open_tree(path.fileno(), b"", flags | lib.AT_EMPTY_PATH)
    else:
        result = lib.kb_open_tree(lib.AT_FDCWD, os.fsencode(path), flags)
    return Mount(check(result, "clone the mount of", path))


def set_attributes(
    where: Path | str | int,
    *,
    add: int = 0,
    clear: int = 0,
    propagation: int = 0,
    recursive: bool = False,
    userns: int = -1,
) -> None:
    """Add and clear MOUNT_ATTR_* bits of the mount at a path or behind a descriptor (mount_setattr(2)).

    `propagation` is MS_SHARED, MS_PRIVATE, MS_SLAVE or MS_UNBINDABLE; with `userns` (a descriptor) its ids are mapped
    as in that user namespace, once and for all, which only a mount that was never attached allows."""
    add |= lib.MOUNT_ATTR_IDMAP if userns >= 0 else 0
    flags = lib.AT_RECURSIVE if recursive else 0
    folder, path = (where, b"") if isinstance(where, int) else (lib.AT_FDCWD, os.fsencode(where))
    flags |= lib.AT_EMPTY_PATH if isinstance(where, int) else 0
    result = lib.kb_mount_setattr(folder, path, flags, add, clear, propagation, userns)
    check(result, "change the attributes of the mount", "" if isinstance(where, int) else where)


class BoundMount:
    """A folder or file that appears at `target` until the end of the block."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __enter__(self) -> BoundMount:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        unmount(self.target)


def bind(source: Path | str, target: Path | str, *options: str) -> BoundMount:
    """Make `source` appear on `target` too, with options such as "ro" or "rbind"; by mount(2) where the newer calls are
    not there. Raises KernelError; nothing is left attached then."""
    parsed = parse_options(options)
    path = Path(target).absolute()
    try:
        mount = clone(source, recursive=parsed.recursive)
    except KernelError as error:
        if error.errno != errno.ENOSYS:
            raise
        _bind_by_mount(source, path, parsed)
        return BoundMount(path)
    try:
        if parsed.recursive_set or parsed.recursive_clear:
            mount.change(add=parsed.recursive_set, clear=parsed.recursive_clear, recursive=True)
        mount.change(add=parsed.set, clear=parsed.clear, propagation=parsed.propagation)
        mount.move(path)
    finally:
        mount.close()
    return BoundMount(path)


def _bind_by_mount(source: Path | str, target: Path, options: MountOptions) -> None:
    where = os.fsencode(target)
    recursive = lib.MS_REC if options.recursive else 0
    result = lib.kb_mount(os.fsencode(source), where, ffi.NULL, lib.MS_BIND | recursive, ffi.NULL)
    check(result, f"bind {source} on", target)
    try:
        # The first call ignores all attributes; the second changes them, of the topmost mount only.
        flags = options.flags & ~lib.MS_REC | lib.MS_BIND | lib.MS_REMOUNT
        if options.set or options.clear:
            check(
                lib.kb_mount(ffi.NULL, where, ffi.NULL, flags, ffi.NULL), "change the attributes of the mount", target
            )
        if options.propagation:
            check(
                lib.kb_mount(ffi.NULL, where, ffi.NULL, options.propagation, ffi.NULL), "set the propagation of", target
            )
    except KernelError:
        unmount(target)
        raise


def unmount(target: Path | str) -> None:
    """Take the topmost mount off `target`: at once from the tree of folders, and for good when its last user is
    gone."""
    check(lib.kb_umount2(os.fsencode(target), lib.MNT_DETACH | lib.UMOUNT_NOFOLLOW), "unmount", target)
