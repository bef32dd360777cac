"""The two forms of a layer at rest, and who makes them: a folder, which overlayfs takes everywhere, or the image of a
file system, which is there sooner, where it can be mounted."""

from __future__ import annotations

from pathlib import Path

from kernelbox.linux import erofs
from kernelbox.store import layer_erofs, layer_tree
from kernelbox.store.layer_pipe import Unpacked
from kernelbox.store.layer_work import NATURAL, Facts, Owners
from kernelbox.store.layers import EROFS, TREE, LayerForm

__all__ = ["best_form", "erofs_form", "tree_form"]


def best_form(folder: Path, *, rootless: bool, owners: Owners = NATURAL) -> LayerForm:
    """The one for layers below `folder`, which is there: images where this process can mount them from it, and their
    ids may be the natural ones."""
    images = not rootless and owners == NATURAL and erofs.supported(folder)
    return erofs_form() if images else tree_form(rootless=rootless, owners=owners)


def erofs_form() -> LayerForm:
    """Layers as images, with their natural ids; see `layer_erofs.write`. Whoever reads one mounts it."""

    def write(image: int, archive: int) -> Unpacked:
        # The archive is that of a digest, or is thrown away.
        return _unpacked(layer_erofs.write(image, archive, verified=True))

    return LayerForm(EROFS, write)


def tree_form(*, rootless: bool, owners: Owners = NATURAL) -> LayerForm:
    """Layers as folders, for overlays with "userxattr" where `rootless`; see `layer_tree.unpack`."""

    def unpack(folder: int, archive: int) -> Unpacked:
        # The archive is that of a digest, or is thrown away.
        return _unpacked(layer_tree.unpack(folder, archive, rootless=rootless, owners=owners, verified=True))

    return LayerForm(TREE, unpack)


def _unpacked(facts: Facts) -> Unpacked:
    left = {
        "xattrs_left_out": facts.xattrs_left_out,
        "devices_left_out": facts.devices_left_out,
        "owners_folded": facts.owners_folded,
    }
    return Unpacked(facts.entries, facts.bytes, {name: count for name, count in left.items() if count})
