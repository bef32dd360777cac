"""An image from the store to a registry: first what the manifests name, several at once and only what is not there yet,
then the manifests, and the one with the tag last. So nobody finds half an image.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence

from kernelbox.errors import BlobNotFound
from kernelbox.oci import walk
from kernelbox.oci.descriptor import Descriptor
from kernelbox.oci.digest import Digest
from kernelbox.oci.manifest import Index, Manifest
from kernelbox.oci.reference import Reference
from kernelbox.registry.at_once import at_once
from kernelbox.registry.client import Client
from kernelbox.registry.progress import UPLOADING, WAITING, Listener, Progress, in_turn, nobody
from kernelbox.registry.stop import Stop
from kernelbox.store.blobs import Blobs

__all__ = ["push"]

BLOBS_AT_ONCE = 4


def _from_nowhere(_: Digest) -> Sequence[str]:
    return ()


def push(
    client: Client,
    reference: Reference,
    blobs: Blobs,
    first: Descriptor,
    *,
    progress: Listener = nobody,
    mount_from: Callable[[Digest], Sequence[str]] = _from_nowhere,
    most: int = BLOBS_AT_ONCE,
    stop: Stop | None = None,
) -> Digest:
    """`first`, a manifest or an index in the store, with everything below it; under the tag of `reference`, or without
    one. `mount_from` says which other repositories of that registry may have a blob. `progress` is called from other
    threads, one at a time. `stop` is set when it fails. Raises BlobNotFound, before anything is moved, where the store
    has not all of it; InvalidContent, Unauthorized, RegistryError."""
    stop = stop or Stop()
    say = in_turn(progress)
    documents = list(walk.everything(first, lambda each: blobs.read(each.digest, each.size)))
    below = list(_below(documents, blobs))
    for each in below:
        say(Progress(each.digest, WAITING, 0, each.size))
    tasks = [functools.partial(_one, client, reference, blobs, each, say, mount_from, stop) for each in below]
    at_once(tasks, most, stop)
    for descriptor, document in reversed(documents[1:]):
        named = reference.with_digest(descriptor.digest)
        client.push_manifest(named, document.raw, document.media_type, descriptor.digest, stop)
    top = documents[0][1]
    named = reference if reference.tag else reference.with_digest(first.digest)
    return client.push_manifest(named, top.raw, top.media_type, first.digest, stop)


def _below(documents: Sequence[tuple[Descriptor, Manifest | Index]], blobs: Blobs) -> Iterator[Descriptor]:
    """The configurations and layers, each once. Layers that must not be distributed stay where they are said to be."""
    known: set[Digest] = set()
    for _, document in documents:
        for each in (*document.layers, document.config) if isinstance(document, Manifest) else ():
            if each.digest in known:
                continue
            known.add(each.digest)
            if blobs.has(each.digest):
                yield each
            elif not _stays(each.media_type):
                raise BlobNotFound(
                    f"{each.digest} is not in the store, and belongs to what is to be pushed",
                    hint="pull the image again, for every platform that is to be pushed",
                )


def _stays(media_type: str) -> bool:
    """Whether its owner wants it to be had from them alone (image-spec v1.1, layer.md, "Non-Distributable Layers")."""
    return ".nondistributable." in media_type or ".foreign." in media_type


def _one(
    client: Client,
    reference: Reference,
    blobs: Blobs,
    descriptor: Descriptor,
    say: Listener,
    mount_from: Callable[[Digest], Sequence[str]],
    stop: Stop,
) -> None:
    size = descriptor.size

    def moved(count: int) -> None:
        stop.check()
        say(Progress(descriptor.digest, UPLOADING, count, size))

    sources = mount_from(descriptor.digest)
    with blobs.open(descriptor.digest) as file:
        status = client.push_blob(reference, descriptor, file, mount_from=sources, moved=moved, stop=stop)
    say(Progress(descriptor.digest, status, size, size))
