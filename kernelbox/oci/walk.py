"""From a descriptor down to what it leads to: the image for one platform, or everything.

Whoever walks brings `read`, which gives the bytes of a descriptor from a registry, an archive or the store. They are
checked here before they are believed; an index therefore cannot lead back to itself, and one that claims to is refused
as damaged. How deep and how far a walk goes is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from kernelbox.errors import ImageNotFound, InvalidContent
from kernelbox.oci import image_document, manifest, media_types, platform
from kernelbox.oci.descriptor import Descriptor
from kernelbox.oci.image_document import ImageDocument
from kernelbox.oci.manifest import Index, Manifest
from kernelbox.oci.platform import Platform
from kernelbox.oci.value import frozen

__all__ = ["MAX_DEPTH", "MAX_DOCUMENTS", "FoundImage", "everything", "image_for"]

MAX_DEPTH = 4
"""Indexes in one another."""

MAX_DOCUMENTS = 2000
"""Manifests and indexes below one descriptor."""

Read: TypeAlias = Callable[[Descriptor], bytes]


@frozen
class FoundImage:
    """The image that fits; `descriptor` is that of its manifest."""

    descriptor: Descriptor
    manifest: Manifest
    document: ImageDocument


def image_for(first: Descriptor, wanted: Platform, read: Read) -> FoundImage:
    """The image below `first` that runs on `wanted`. What an index says of a platform is believed; where none is said,
    the image's own configuration decides. Raises ImageNotFound, and InvalidContent for what is damaged, no image, or
    nested too deeply; whatever `read` raises comes through."""
    documents = _Documents(read)
    return _below(first, documents.read(first), wanted, documents, 0)


def everything(first: Descriptor, read: Read) -> Iterator[tuple[Descriptor, Manifest | Index]]:
    """`first` and all manifests and indexes below it, each once and after those that lead to it. What an index lists
    besides is passed over. Raises as `image_for` does."""
    documents = _Documents(read)
    level = [first]
    known = {first.digest}
    for _ in range(MAX_DEPTH + 1):
        below: list[Descriptor] = []
        for each in level:
            found = documents.read(each)
            yield each, found
            for member in found.manifests if isinstance(found, Index) else ():
                if _is_document(member) and member.digest not in known:
                    known.add(member.digest)
                    below.append(member)
        level = below
    if level:
        raise _too_deep(first)


class _Documents:
    """Reads and counts them."""

    def __init__(self, read: Read) -> None:
        self.content = read
        self._count = 0

    def read(self, descriptor: Descriptor) -> Manifest | Index:
        self._count += 1
        if self._count > MAX_DOCUMENTS:
            raise InvalidContent(f"more than {MAX_DOCUMENTS} manifests belong to this one image")
        raw = self.content(descriptor)
        descriptor.check(raw, f"manifest {descriptor.digest}")
        return manifest.parse(raw, descriptor.media_type)


def _below(
    found: Descriptor, document: Manifest | Index, wanted: Platform, documents: _Documents, depth: int
) -> FoundImage:
    if isinstance(document, Manifest):
        return _checked(found, document, wanted, documents)
    if depth == MAX_DEPTH:
        raise _too_deep(found)
    refusal = None
    for each in platform.candidates(document.manifests, wanted):
        member = documents.read(each)
        if each.platform is None and isinstance(member, Manifest) and not member.is_image:
            continue
        try:
            return _below(each, member, wanted, documents, depth + 1)
        except ImageNotFound as error:
            if each.platform:
                raise
            refusal = refusal or error
    raise refusal or platform.none_for(document.manifests, wanted)


def _checked(found: Descriptor, document: Manifest, wanted: Platform, documents: _Documents) -> FoundImage:
    document.check_image()
    raw = documents.content(document.config)
    document.config.check(raw, f"image configuration {document.config.digest}")
    image = image_document.parse(raw)
    image.check_layers(document.layers)
    if found.platform is None:
        platform.check(image.platform, wanted, f"image {image.digest.short}")
    return FoundImage(found, document, image)


def _is_document(descriptor: Descriptor) -> bool:
    return descriptor.media_type in media_types.MANIFESTS | media_types.INDEXES


def _too_deep(found: Descriptor) -> InvalidContent:
    return InvalidContent(f"{found.digest}: more than {MAX_DEPTH} indexes in one another")
