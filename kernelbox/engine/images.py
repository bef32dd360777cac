"""Images by name: `host`, `dir:PATH`, `bundle:PATH`, and those of the store."""

from __future__ import annotations

import os
from pathlib import Path

from kernelbox.engine import host_image
from kernelbox.engine.image import Image, ImageLayer
from kernelbox.errors import ImageNotFound, InvalidOption
from kernelbox.oci.image_config import ImageConfig
from kernelbox.oci.platform import Platform, of_machine
from kernelbox.runtime.setup import HOST_MASK

__all__ = ["Images"]


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
