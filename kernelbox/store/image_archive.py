"""Images in archives: what `docker save` writes and OCI image layouts (image-spec v1.1, image-layout.md), both ways.

What is written is both at once, as Docker's own archives are by now: `index.json` for whoever knows OCI, and
`manifest.json` for the older readers. Equal images give equal bytes.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field
from typing import IO, Any

from kernelbox.errors import ImageNotFound, InvalidContent
from kernelbox.oci import content, image_document, manifest, platform
from kernelbox.oci import media_types as types
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

_LAYOUT, _INDEX, _DOCKER = "oci-layout", "index.json", "manifest.json"
_MOST_JSON = 4 << 20
_MOST_IMAGES = 1000
_MOST_DEPTH = 4
_NAME = "io.containerd.image.name"
_REF_NAME = "org.opencontainers.image.ref.name"
_LAYER_TYPES = {"": types.LAYER_TAR, "gzip": types.LAYER_GZIP, "zstd": types.LAYER_ZSTD}


@frozen
class Archived:
    """One image: its manifest, and what it is called in the archive, as that is written there."""

    manifest: Manifest
    names: tuple[str, ...] = ()


def images_in(members: Members, wanted: Platform | None, own: Platform) -> list[Archived]:
    """The images of an archive whose files are in the store; their manifests are then too. Of an index that is one for
    several platforms the `wanted` one is meant, or what fits `own`.

    Raises InvalidContent for what is no such archive or not whole, ImageNotFound where it has none for a platform."""
    if _LAYOUT in members and _INDEX in members:
        found = _of_layout(members, wanted or own)
    elif _DOCKER in members:
        found = [_of_docker(members, each) for each in _docker_entries(members)]
    else:
        hint = "an archive of docker save, or an OCI image layout; a root file system is what `import` takes"
        if "repositories" in members:
            hint = "this one is of a Docker older than 1.10: load it there and save it anew"
        raise InvalidContent(f"this is no archive of images: it has neither {_INDEX} nor {_DOCKER}", hint=hint)
    if wanted:
        for each in found:
            document = image_document.parse(members.blobs.read(each.manifest.config.digest, image_document.MAX_BYTES))
            platform.check(document.platform, wanted, f"the image {document.digest.short}")
    return found


def _of_layout(members: Members, wanted: Platform) -> list[Archived]:
    layout = content.load(members.read(_LAYOUT, _MOST_JSON), _LAYOUT, _MOST_JSON)
    version = layout.get("imageLayoutVersion")
    if version != "1.0.0":
        raise InvalidContent(f"{_LAYOUT}: imageLayoutVersion {str(version)[:40]!r} is unknown: 1.0.0 is")
    index = manifest.parse(members.read(_INDEX, manifest.MAX_BYTES), types.INDEX)
    assert isinstance(index, Index)
    names = _names_in_docker(members)
    found: dict[Digest, Archived] = {}
    for each in index.manifests[:_MOST_IMAGES]:
        if each.media_type not in types.MANIFESTS | types.INDEXES or each.artifact_type:
            continue
        image = _followed(members, each, wanted, 0)
        if not image.is_image:
            continue
        before = found.get(image.digest, Archived(image))
        called = (*before.names, *_names_of(each), *names.get(image.config.digest, ()))
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


def _names_of(descriptor: Descriptor) -> Iterator[str]:
    """A tag alone, which Docker writes beside the whole name, names nothing by itself."""
    if whole := descriptor.annotations.get(_NAME):
        yield whole
    elif any(sign in (name := descriptor.annotations.get(_REF_NAME, "")) for sign in "/:"):
        yield name


@frozen
class _DockerEntry:
    config: str = field(metadata={"json": "Config"})
    repo_tags: tuple[str, ...] | None = field(default=(), metadata={"json": "RepoTags"})
    layers: tuple[str, ...] | None = field(default=(), metadata={"json": "Layers"})


def _docker_entries(members: Members) -> list[_DockerEntry]:
    text = members.read(_DOCKER, _MOST_JSON)
    whole = content.load(b'{"images":' + text + b"}", _DOCKER, _MOST_JSON + 16)["images"]
    if not isinstance(whole, list) or len(whole) > _MOST_IMAGES:
        raise InvalidContent(f"{_DOCKER}: expected a list of at most {_MOST_IMAGES} images")
    return [content.decode(_DockerEntry, each, _DOCKER, f"[{number}]") for number, each in enumerate(whole)]


def _names_in_docker(members: Members) -> dict[Digest, tuple[str, ...]]:
    """By the digest of the configuration."""
    if _DOCKER not in members:
        return {}
    found = ((members.get(each.config), each.repo_tags) for each in _docker_entries(members))
    return {member.digest: tuple(names or ()) for member, names in found if member}


def _of_docker(members: Members, entry: _DockerEntry) -> Archived:
    """There is no manifest in such an archive: the same files always get the same one."""
    config = members.need(entry.config, _DOCKER)
    layers = [_layer(members.blobs, members.need(each, _DOCKER)) for each in entry.layers or ()]
    made = Manifest.build(Descriptor(types.OCI_CONFIG, config.digest, config.size), layers)
    members.blobs.put(made.raw)
    return Archived(made, tuple(dict.fromkeys(entry.repo_tags or ())))


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
                        archive.addfile(_file(_blob_path(each.digest), blobs.size(each.digest)), file)
        _add_text(archive, _INDEX, _index(images))
        _add_text(archive, _DOCKER, [_docker_entry(image, names) for image, names in images])
        _add_text(archive, _LAYOUT, {"imageLayoutVersion": "1.0.0"})


def _blob_path(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.encoded}"


def _file(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o644, 0
    return info


def _add_text(archive: tarfile.TarFile, name: str, document: Any) -> None:
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    archive.addfile(_file(name, len(text)), io.BytesIO(text))


def _index(images: Iterable[tuple[Manifest, Sequence[Reference]]]) -> Any:
    entries = []
    for image, names in images:
        plain = image.descriptor()
        marks = [{_NAME: str(name), _REF_NAME: name.tag} for name in names] or [{}]
        entries += [Descriptor(plain.media_type, plain.digest, plain.size, annotations=each) for each in marks]
    return json.loads(Index.build(entries).raw)


def _docker_entry(image: Manifest, names: Sequence[Reference]) -> dict[str, object]:
    return {
        "Config": _blob_path(image.config.digest),
        "RepoTags": [name.familiar for name in names] or None,
        "Layers": [_blob_path(each.digest) for each in image.layers],
    }
