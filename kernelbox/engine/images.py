"""Images by name: `host`, `dir:PATH` and `bundle:PATH`."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from kernelbox.engine import host_image
from kernelbox.errors import ImageNotFound, InvalidOption
from kernelbox.linux.descriptor import Descriptor
from kernelbox.native import lib
from kernelbox.oci.image_config import ImageConfig
from kernelbox.oci.platform import Platform, of_machine
from kernelbox.oci.runtime_spec import Config, Mount
from kernelbox.runtime.encoder import NONE
from kernelbox.runtime.setup import HOST_MASK

__all__ = ["Image", "ImageLayer", "Images", "read_beneath"]

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


class Images:
    """The images of an engine."""

    def __init__(self, *, rootless: bool) -> None:
        self._host: Image | None = None
        self._rootless = rootless

    def names(self) -> list[str]:
        """What can be typed as an image: names, and prefixes that a path follows."""
        return ["host", "dir:", "bundle:"]

    def get(self, name: str, platform: Platform | None = None) -> Image:
        """The image of this name, for `platform` where that is said. Raises ImageNotFound with what there is."""
        found = self._get(name)
        if platform is not None and platform != (own := of_machine(os.uname().machine)):
            raise ImageNotFound(
                f"the image {name} is not there for the platform {platform}",
                hint=f"it is for {own}, as this machine is",
            )
        return found

    def _get(self, name: str) -> Image:
        if name == "host":
            return self._get_host()
        kind, colon, path = name.partition(":")
        if colon and kind == "dir":
            return _folder(name, path)
        if colon and kind == "bundle":
            return _bundle(name, path)
        hint = "there are: host, dir:PATH (a folder), bundle:PATH (an OCI bundle)"
        if os.path.isdir(name):
            hint = f"for the folder itself write dir:{name}"
        raise ImageNotFound(f"no image is called {name!r}", hint=hint)

    def _get_host(self) -> Image:
        if self._host is None:
            self._host = Image(
                "host",
                host_image.host_config(),
                (ImageLayer(source=HOST_MASK),) if self._rootless else (ImageLayer(source=HOST_MASK), ImageLayer("/")),
                mounts=host_image.binds(rootless=self._rootless),
                accounts=(host_image.PASSWD, host_image.GROUP),
            )
        return self._host


def _existing_folder(name: str, path: str) -> str:
    if "\0" in path:
        raise InvalidOption(f"image {name!r}: a path cannot contain a NUL")
    folder = os.path.realpath(os.path.expanduser(path or "."))
    if not os.path.isdir(folder):
        what = "is not a folder" if os.path.exists(folder) else "does not exist"
        raise ImageNotFound(f"image {name!r}: {folder} {what}")
    return folder


def _folder(name: str, path: str) -> Image:
    folder = _existing_folder(name, path)
    shell = next((s for s in ("/bin/bash", "/bin/sh") if os.path.lexists(folder + s)), "/bin/sh")
    return Image(name, ImageConfig(cmd=(shell,)), (ImageLayer(folder),))


def _bundle(name: str, path: str) -> Image:
    from kernelbox.oci import runtime_spec

    folder = Path(_existing_folder(name, path))
    try:
        document = (folder / "config.json").read_bytes()
    except OSError as error:
        raise ImageNotFound(f"image {name!r}: no OCI bundle in {folder}: {error.strerror}") from error
    config = runtime_spec.parse(document)
    root = folder / config.root.path
    if not root.is_dir():
        raise ImageNotFound(f"image {name!r}: its root file system {root} is not a folder")
    return Image(name, ImageConfig(), bundle=config, root=str(root.resolve()), bundle_path=str(folder))
