"""The two forms of a layer at rest, and who makes them: a folder, which overlayfs takes everywhere."""

from __future__ import annotations

from kernelbox.store import layer_tree
from kernelbox.store.layer_pipe import Unpacked
from kernelbox.store.layer_tree import NATURAL, Facts, Owners
from kernelbox.store.layers import TREE, LayerForm

__all__ = ["tree_form"]


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
