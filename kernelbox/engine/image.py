"""What a container is made from: layers, or a bundle's root file system, and what the image says about running it."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, field

from kernelbox.errors import InvalidOption
from kernelbox.linux.descriptor import Descriptor
from kernelbox.native import lib
from kernelbox.oci.image_config import ImageConfig
from kernelbox.oci.runtime_spec import Config, Mount
from kernelbox.runtime.encoder import NONE

__all__ = ["Image", "ImageLayer", "read_beneath"]

_MOST_PASSWD = 1 << 20
"""The bound of what is read of /etc/passwd and /etc/group: users.py gets no more."""


@dataclass(frozen=True, slots=True)
class ImageLayer:
    """A folder of the machine, or the mask of `host`."""

    path: str = ""
    source: str = NONE


@dataclass(frozen=True, slots=True)
class Image:
    """What a container is made from. A bundle has its own configuration and its root file system, written to in
    place."""

    name: str
    config: ImageConfig
    layers: tuple[ImageLayer, ...] = ()
    digest: str = ""
    mounts: tuple[Mount, ...] = ()
    bundle: Config | None = None
    root: str = ""
    bundle_path: str = ""
    accounts: tuple[bytes, bytes] | None = field(default=None, repr=False)

    def read_accounts(self) -> tuple[bytes, bytes]:
        """The image's /etc/passwd and /etc/group; empty where there is none. Raises InvalidOption for what is no such
        file."""
        if self.accounts is not None:
            return self.accounts
        root = os.open(self.root or self.layers[0].path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return read_beneath(root, "/etc/passwd"), read_beneath(root, "/etc/group")
        finally:
            os.close(root)


def read_beneath(root: int, path: str, whose: str = "user: the image's") -> bytes:
    """A regular file of at most 1 MiB, resolved beneath the root: an image's link cannot lead to the machine's file.
    Empty where there is none; one that is there and cannot be read must not pass for that, or a user has group 0."""
    what, resolve = f"{whose} {path}", lib.RESOLVE_IN_ROOT | lib.RESOLVE_NO_MAGICLINKS
    descriptor = lib.kb_openat2(root, path.encode(), os.O_RDONLY | os.O_NONBLOCK, 0, resolve)
    if descriptor in (-errno.ENOENT, -errno.ENOTDIR):
        return b""
    if descriptor == -errno.ENXIO:  # a socket
        raise InvalidOption(f"{what} is not a regular file")
    if descriptor < 0:
        raise InvalidOption(f"{what} cannot be read: {os.strerror(-descriptor).lower()}")
    with Descriptor(descriptor):
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise InvalidOption(f"{what} is not a regular file")
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(_MOST_PASSWD + 1)
    if len(content) > _MOST_PASSWD:
        raise InvalidOption(f"{what} is larger than {_MOST_PASSWD >> 20} MiB")
    return content
