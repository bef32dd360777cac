"""From content in the store to an image: its layers unpacked, several at once, and its row written; and back from the
row to what a container is made from."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from kernelbox.engine.image import Image, ImageLayer, Stored
from kernelbox.engine.image_root import open_image_root
from kernelbox.errors import InvalidOption, NotSupported
from kernelbox.oci import image_document
from kernelbox.oci.descriptor import Descriptor
from kernelbox.oci.digest import Digest
from kernelbox.oci.manifest import Index, Manifest
from kernelbox.oci.reference import Reference
from kernelbox.runtime.plan import Plan
from kernelbox.runtime.setup import TRASH
from kernelbox.runtime.steps.ending import Sweep
from kernelbox.store.image_rows import ImageRecord
from kernelbox.store.image_store import ImageStore
from kernelbox.store.layer_forms import best_form, tree_form
from kernelbox.store.layer_pipe import LayerSource
from kernelbox.store.layer_work import Owners
from kernelbox.store.layers import TREE, Layer, LayerForm, Layers
from kernelbox.store.trust_rows import Vouched

if TYPE_CHECKING:
    from kernelbox.engine.engine import Engine

__all__ = ["Progress", "image_of", "install", "open_store"]

Progress = Callable[[Descriptor, int], object]
"""Is told of a layer how many of its bytes have been unpacked; may be called from several threads at once."""

_MOST_AT_ONCE = 4


def open_store(box: Engine) -> ImageStore:
    """The images of an engine's store."""
    rootless = box.rootless

    def sweep(name: str) -> None:
        box.opened().monitor.carry_out(Plan((Sweep(name, TRASH, TRASH),)))

    def form(folder: Path) -> LayerForm:
        features, owners = box.opened().kernel.features, Owners(one=rootless)
        if _folders_are_wanted():
            return tree_form(rootless=rootless, owners=owners)
        if features.detached_clone and features.overlay_by_fd:  # what is mounted once can be sent along with each start
            return best_form(folder, rootless=rootless, owners=owners)
        return tree_form(rootless=rootless, owners=owners)

    layers = Layers(box.paths.layers, box.paths.trash, sweep, form)
    return ImageStore(box.containers.state, box.paths, layers, sweep)


def _folders_are_wanted() -> bool:
    """Whether $KERNELBOX_LAYERS is "tree". Raises InvalidOption for a word that it does not know."""
    chosen = os.environ.get("KERNELBOX_LAYERS") or "best"
    if chosen not in ("best", TREE):
        raise InvalidOption(f"KERNELBOX_LAYERS={chosen}: layers have no such form", hint="tree, or best")
    return chosen == TREE


def install(
    box: Engine,
    manifest: Manifest,
    names: Sequence[Reference] = (),
    *,
    indexes: Iterable[Index] = (),
    action: str = "",
    progress: Progress | None = None,
    vouched: Sequence[Vouched] = (),
) -> ImageRecord:
    """An image of the store, all of whose content is there and kept by a lease of the caller's. Raises InvalidContent
    where it is not what it says, BlobNotFound, StoreError, KernelError; then there is no such image."""
    box.opened()  # which makes the folders of the store
    store = box.images.store
    manifest.check_image()
    document = image_document.parse(store.blobs.read(manifest.config.digest, image_document.MAX_BYTES))
    document.check_layers(manifest.layers)
    chain = image_document.chain_ids(document.diff_ids)
    with store.lease() as lease:
        lease.keep(layers=chain)
        make = functools.partial(_layer, store, progress)
        with ThreadPoolExecutor(min(_MOST_AT_ONCE, os.cpu_count() or 1), "kernelbox-layer") as pool:
            parents = (None, *chain[:-1])
            layers = list(pool.map(make, chain, document.diff_ids, parents, manifest.layers))
        return store.add_image(document, manifest, layers, names, indexes=indexes, action=action, vouched=vouched)


def _layer(
    store: ImageStore,
    progress: Progress | None,
    chain_id: Digest,
    diff_id: Digest,
    parent: Digest | None,
    content: Descriptor,
) -> Layer:
    told = functools.partial(progress, content) if progress else None
    return store.layers.ensure(chain_id, diff_id, parent, LayerSource.of(store.blobs, content), told)


def image_of(box: Engine, record: ImageRecord) -> Image:
    """What containers of an image of the store are made from. Raises BlobNotFound, StoreError where it is damaged,
    NotSupported for one of another operating system."""
    store = box.images.store
    document = store.document_of(record)
    if document.platform.os.lower() != "linux":
        raise NotSupported(f"the image {record.short_id} is for {document.platform}: only those for Linux run here")
    layers = tuple(
        ImageLayer(os.fspath(each.path), erofs=each.form != TREE) for each in reversed(store.layers_of(record))
    )
    known = Stored(box.images, record, document)

    def open_root() -> AbstractContextManager[int]:
        return open_image_root(box, image)

    image = Image(record.id, document.config, layers, record.id, open_root=open_root, stored=known)
    return image
