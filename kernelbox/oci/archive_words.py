"""The documents of image archives and folders: OCI's image layout (image-spec v1.1, image-layout.md) and what
`docker save` writes (`manifest.json`). Values only; whoever reads files is elsewhere.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from dataclasses import field

from kernelbox.errors import InvalidContent, InvalidOption
from kernelbox.oci import content, reference
from kernelbox.oci.descriptor import Descriptor
from kernelbox.oci.digest import Digest
from kernelbox.oci.manifest import MAX_LAYERS
from kernelbox.oci.reference import Reference
from kernelbox.oci.value import frozen

__all__ = [
    "FULL_NAME",
    "INDEX_FILE",
    "LAYOUT",
    "LAYOUT_FILE",
    "REF_NAME",
    "SAVED_FILE",
    "SavedImage",
    "blob_path",
    "check_layout",
    "name_of",
    "named",
    "parse_saved",
    "written_saved",
]

LAYOUT_FILE = "oci-layout"
INDEX_FILE = "index.json"
SAVED_FILE = "manifest.json"

LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
"""What `oci-layout` holds."""

REF_NAME = "org.opencontainers.image.ref.name"
"""The annotation in `index.json` that says what an image is called there; many write only its tag."""

FULL_NAME = "io.containerd.image.name"
"""That which others write beside it, with the whole name."""

MAX_BYTES = 4 << 20
MAX_IMAGES = 1000
_MAX_PATH = 4096
_REF_NAME = re.compile(r"[A-Za-z0-9]+(?:(?:[-._:@+/]|--)[A-Za-z0-9]+)*")


@frozen
class _Layout:
    image_layout_version: str


def check_layout(raw: bytes) -> None:
    """Raises InvalidContent where `oci-layout` names a version that nothing here knows."""
    found = content.decode(_Layout, content.load(raw, LAYOUT_FILE, 4096), LAYOUT_FILE)
    if not re.fullmatch(r"1\.\d{1,4}\.\d{1,4}", found.image_layout_version, re.ASCII):
        raise InvalidContent(f"{LAYOUT_FILE}: version {found.image_layout_version[:40]!r} is unknown: 1.0.0 is")


def blob_path(digest: Digest) -> str:
    """Where a layout keeps this content."""
    return f"blobs/{digest.algorithm}/{digest.encoded}"


def name_of(descriptor: Descriptor) -> Reference | None:
    """What an image of `index.json` is called; None where that says no name, or no more than a tag. Raises
    InvalidContent for a name that is none."""
    full = descriptor.annotations.get(FULL_NAME, "")
    if full:
        return _name(full, f"{INDEX_FILE}: {FULL_NAME}")
    short = descriptor.annotations.get(REF_NAME, "")
    if short and not _REF_NAME.fullmatch(short):
        raise InvalidContent(f"{INDEX_FILE}: {REF_NAME}: {short[:100]!r} is no name")
    try:
        return reference.parse(short) if ":" in short or "/" in short else None
    except InvalidOption:  # the layout's grammar allows names that no registry would
        return None


def named(descriptor: Descriptor, name: Reference) -> Descriptor:
    """The image as `index.json` lists it under this name."""
    annotations = {**descriptor.annotations, FULL_NAME: str(name), REF_NAME: name.tag or str(name.digest)}
    return dataclasses.replace(descriptor, annotations=annotations)


@frozen
class SavedImage:
    """One image of `manifest.json`: `config` and `layers` are members of the archive, `names` what it is called."""

    config: str
    layers: tuple[str, ...] = ()
    names: tuple[Reference, ...] = ()


@frozen
class _Saved:
    config: str = field(metadata={"json": "Config"})
    layers: tuple[str, ...] = field(default=(), metadata={"json": "Layers"})
    repo_tags: tuple[str, ...] = field(default=(), metadata={"json": "RepoTags"})


def parse_saved(raw: bytes) -> tuple[SavedImage, ...]:
    """`manifest.json` of an archive. Raises InvalidContent, for paths that leave the archive too."""
    documents = content.load_list(raw, SAVED_FILE, MAX_BYTES)
    if len(documents) > MAX_IMAGES:
        raise InvalidContent(f"{SAVED_FILE}: {len(documents)} images, and {MAX_IMAGES} is the most")
    return tuple(_saved(each, f"[{number}]") for number, each in enumerate(documents))


def _saved(document: object, place: str) -> SavedImage:
    found = content.decode(_Saved, document, SAVED_FILE, place)
    where = f"{SAVED_FILE}: {place}"
    if len(found.layers) > MAX_LAYERS:
        raise InvalidContent(f"{where}: {len(found.layers)} layers, and {MAX_LAYERS} is the most")
    for path in (found.config, *found.layers):
        _check_member(path, where)
    return SavedImage(found.config, found.layers, tuple(_name(each, f"{where}.RepoTags") for each in found.repo_tags))


def _check_member(path: str, where: str) -> None:
    if len(path) > _MAX_PATH or {"", ".", ".."} & set(path.split("/")):
        raise InvalidContent(f"{where}: {path[:100]!r} is no member of an archive")


def _name(text: str, where: str) -> Reference:
    try:
        return reference.parse(text)
    except InvalidOption as error:
        raise InvalidContent(f"{where}: {error.message}", hint=error.hint) from None


def written_saved(images: Iterable[SavedImage]) -> bytes:
    """`manifest.json`, the names as Docker writes them."""
    return content.written([
        {"Config": each.config, "RepoTags": [name.familiar for name in each.names] or None, "Layers": list(each.layers)}
        for each in images
    ])  # fmt: skip
