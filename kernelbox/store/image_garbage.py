"""What nobody wants any more among content and layers: found and removed beside those who work in the same store.

It is removed within a transaction, and whoever begins to want something says so in one (`image_rows`): so nothing goes
that somebody has seen there since. What has come since the oldest running lease began stays in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from kernelbox.errors import BlobNotFound
from kernelbox.oci.digest import Digest
from kernelbox.oci.value import frozen
from kernelbox.store import image_rows as rows
from kernelbox.store.blobs import Blobs
from kernelbox.store.image_rows import ImageRecord
from kernelbox.store.layers import Layers
from kernelbox.store.leases import Leases
from kernelbox.store.state import StateFile

__all__ = ["Collected", "DiskUsage", "Garbage", "ImageUsage"]

_AT_ONCE = 100
"""How many are removed in one transaction: others wait for it."""


@frozen
class Collected:
    """What was removed: content, layers (by chain id), and the bytes that both took."""

    blobs: tuple[Digest, ...] = ()
    layers: tuple[Digest, ...] = ()
    size: int = 0


@frozen
class ImageUsage:
    """The bytes of an image's layers: all of them, those that other images have too, and those that none has.
    `containers` is how many of those that are kept have it."""

    image: ImageRecord
    size: int
    shared: int
    unique: int
    containers: int


@frozen
class DiskUsage:
    """Bytes on the disk: `layers` and `blobs` are all that there are, each counted once. `unused` is what collecting
    would free now, if nobody worked with it; `reclaimable` what would go with every image that no container has."""

    images: tuple[ImageUsage, ...]
    layers: int
    blobs: int
    unused: int
    reclaimable: int


class Garbage:
    """`sweep` deletes what has that name in the folder `trash`, in its own time."""

    def __init__(
        self,
        state: StateFile,
        blobs: Blobs,
        layers: Layers,
        leases: Leases,
        trash: Path,
        sweep: Callable[[str], object],
    ) -> None:
        self._state = state
        self._blobs = blobs
        self._layers = layers
        self._leases = leases
        self._trash = trash
        self._sweep = sweep

    def collect(self) -> Collected:
        """Removes all that nobody wants, and what somebody who was killed has left half made. Raises StoreError."""
        with self._state.transaction() as cursor:
            rows.delete_forgotten(cursor)
            before = self._leases.clean(cursor)
            blobs, layers = self._unwanted(rows.owned_blobs(cursor), rows.owned_layers(cursor))
        mounts = self._layers.mounts()
        layers = [each for each in layers if not any(each.encoded in mount for mount in mounts)]
        gone_blobs: list[Digest] = []
        gone_layers: list[Digest] = []
        size = 0
        for at in range(0, max(len(blobs), len(layers)), _AT_ONCE):
            some = self._remove(blobs[at : at + _AT_ONCE], layers[at : at + _AT_ONCE], before)
            gone_blobs += some.blobs
            gone_layers += some.layers
            size += some.size
        self._blobs.clean()
        self._layers.clean()
        return Collected(tuple(gone_blobs), tuple(gone_layers), size)

    def usage(self) -> DiskUsage:
        """Of the store as it is now."""
        with self._state.reading() as cursor:
            images, used = rows.every(cursor), rows.used(cursor)
            layers_of = {image.id: rows.layers_of(cursor, image.id) for image in images}
            owned = rows.owned_blobs(cursor), rows.owned_layers(cursor)
            in_use = rows.in_use(cursor)
        shares: dict[Digest, int] = {}
        for layer in (each for layers in layers_of.values() for each in layers):
            shares[layer.chain_id] = shares.get(layer.chain_id, 0) + 1
        usages = []
        for image in images:
            size = sum(each.size for each in layers_of[image.id])
            shared = sum(each.size for each in layers_of[image.id] if shares[each.chain_id] > 1)
            usages.append(ImageUsage(image, size, shared, size - shared, used.get(image.id, 0)))
        blobs = {str(digest): self._size_of_blob(digest) for digest in self._blobs.every()}
        layers = {str(chain_id): self._layers.size(chain_id) for chain_id in self._layers.every()}

        def without(kept: tuple[set[str], set[str]]) -> int:
            return sum(
                size
                for sizes, names in zip((blobs, layers), kept, strict=True)
                for name, size in sizes.items()
                if name not in names
            )

        return DiskUsage(tuple(usages), sum(layers.values()), sum(blobs.values()), without(owned), without(in_use))

    def _unwanted(self, owned_blobs: set[str], owned_layers: set[str]) -> tuple[list[Digest], list[Digest]]:
        blobs = [digest for digest in self._blobs.every() if str(digest) not in owned_blobs]
        layers = [chain_id for chain_id in self._layers.every() if str(chain_id) not in owned_layers]
        return blobs, layers

    def _remove(self, blobs: Sequence[Digest], layers: Sequence[Digest], before: float) -> Collected:
        """Of these those that still nobody wants. They are out of sight when the transaction ends, and deleted after
        it: that may take a monitor, which may want to write to the state file."""
        taken: list[str] = []
        gone_blobs, gone_layers, size = [], [], 0
        try:
            with self._state.transaction() as cursor:
                before = min(before, self._leases.clean(cursor))
                owned_blobs, owned_layers = rows.owned_blobs(cursor), rows.owned_layers(cursor)
                for digest in blobs:
                    if str(digest) not in owned_blobs and self._came(self._blobs, digest) < before:
                        size += self._size_of_blob(digest)
                        taken.append(self._blobs.take_out(digest, self._trash))
                        gone_blobs.append(digest)
                for chain_id in layers:
                    if str(chain_id) not in owned_layers and self._came(self._layers, chain_id) < before:
                        size += self._layers.size(chain_id)
                        taken.append(self._layers.take_out(chain_id))
                        gone_layers.append(chain_id)
        finally:
            for name in filter(None, taken):
                self._sweep(name)
        return Collected(tuple(gone_blobs), tuple(gone_layers), size)

    def _came(self, where: Blobs | Layers, digest: Digest) -> float:
        """As if just now, where it has gone."""
        try:
            return where.came(digest)
        except BlobNotFound:
            return float("inf")

    def _size_of_blob(self, digest: Digest) -> int:
        try:
            return self._blobs.size(digest)
        except BlobNotFound:
            return 0
