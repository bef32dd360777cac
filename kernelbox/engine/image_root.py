"""The files of an image without a container: for what is copied out of it before there is one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kernelbox.engine.image import Image
from kernelbox.engine.layer_mounts import LayerMount
from kernelbox.runtime import compile_root
from kernelbox.runtime.plan import Plan
from kernelbox.runtime.steps.mounts import ROOT
from kernelbox.runtime.target import Layer, Rootfs, Target

if TYPE_CHECKING:
    from kernelbox.engine.engine import Engine

__all__ = ["open_image_root"]


@contextlib.contextmanager
def open_image_root(box: Engine, image: Image) -> Iterator[int]:
    """A descriptor of the image's root, its files with the owners that they have in a container. What an ordinary
    user's `host` shows of the machine is not below it: that is mounted into each container."""
    layers = [layer for layer in image.layers if layer.path]
    if image.root or (len(image.layers) == 1 and layers):
        place = image.root or box.opened().kernel.layers.folder_of(layers[0])
        root = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    else:
        opened = box.opened()
        if image.name == "host":
            box.refresh_host(opened.monitor, None)
        given = tuple(Layer(each.path, each.source, mapped=False, given=each.erofs) for each in image.layers)
        target = Target("", Rootfs(given), opened.kernel.features, rootless=opened.rootless)
        mounted = [opened.kernel.layers.folder_of(each) for each in image.layers]
        sent = {compile_root.layer_name(at): each for at, each in enumerate(mounted) if isinstance(each, LayerMount)}
        plan = Plan(tuple(compile_root.image_steps(target)), reveal=ROOT)
        root = opened.monitor.reveal(plan, {name: mount.fileno() for name, mount in sent.items()})
    try:
        yield root
    finally:
        os.close(root)
