"""EROFS: a read-only file system in one file (Documentation/filesystems/erofs.rst), here that of a layer.

The kernel mounts the file itself since Linux 6.12, where the file system that it lies on reads by pages (tmpfs does
not); otherwise a loop device stands between the two, which goes when the mount does. Either way it takes root of the
machine. The kernel reads these images since 5.15.

    from kernelbox.linux import erofs

    with erofs.mount("/srv/layer.erofs") as mount:
        mount.move("/mnt")
"""

from __future__ import annotations

import errno
import fcntl
import functools
import os
import struct
import tempfile
from pathlib import Path

from kernelbox.errors import KernelBoxError, KernelError
from kernelbox.linux import mounts
from kernelbox.linux.descriptor import Descriptor
from kernelbox.native import check, ffi, lib

__all__ = ["by_file", "by_loop_device", "mount", "supported"]

_LONGEST_SOURCE = 255  # fsconfig(2) takes strings of up to 256 bytes with their NUL
_TRIES = 16
"""Of loop devices that were free a moment ago."""
_BLOCK = 4096

_LOOP_CONFIG = struct.Struct("=II 5Q4I64s64s32s2Q 64x")
"""`struct loop_config` of linux/loop.h: the file, the size of a block, a `struct loop_info64`, and what is reserved."""


def mount(image: Path | str | Descriptor) -> mounts.Mount:
    """A detached mount of the image, read-only, whose ids may yet be mapped (`Mount.change`).

    No device in it can be opened there and no set-user-id program gains anything; an overlay on it decides that anew.
    The image must not change while it is mounted. Raises KernelError."""
    try:
        return by_file(image)
    except KernelError as error:
        if error.errno != errno.ENOTBLK:
            raise
    return by_loop_device(image)


def by_file(image: Path | str | Descriptor) -> mounts.Mount:
    """The same without a loop device. The errno is ENOTBLK where this kernel cannot, or not on that file system."""
    if isinstance(image, Descriptor):
        return _mount(f"/proc/self/fd/{image.fileno()}")
    path = os.path.abspath(image)
    if len(os.fsencode(path)) <= _LONGEST_SOURCE:
        return _mount(path)
    with _open(image) as opened:
        return by_file(opened)


def by_loop_device(image: Path | str | Descriptor) -> mounts.Mount:
    """The same by a loop device, which is released with the mount. It reads around the page cache where it can, so that
    nothing is kept there twice."""
    if not isinstance(image, Descriptor):
        with _open(image) as opened:
            return by_loop_device(opened)
    with _loop_device(image) as device:
        return _mount(os.readlink(f"/proc/self/fd/{device.fileno()}"))


@functools.cache
def supported(folder: Path) -> bool:
    """Whether this process can mount images that lie in the folder: tried once, with an empty one."""
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file, Descriptor(os.dup(file.fileno())) as image:
            _write_empty(image)
            mount(image).close()
    except (KernelBoxError, OSError):
        return False
    return True


def _mount(source: str) -> mounts.Mount:
    attributes = lib.MOUNT_ATTR_NODEV | lib.MOUNT_ATTR_NOSUID
    return mounts.detached("erofs", {"ro": None}, attributes, source=source)


def _open(path: Path | str, flags: int = os.O_RDONLY) -> Descriptor:
    try:
        return Descriptor(os.open(path, flags | os.O_CLOEXEC))
    except OSError as error:
        raise KernelError(error.errno or errno.EIO, "open", os.fspath(path)) from error


def _loop_device(image: Descriptor) -> Descriptor:
    """A device on the image, for as long as the descriptor or a mount holds it: LOOP_CONFIGURE (Linux 5.8)."""
    flags = lib.LO_FLAGS_READ_ONLY | lib.LO_FLAGS_AUTOCLEAR | lib.LO_FLAGS_DIRECT_IO
    info = (0, 0, 0, 0, 0, 0, 0, 0, flags, b"", b"", b"", 0, 0)
    config = _LOOP_CONFIG.pack(image.fileno(), _BLOCK, *info)
    with _open("/dev/loop-control", os.O_RDWR) as control:
        for _ in range(_TRIES):
            device = _open(f"/dev/loop{fcntl.ioctl(control, lib.LOOP_CTL_GET_FREE)}")
            try:
                fcntl.ioctl(device, lib.LOOP_CONFIGURE, config)
            except OSError as error:
                device.close()
                if error.errno == errno.EBUSY:  # somebody was faster
                    continue
                raise KernelError(error.errno or errno.EIO, "configure a loop device") from error
            return device
    raise KernelError(errno.EBUSY, "find a loop device that stays free")


def _write_empty(output: Descriptor) -> None:
    """The image of an archive without entries."""
    result = ffi.new("struct kb_layer_result *")
    options = ffi.new("struct kb_layer_options *", {"stop": -1, "flags": lib.KB_LAYER_END_OPTIONAL})
    with _open(os.devnull) as nothing:
        check(lib.kb_layer_erofs(nothing.fileno(), output.fileno(), options, result), "write an EROFS image")
