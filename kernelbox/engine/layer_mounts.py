"""Layers that lie in the store as the image of a file system, mounted: once for an engine, and shared by all that it
starts, so that what they read is in memory once."""

from __future__ import annotations

import threading
from collections import OrderedDict

from kernelbox.engine.image import ImageLayer
from kernelbox.linux import erofs, mounts

__all__ = ["LayerMount", "LayerMounts"]

_MOST = 256


class LayerMount:
    """A detached mount, which is there for as long as this object. As a path it is its root, in this process."""

    def __init__(self, mount: mounts.Mount) -> None:
        self._mount = mount

    def fileno(self) -> int:
        return self._mount.fileno()

    def __fspath__(self) -> str:
        return f"/proc/self/fd/{self.fileno()}"

    def __del__(self) -> None:
        self._mount.close()


class LayerMounts:
    """Keeps those that were used last, until `close`. Safe for several threads."""

    def __init__(self) -> None:
        self._mounts: OrderedDict[str, LayerMount] = OrderedDict()
        self._mutex = threading.Lock()

    def folder_of(self, layer: ImageLayer) -> str | LayerMount:
        """What an overlay takes as a layer. Raises KernelError where the image of a file system cannot be mounted."""
        if not layer.erofs:
            return layer.path
        with self._mutex:
            found = self._mounts.get(layer.path)
            if found is None:
                found = self._mounts[layer.path] = LayerMount(erofs.mount(layer.path))
                while len(self._mounts) > _MOST:
                    self._mounts.popitem(last=False)
            self._mounts.move_to_end(layer.path)
            return found

    def close(self) -> None:
        """Idempotent; mounts that somebody still has stay until they are through with them."""
        with self._mutex:
            self._mounts.clear()
