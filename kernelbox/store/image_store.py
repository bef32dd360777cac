"""The images of a store: rows of the state file, over content (`blobs`) and unpacked layers (`layers`) that they share.

images/leases     who brings images just now (`leases`)
images/holds      who runs containers of them that nothing is written down of (`image_holds`)

An image appears in one transaction, when all that it needs is there and sure to last. What no image has any more is
removed by whoever removes an image, prunes or asks for it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from kernelbox.errors import BlobNotFound, Conflict, ImageNotFound, InvalidOption
from kernelbox.linux.descriptor import Descriptor
from kernelbox.oci import image_document, manifest, moments, reference
from kernelbox.oci.digest import Digest
from kernelbox.oci.image_document import ImageDocument
from kernelbox.oci.manifest import Index, Manifest
from kernelbox.oci.reference import Reference
from kernelbox.store import image_rows as rows
from kernelbox.store import trust_rows
from kernelbox.store.blobs import Blobs
from kernelbox.store.image_garbage import Collected, DiskUsage, Garbage
from kernelbox.store.image_holds import Holds
from kernelbox.store.image_removal import Removed, plan_removal
from kernelbox.store.image_rows import ImageRecord, LayerUse
from kernelbox.store.layers import Layer, Layers
from kernelbox.store.leases import Lease, Leases
from kernelbox.store.paths import StorePaths
from kernelbox.store.state import StateFile
from kernelbox.store.trust_rows import Vouched

if TYPE_CHECKING:
    import sqlite3

__all__ = ["ImageStore"]

_HEX = frozenset("0123456789abcdef")


class ImageStore:
    """Safe for several threads and processes. `sweep` deletes what has that name in the trash, in its own time. Names
    are whole ones: `str(Reference)`."""

    def __init__(self, state: StateFile, paths: StorePaths, layers: Layers, sweep: Callable[[str], object]) -> None:
        self.blobs = Blobs(paths.blobs)
        self.layers = layers
        self._state = state
        self._holds = Holds(paths.images)
        self._leases = Leases(state, paths.images / "leases", paths.blobs)
        self._garbage = Garbage(state, self.blobs, layers, self._leases, paths.trash, sweep)

    def lease(self) -> Lease:
        """For as long as an image is brought here; see Lease. Close it. Raises StoreError."""
        return self._leases.begin()

    def add_image(
        self,
        document: ImageDocument,
        described: Manifest,
        layers: Sequence[Layer],
        names: Sequence[Reference] = (),
        *,
        indexes: Iterable[Index] = (),
        whole: bool = True,
        action: str = "",
        vouched: Iterable[Vouched] = (),
    ) -> ImageRecord:
        """The image, or the one that there is, which now has these names besides its own; whoever had them has lost
        them. `layers` are those of its diff_ids, the lowest first; `indexes` lead to `described` and are kept with it.
        Without `whole` its layers need not be here as they were moved. `action` is noted as an event ("pull"). Who
        has `vouched` for it is kept.

        Raises BlobNotFound where something that it needs is not here, or not any more; StoreError."""
        chain = image_document.chain_ids(document.diff_ids)
        if tuple(each.chain_id for each in layers) != chain:
            raise InvalidOption(f"image {document.digest}: it has other layers than these {len(layers)}")
        documents = {Digest.of(raw): raw for raw in (document.raw, described.raw, *(each.raw for each in indexes))}
        moved = [(each.digest, each.size) for each in described.layers]
        record = ImageRecord(
            str(document.digest),
            str(described.digest),
            _seconds(document.created),
            time.time(),
            str(document.platform),
            dict(document.config.labels),
            sum(each.size for each in layers),
        )
        with self.lease() as lease:
            lease.keep(documents)
            for digest, raw in documents.items():
                self.blobs.put(raw, digest)
            with self._state.transaction() as cursor:
                self._check_there([*documents, *(digest for digest, _ in moved if whole)], chain)
                rows.put(cursor, record)
                trust_rows.put(cursor, record.id, vouched)
                rows.use_blobs(cursor, record.id, [(digest, len(raw)) for digest, raw in documents.items()])
                rows.use_blobs(cursor, record.id, moved)
                rows.use_layers(cursor, record.id, [LayerUse(each.chain_id, each.size) for each in layers])
                for name in names:
                    rows.set_name(cursor, str(name), record.id)
                if action:
                    called = next(((each.familiar, each.familiar_name) for each in names), (record.id, record.id))
                    rows.note(cursor, called[0], action, {"name": called[1]})
                return _get(cursor, record.id)

    def tag(self, identity: str, name: Reference) -> None:
        """Calls the image of this whole id so, and no other any more. Raises ImageNotFound, InvalidOption."""
        if name.digest is not None or not name.tag:
            raise InvalidOption(f"{name} is no tag: a digest is what an image has by itself")
        with self._state.transaction() as cursor:
            record = _get(cursor, identity)
            rows.set_name(cursor, str(name), record.id)
            rows.note(cursor, record.id, "tag", {"name": name.familiar})

    def find(self, text: str | Reference) -> ImageRecord:
        """By a name, familiar or whole, by id, or by the beginning of an id that no other has. Raises ImageNotFound,
        InvalidOption."""
        if not self._state.exists:
            raise _not_found(str(text))
        with self._state.reading() as cursor:
            return _look_up(cursor, text)[0]

    def of_container(self, identity: str) -> ImageRecord:
        """By its whole id, for a container that has it: also one that was removed by force since. Raises
        ImageNotFound."""
        with self._state.reading() as cursor:
            found = rows.get(cursor, identity, forgotten=True)
        if found is None:
            raise _not_found(identity)
        return found

    def every(self) -> list[ImageRecord]:
        """The newest first."""
        if not self._state.exists:
            return []
        with self._state.reading() as cursor:
            return rows.every(cursor)

    def vouched(self, identity: str) -> frozenset[Vouched]:
        """Who has vouched for the image of this whole id when it was pulled."""
        with self._state.reading() as cursor:
            return trust_rows.of(cursor, identity)

    def layers_of(self, image: ImageRecord) -> list[Layer]:
        """The lowest first. Raises BlobNotFound, StoreError."""
        with self._state.reading() as cursor:
            uses = rows.layers_of(cursor, image.id)
        return [self.layers.get(each.chain_id) for each in uses]

    def document_of(self, image: ImageRecord) -> ImageDocument:
        """Its configuration, checked. Raises BlobNotFound, InvalidContent."""
        return image_document.parse(self.blobs.read(Digest.parse(image.id), image_document.MAX_BYTES))

    def manifest_of(self, image: ImageRecord) -> Manifest:
        """The one that it came with last, checked. Raises BlobNotFound, InvalidContent."""
        found = manifest.parse(self.blobs.read(Digest.parse(image.manifest), manifest.MAX_BYTES))
        assert isinstance(found, Manifest)
        return found

    def hold(self, identity: str) -> Descriptor:
        """Keeps the image of this whole id for as long as a copy of the descriptor is open anywhere: for a container
        that nothing is written down of. Raises ImageNotFound, StoreError."""
        file = self._holds.hold(identity)
        try:
            with self._state.reading() as cursor:
                _get(cursor, identity)
        except BaseException:
            file.close()
            raise
        return file

    def remove(self, text: str | Reference, *, force: bool = False) -> Removed:
        """Removes a name, and with the last one the image; or by its id the image with its names. With `force` also
        where a container that does not run has it, or where it has several names. Raises ImageNotFound, InvalidOption,
        Conflict."""
        if not self._state.exists:
            raise _not_found(str(text))
        with self._state.reading() as cursor:
            identity = _look_up(cursor, text)[0].id
        removed = self._remove(identity, text, force=force)
        return self._with_garbage([removed]) if removed.deleted else removed

    def prune(self, wanted: Callable[[ImageRecord], bool] = lambda image: True, *, all: bool = False) -> Removed:
        """Removes the images that nobody calls anything and no container has, or with `all` every one that no container
        has, as far as they are `wanted`; and what nobody wants besides, downloads that broke off too."""
        done = []
        for image in self.every():
            if (all or image.dangling) and wanted(image):
                with contextlib.suppress(Conflict, ImageNotFound):  # a container has it, or it has gone
                    done.append(self._remove(image.id, None, force=False))
        self.blobs.clean(partials_before=time.time())
        return self._with_garbage(done)

    def collect(self) -> Collected:
        """See Garbage.collect."""
        self._holds.clean()
        return self._garbage.collect()

    def usage(self) -> DiskUsage:
        """See Garbage.usage."""
        return self._garbage.usage()

    def _remove(self, identity: str, text: str | Reference | None, *, force: bool) -> Removed:
        """Without `text` it is pruned: whatever names it has."""
        with self._holds.unheld(identity) as free, self._state.transaction() as cursor:
            record, name = _look_up(cursor, text) if text is not None else (_get(cursor, identity), "")
            if record.id != identity:
                raise Conflict(f"{text} is another image since just now", hint="try again")
            containers = rows.containers_of(cursor, identity)
            if text is None and (containers or not free):
                raise Conflict(f"a container has the image {record.short_id}")
            removal = plan_removal(record, name, containers, held=not free, force=force or text is None)
            for each in removal.names:
                rows.drop_name(cursor, each)
                rows.note(cursor, record.id, "untag", {"name": record.id})
            if removal.gone:
                rows.delete(cursor, identity)
                rows.note(cursor, record.id, "delete", {"name": record.id})
        return Removed(removal.names, (identity,) if removal.gone else ())

    def _with_garbage(self, done: Sequence[Removed]) -> Removed:
        gone = self.collect()
        return Removed(
            tuple(name for each in done for name in each.untagged),
            tuple(identity for each in done for identity in each.deleted),
            tuple(str(chain_id) for chain_id in gone.layers),
            gone.size,
        )

    def _check_there(self, blobs: Iterable[Digest], layers: Iterable[Digest]) -> None:
        """Within a transaction: what is there stays when the rows have been made. Raises BlobNotFound."""
        for digest in blobs:
            if not self.blobs.has(digest):
                raise BlobNotFound(f"the content {digest} of the image is not in the store", hint="bring it again")
        for chain_id in layers:
            if not self.layers.has(chain_id):
                raise BlobNotFound(f"the layer {chain_id} of the image is not in the store", hint="bring it again")


def _look_up(cursor: sqlite3.Cursor, text: str | Reference) -> tuple[ImageRecord, str]:
    """The image, and the name that it was found by; "" where that was its id."""
    if isinstance(text, str):
        digits = text.removeprefix("sha256:")
        if len(digits) == 64 and set(digits) <= _HEX:
            return _get(cursor, f"sha256:{digits}"), ""
        name = None
        with contextlib.suppress(InvalidOption):
            name = reference.parse(text)
    else:
        digits, name = "", text
    if name is not None:
        key = str(name.with_digest(name.digest)) if name.digest else str(name)
        found = rows.by_name(cursor, key)
        if found is not None:
            return found, key
    several = rows.by_prefix(cursor, f"sha256:{digits}") if digits and set(digits) <= _HEX else []
    if len(several) > 1:
        some = ", ".join(each.short_id for each in several[:3])
        raise InvalidOption(f"{len(several)} images have ids that begin with {digits}: {some}")
    if not several:
        raise _not_found(str(text))
    return several[0], ""


def _get(cursor: sqlite3.Cursor, identity: str) -> ImageRecord:
    found = rows.get(cursor, identity)
    if found is None:
        raise _not_found(identity)
    return found


def _not_found(text: str) -> ImageNotFound:
    return ImageNotFound(f"no such image: {text}", hint="kernelbox images lists them; kernelbox pull brings others")


def _seconds(created: str) -> float:
    """Since 1970; 0 where an image does not say when it was made."""
    return moments.nanoseconds(created) / 1e9 if created else 0.0
