"""Overlay: several folders seen as one, all changes going to the topmost (Documentation/filesystems/overlayfs.rst).

"lower" folders are only read. What is changed is first copied up to "upper"; what is deleted gets a "whiteout" there, a
device file 0:0. "work" is the kernel's own folder beside upper, on the same file system. Without upper and work it is
read-only.

    from kernelbox.linux import overlay

    with overlay.detached(["/srv/top-layer", "/srv/base-layer"], upper="/var/tmp/u", work="/var/tmp/w") as mount:
        mount.move("/mnt")
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from kernelbox.errors import InvalidOption, KernelError, NotSupported
from kernelbox.linux import mounts
from kernelbox.linux.descriptor import Descriptor
from kernelbox.native import check, lib

__all__ = ["Layer", "by_descriptor", "by_path", "detached"]

Layer = Path | str | Descriptor | int
"""A folder: by path, or as an open descriptor (also of a detached mount, where `features.overlay_by_fd`)."""

Options = Iterable[tuple[str, str | None]]

_NO_DESCRIPTORS = (errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF)  # before 6.5, before 6.13, and of a detached mount
_LONGEST_OPTION = 255  # fsconfig(2) takes strings of up to 256 bytes with their NUL


def detached(
    lower: Sequence[Layer], upper: Layer | None = None, work: Layer | None = None, options: Options = ()
) -> mounts.Mount:
    """A detached overlay mount of `lower` folders, the topmost first. `options` such as ("volatile", None).

    The layers are given to the kernel as descriptors (Linux 6.13), otherwise as paths. Raises KernelError."""
    try:
        return by_descriptor(lower, upper, work, options)
    except KernelError as error:
        if error.errno not in _NO_DESCRIPTORS or error.operation != "set the mount option":
            raise
    return by_path(lower, upper, work, options)


def by_descriptor(
    lower: Sequence[Layer], upper: Layer | None = None, work: Layer | None = None, options: Options = ()
) -> mounts.Mount:
    """The same with descriptors only: no path is looked up twice, and layers may be mounts that are attached
    nowhere."""
    _check(lower, upper, work)
    with ExitStack() as opened:
        fs = opened.enter_context(_open())
        for layer in lower:
            mounts.configure(fs, "lowerdir+", _fd(layer, opened))
        if upper is not None and work is not None:
            mounts.configure(fs, "upperdir", _fd(upper, opened))
            mounts.configure(fs, "workdir", _fd(work, opened))
        return _create(fs, options)


def by_path(
    lower: Sequence[Layer], upper: Layer | None = None, work: Layer | None = None, options: Options = ()
) -> mounts.Mount:
    """The same with one "lowerdir" option of paths, as every kernel takes it. Layers must be reachable by a path from
    the caller's mount namespace; an open descriptor is by /proc/self/fd."""
    _check(lower, upper, work)
    with ExitStack() as opened:
        fs = opened.enter_context(_open())
        # A descriptor's path is short, and needs none of the escapes for ":" and ",".
        joined = ":".join(_proc_path(layer, opened) for layer in lower)
        if len(joined) > _LONGEST_OPTION:
            raise NotSupported(f"this kernel takes overlays of a few layers only, not {len(lower)}")
        mounts.configure(fs, "lowerdir", joined)
        if upper is not None and work is not None:
            mounts.configure(fs, "upperdir", _proc_path(upper, opened))
            mounts.configure(fs, "workdir", _proc_path(work, opened))
        return _create(fs, options)


def _check(lower: Sequence[Layer], upper: Layer | None, work: Layer | None) -> None:
    if (upper is None) != (work is None):
        raise InvalidOption("an overlay needs both of upper and work, or neither")
    if not lower or (upper is None and len(lower) < 2):
        raise InvalidOption("an overlay needs a lower layer, and a second one where it has no upper layer")


def _open() -> Descriptor:
    hint = "modprobe overlay"
    fs = Descriptor(check(lib.kb_fsopen(b"overlay", lib.FSOPEN_CLOEXEC), "open the file system", "overlay", hint=hint))
    mounts.configure(fs, "source", "overlay")
    return fs


def _create(fs: Descriptor, options: Options) -> mounts.Mount:
    for name, value in options:
        mounts.configure(fs, name, value)
    return mounts.create(fs, "overlay")


def _fd(layer: Layer, opened: ExitStack) -> int:
    """A descriptor of the layer; one that is opened here is closed with `opened`."""
    if isinstance(layer, int):
        return layer
    if isinstance(layer, Descriptor):
        return layer.fileno()
    try:
        fd = os.open(layer, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise KernelError(error.errno or 0, "open the layer", str(layer)) from error
    return opened.enter_context(Descriptor(fd)).fileno()


def _proc_path(layer: Layer, opened: ExitStack) -> str:
    return f"/proc/self/fd/{_fd(layer, opened)}"
