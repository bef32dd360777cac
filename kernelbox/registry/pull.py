"""An image from a registry into the store: what its name stands for, the manifest for one platform, the configuration,
and those of its layers that are not here yet, several at once.

The manifests come into the store last, so that whoever finds one there has all of it. What a connection or a process
that ended has left of a layer is gone on with.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

from kernelbox.errors import InvalidContent, KernelBoxError, NotFound, RegistryError
from kernelbox.oci import manifest, media_types, walk
from kernelbox.oci.descriptor import Descriptor
from kernelbox.oci.digest import Digest
from kernelbox.oci.manifest import Index
from kernelbox.oci.platform import Platform
from kernelbox.oci.reference import Reference
from kernelbox.oci.value import frozen
from kernelbox.oci.walk import FoundImage
from kernelbox.registry.at_once import at_once
from kernelbox.registry.client import Client
from kernelbox.registry.progress import COMPLETE, DOWNLOADING, EXISTS, WAITING, Listener, Progress, in_turn, nobody
from kernelbox.registry.session import Session
from kernelbox.registry.stop import Stop
from kernelbox.store.blob_writer import BlobWriter
from kernelbox.store.blobs import Blobs

__all__ = ["Pulled", "pull"]

LAYERS_AT_ONCE = 4


@frozen
class Pulled:
    """`first` is what the name stands for, which may be an index, and `image` the one of the platform. `manifests` are
    those on the way from the one to the other, both included; `moved` is how many bytes of layers came."""

    reference: Reference
    first: Descriptor
    image: FoundImage
    manifests: tuple[Descriptor, ...]
    moved: int


def pull(
    client: Client,
    reference: Reference,
    blobs: Blobs,
    platform: Platform,
    *,
    progress: Listener = nobody,
    present: Callable[[Descriptor], bool] | None = None,
    ready: Callable[[Descriptor], None] | None = None,
    check: Callable[[Descriptor], None] | None = None,
    most: int = LAYERS_AT_ONCE,
    stop: Stop | None = None,
) -> Pulled:
    """Everything of the image is in the store when this returns.

    `progress` and `ready` are called from other threads: `progress` one at a time, `ready` with each layer as soon as
    it is in the store. `present` says which layers need not be fetched, in place of what the store has. `check` is
    told what the name stands for before anything of it is fetched, and raises where that must not be. `stop` is set
    when it fails. Raises ImageNotFound, InvalidContent, Unauthorized, RegistryError, StoreError."""
    stop = stop or Stop()
    reader = _Reader(client, reference, blobs, stop)
    first = reader.first()
    if check is not None:
        check(first)
    image = walk.image_for(first, platform, reader.read)
    layers = _Layers(client, reference, blobs, in_turn(progress), stop)
    ready = ready or (lambda _: None)
    present = present or (lambda layer: blobs.has(layer.digest))
    at_once(layers.tasks(image.manifest.layers, present, ready), most, stop)
    return Pulled(reference, first, image, reader.keep_manifests(first, image.descriptor), layers.moved)


class _Reader:
    """Manifests and the configuration: from the store where it has them, else from the registry."""

    def __init__(self, client: Client, reference: Reference, blobs: Blobs, stop: Stop) -> None:
        self._client = client
        self._reference = reference
        self._blobs = blobs
        self._stop = stop
        self._read: dict[Digest, tuple[Descriptor, bytes]] = {}

    def first(self) -> Descriptor:
        """What is named; the registry is not asked about a digest that the store knows."""
        digest = self._reference.digest
        if digest is not None and self._blobs.has(digest):
            found = manifest.parse(self._blobs.read(digest, manifest.MAX_BYTES))
            return found.descriptor(digest.algorithm)
        return self._client.resolve(self._reference, self._stop)

    def read(self, descriptor: Descriptor) -> bytes:
        if self._blobs.has(descriptor.digest):
            raw = self._blobs.read(descriptor.digest, descriptor.size)
        elif descriptor.media_type in media_types.INDEXES | media_types.MANIFESTS:
            raw, _ = self._client.manifest(self._reference.with_digest(descriptor.digest), self._stop)
        else:
            raw = self._blob(descriptor)
        if descriptor.media_type in media_types.INDEXES | media_types.MANIFESTS:
            self._read[descriptor.digest] = descriptor, raw
        return raw

    def keep_manifests(self, first: Descriptor, last: Descriptor) -> tuple[Descriptor, ...]:
        """Those that lead to the image, the image's own first: an index in the store has what it was chosen for."""
        chain = [last]
        for descriptor, raw in reversed(list(self._read.values())):
            if chain[-1].digest == first.digest:
                break
            found = manifest.parse(raw, descriptor.media_type)
            if isinstance(found, Index) and any(each.digest == chain[-1].digest for each in found.manifests):
                chain.append(descriptor)
        for each in chain:
            self._blobs.put(self._read[each.digest][1], each.digest)
        return tuple(reversed(chain))

    def _blob(self, descriptor: Descriptor) -> bytes:
        _fetch(self._client, self._reference, descriptor, self._blobs, self._stop)
        return self._blobs.read(descriptor.digest, descriptor.size)


class _Layers:
    """Those of one image on their way. `moved` is in bytes."""

    def __init__(self, client: Client, reference: Reference, blobs: Blobs, progress: Listener, stop: Stop) -> None:
        self._client = client
        self._reference = reference
        self._blobs = blobs
        self._progress = progress
        self._stop = stop
        self._moved: dict[Digest, int] = {}

    @property
    def moved(self) -> int:
        return sum(self._moved.values())

    def tasks(
        self,
        layers: tuple[Descriptor, ...],
        present: Callable[[Descriptor], bool],
        ready: Callable[[Descriptor], None],
    ) -> Iterator[Callable[[], None]]:
        """One for every layer that has to be fetched; an image may have the same one twice."""
        missing = []
        for each in {layer.digest: layer for layer in layers}.values():
            if present(each):
                self._say(each, EXISTS, each.size)
                ready(each)
            else:
                self._say(each, WAITING, 0)
                missing.append(each)
        for each in missing:
            yield functools.partial(self._one, each, ready)

    def _one(self, layer: Descriptor, ready: Callable[[Descriptor], None]) -> None:
        def moved(count: int, writer: BlobWriter) -> None:
            self._moved[layer.digest] = self._moved.get(layer.digest, 0) + count
            self._say(layer, DOWNLOADING, writer.offset)

        _fetch(self._client, self._reference, layer, self._blobs, self._stop, moved)
        self._say(layer, COMPLETE, layer.size)
        ready(layer)

    def _say(self, layer: Descriptor, status: str, current: int) -> None:
        self._progress(Progress(layer.digest, status, current, layer.size))


def _fetch(
    client: Client,
    reference: Reference,
    descriptor: Descriptor,
    blobs: Blobs,
    stop: Stop,
    moved: Callable[[int, BlobWriter], None] = lambda count, writer: None,
) -> None:
    """The blob comes into the store, from the first source that has what it should be. Raises as `pull`."""
    failure: KernelBoxError | None = None
    waiting = list(client.sources(reference.registry))
    with blobs.partial(descriptor.digest, descriptor.size, stop.check) as writer:
        while waiting:
            source, begun = waiting.pop(0), writer.offset
            try:
                return _from(client, source, reference, descriptor, writer, stop, moved)
            except InvalidContent as error:
                failure = error
                writer.restart()
                if begun:  # the damage may be in what was there before
                    waiting.insert(0, source)
            except (NotFound, RegistryError) as error:
                failure = error
            stop.check()
    assert failure is not None
    raise failure


def _from(
    client: Client,
    source: Session,
    reference: Reference,
    descriptor: Descriptor,
    writer: BlobWriter,
    stop: Stop,
    moved: Callable[[int, BlobWriter], None],
) -> None:
    if not writer.found:
        for chunk in client.blob(reference, descriptor, writer.offset, source=source, stop=stop):
            stop.check()
            writer.write(chunk)
            moved(len(chunk), writer)
    writer.commit()
