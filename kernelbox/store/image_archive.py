"""Images in archives: what `docker save` writes and OCI image layouts (image-spec v1.1, image-layout.md), both ways.

What is written is both at once, as Docker's own archives are by now: `index.json` for whoever knows OCI, and
`manifest.json` for the older readers. Equal images give equal bytes.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Sequence
from typing import IO

from kernelbox.errors import ImageNotFound, InvalidContent
from kernelbox.oci import archive_words as words
from kernelbox.oci import image_document, manifest, platform
from kernelbox.oci import media_types as types
from kernelbox.oci.archive_words import SavedImage
from kernelbox.oci.descriptor import Descriptor
from kernelbox.oci.digest import Digest
from kernelbox.oci.manifest import Index, Manifest
from kernelbox.oci.platform import Platform
from kernelbox.oci.reference import Reference
from kernelbox.oci.value import frozen
from kernelbox.store.archive_members import Member, Members
from kernelbox.store.blobs import Blobs
from kernelbox.store.layer_content import compression_of

__all__ = ["Archived", "images_in", "write"]

_MOST_JSON = 4 << 20
_MOST_DEPTH = 4
_EITHER = f"{words.INDEX_FILE} nor {words.SAVED_FILE}"
_LAYER_TYPES = {"": types.LAYER_TAR, "gzip": types.LAYER_GZIP, "zstd": types.LAYER_ZSTD}


@frozen
class Archived:
    """One image: its manifest, and what it is called in the archive."""

    manifest: Manifest
    names: tuple[Reference, ...] = ()


def images_in(members: Members, wanted: Platform | None, own: Platform) -> list[Archived]:
    """The images of an archive whose files are in the store; their manifests are then too. Of an index that is one for
    several platforms the `wanted` one is meant, or what fits `own`.

    Raises InvalidContent for what is no such archive or not whole, ImageNotFound where it has none for a platform."""
    if words.LAYOUT_FILE in members and words.INDEX_FILE in members:
        found = _of_layout(members, wanted or own)
    elif words.SAVED_FILE in members:
        found = [_of_docker(members, each) for each in _saved(members)]
    else:
        hint = "an archive of docker save, or an OCI image layout; a root file system is what `import` takes"
        if "repositories" in members:
            hint = "this one is of a Docker older than 1.10: load it there and save it anew"
        raise InvalidContent(f"this is no archive of images: it has neither {_EITHER}", hint=hint)
    if wanted:
        for each in found:
            document = image_document.parse(members.blobs.read(each.manifest.config.digest, image_document.MAX_BYTES))
            platform.check(document.platform, wanted, f"the image {document.digest.short}")
    return found


def _of_layout(members: Members, wanted: Platform) -> list[Archived]:
    words.check_layout(members.read(words.LAYOUT_FILE, _MOST_JSON))
    index = manifest.parse(members.read(words.INDEX_FILE, manifest.MAX_BYTES), types.INDEX)
    assert isinstance(index, Index)
    names = _names_in_saved(members)
    found: dict[Digest, Archived] = {}
    for each in index.manifests:
        if each.media_type not in types.MANIFESTS | types.INDEXES or each.artifact_type:
            continue
        image = _followed(members, each, wanted, 0)
        if not image.is_image:
            continue
        before = found.get(image.digest, Archived(image))
        called = (*before.names, *_name_of(each), *names.get(image.config.digest, ()))
        found[image.digest] = Archived(image, tuple(dict.fromkeys(called)))
    return list(found.values())


def _followed(members: Members, descriptor: Descriptor, wanted: Platform, depth: int) -> Manifest:
    """The manifest that a descriptor leads to, through indexes."""
    if depth > _MOST_DEPTH:
        raise InvalidContent(f"more than {_MOST_DEPTH} indexes lead from one to the next in this archive")
    raw = members.blobs.read(descriptor.digest, manifest.MAX_BYTES)
    found = manifest.parse(raw, descriptor.media_type)
    if isinstance(found, Manifest):
        return found
    there = [each for each in found.manifests if members.blobs.has(each.digest)]
    try:
        return _followed(members, platform.choose(there, wanted), wanted, depth + 1)
    except ImageNotFound as error:
        raise ImageNotFound(f"in the archive {error.message}", hint=error.hint) from None


def _name_of(descriptor: Descriptor) -> tuple[Reference, ...]:
    name = words.name_of(descriptor)
    return (name,) if name else ()


def _saved(members: Members) -> tuple[SavedImage, ...]:
    return words.parse_saved(members.read(words.SAVED_FILE, _MOST_JSON))


def _names_in_saved(members: Members) -> dict[Digest, tuple[Reference, ...]]:
    """By the digest of the configuration."""
    if words.SAVED_FILE not in members:
        return {}
    found = ((members.get(each.config), each.names) for each in _saved(members))
    return {member.digest: names for member, names in found if member}


def _of_docker(members: Members, entry: SavedImage) -> Archived:
    """There is no manifest in such an archive: the same files always get the same one."""
    config = members.need(entry.config, words.SAVED_FILE)
    layers = [_layer(members.blobs, members.need(each, words.SAVED_FILE)) for each in entry.layers]
    made = Manifest.build(Descriptor(types.OCI_CONFIG, config.digest, config.size), layers)
    members.blobs.put(made.raw)
    return Archived(made, tuple(dict.fromkeys(entry.names)))


def _layer(blobs: Blobs, member: Member) -> Descriptor:
    with blobs.open(member.digest) as file:
        kind = compression_of(file.read(4))
    return Descriptor(_LAYER_TYPES[kind], member.digest, member.size)


def write(images: Sequence[tuple[Manifest, Sequence[Reference]]], blobs: Blobs, output: IO[bytes]) -> None:
    """Writes images of the store, each with its names, to a stream. Raises BlobNotFound, StoreError, OSError."""
    with tarfile.open(fileobj=output, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        written: set[Digest] = set()
        for image, _ in images:
            for each in (*image.layers, image.config, image.descriptor()):
                if each.digest not in written:
                    written.add(each.digest)
                    with blobs.open(each.digest) as file:
                        archive.addfile(_file(words.blob_path(each.digest), blobs.size(each.digest)), file)
        _add_text(archive, words.INDEX_FILE, Index.build(_entries(images)).raw)
        _add_text(archive, words.SAVED_FILE, words.written_saved(_saved_image(*each) for each in images))
        _add_text(archive, words.LAYOUT_FILE, words.LAYOUT)


def _file(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o644, 0
    return info


def _add_text(archive: tarfile.TarFile, name: str, text: bytes) -> None:
    archive.addfile(_file(name, len(text)), io.BytesIO(text))


def _entries(images: Iterable[tuple[Manifest, Sequence[Reference]]]) -> list[Descriptor]:
    """One for every name of an image, or one without."""
    found: list[Descriptor] = []
    for image, names in images:
        found += [words.named(image.descriptor(), name) for name in names] or [image.descriptor()]
    return found


def _saved_image(image: Manifest, names: Sequence[Reference]) -> SavedImage:
    layers = tuple(words.blob_path(each.digest) for each in image.layers)
    return SavedImage(words.blob_path(image.config.digest), layers, tuple(names))
