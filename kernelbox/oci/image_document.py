"""An image's configuration file: what it runs on and how, which layers it has, and what made each of them.

Its digest is the image's id. The bytes are kept: they are what the digest is of, unknown fields included.
Source: image-spec v1.1, config.md.

>>> [str(each)[:15] for each in chain_ids([Digest.of(b"a"), Digest.of(b"b")])]
['sha256:ca978112', 'sha256:51c0c8ac']
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Annotated

from kernelbox.errors import InvalidContent
from kernelbox.oci import codec, content, descriptor, image_config, moments
from kernelbox.oci import media_types as types
from kernelbox.oci.codec import Choices
from kernelbox.oci.descriptor import Descriptor
from kernelbox.oci.digest import Digest
from kernelbox.oci.image_config import ImageConfig
from kernelbox.oci.manifest import MAX_CONFIG_BYTES as MAX_BYTES
from kernelbox.oci.manifest import MAX_LAYERS
from kernelbox.oci.platform import Platform
from kernelbox.oci.value import frozen

__all__ = ["MAX_BYTES", "History", "ImageDocument", "chain_ids", "parse"]

MAX_HISTORY = 2000


@frozen
class History:
    """One step of how the image was made; `empty_layer` where it changed no file. `created` as in RFC 3339."""

    created: str = ""
    created_by: str = field(default="", metadata={"json": "created_by"})
    author: str = ""
    comment: str = ""
    empty_layer: bool = field(default=False, metadata={"json": "empty_layer"})


@frozen
class ImageDocument:
    """`created` is written as in RFC 3339, or empty. `diff_ids` are the digests of the layers' tars, lowest first."""

    raw: bytes
    platform: Platform
    config: ImageConfig = image_config.EMPTY
    diff_ids: tuple[Digest, ...] = ()
    history: tuple[History, ...] = ()
    created: str = ""
    author: str = ""
    extra: Mapping[str, object] = field(default_factory=dict)

    @property
    def digest(self) -> Digest:
        """Of the bytes as they came: the id of the image."""
        return Digest.of(self.raw)

    def descriptor(self, media_type: str = types.OCI_CONFIG) -> Descriptor:
        """That which leads here."""
        return descriptor.of(self.raw, media_type)

    def check_layers(self, layers: Sequence[Descriptor]) -> None:
        """Raises InvalidContent where a manifest does not bring one layer for every diff_id."""
        if len(layers) != len(self.diff_ids):
            raise InvalidContent(
                f"image {self.digest}: its configuration has {len(self.diff_ids)} layers, its manifest {len(layers)}"
            )

    @property
    def steps(self) -> tuple[tuple[History, Digest | None], ...]:
        """The history, each step with the diff_id of the layer that it made. Where the two do not add up, which images
        of some builders do not, no step has one."""
        layers = iter(self.diff_ids)
        matching = sum(not each.empty_layer for each in self.history) == len(self.diff_ids)
        return tuple((each, next(layers) if matching and not each.empty_layer else None) for each in self.history)

    @classmethod
    def build(
        cls,
        platform: Platform,
        config: ImageConfig = image_config.EMPTY,
        diff_ids: Sequence[Digest] = (),
        history: Sequence[History] = (),
        *,
        created: str = "",
        author: str = "",
        extra: Mapping[str, object] | None = None,
    ) -> ImageDocument:
        """A document of ours; the same parts give the same bytes. `extra` are further fields of it. Raises
        InvalidContent for what `parse` would."""
        document: dict[str, object] = {"created": created} if created else {}
        if author:
            document["author"] = author
        document |= descriptor.written_platform(platform)
        document["config"] = config.to_json()
        document["rootfs"] = {"type": "layers", "diff_ids": [str(each) for each in diff_ids]}
        if history:
            document["history"] = [codec.encode(each) for each in history]
        return parse(content.written(document | dict(extra or {})))


@frozen
class _RootFs:
    type: Annotated[str, Choices("layers")]
    diff_ids: tuple[str, ...] = field(default=(), metadata={"json": "diff_ids"})


@frozen
class _Document:
    os: str
    architecture: str
    rootfs: _RootFs
    variant: str = ""
    os_version: str = field(default="", metadata={"json": "os.version"})
    os_features: tuple[str, ...] = field(default=(), metadata={"json": "os.features"})
    created: str = ""
    author: str = ""
    config: ImageConfig | None = None
    history: tuple[History, ...] = ()
    extra: Mapping[str, object] = field(default_factory=dict)


_WHAT = "image configuration"
_FIELDS = (
    "os",
    "architecture",
    "variant",
    "os.version",
    "os.features",
    "created",
    "author",
    "config",
    "rootfs",
    "history",
)


def parse(raw: bytes) -> ImageDocument:
    """The configuration file of an image from elsewhere. Raises InvalidContent."""
    document = content.load(raw, _WHAT, MAX_BYTES)
    content.one_spelling(document, _FIELDS, _WHAT)
    content.one_spelling(document.get("rootfs"), ("type", "diff_ids"), f"{_WHAT}: rootfs")
    found = content.decode(_Document, document, _WHAT)
    digests = found.rootfs.diff_ids
    if len(digests) > MAX_LAYERS:
        raise InvalidContent(f"{_WHAT}: {len(digests)} layers, and {MAX_LAYERS} is the most that one image can have")
    if len(found.history) > MAX_HISTORY:
        raise InvalidContent(f"{_WHAT}: history: {len(found.history)} steps, and {MAX_HISTORY} is the most")
    platform = Platform(found.os, found.architecture, found.variant, found.os_version, found.os_features)
    descriptor.check_platform(platform, _WHAT)
    moments.check(found.created, f"{_WHAT}: created")
    for number, each in enumerate(found.history):
        moments.check(each.created, f"{_WHAT}: history[{number}].created")
    return ImageDocument(
        raw,
        platform,
        found.config or image_config.EMPTY,
        tuple(descriptor.parse_digest(each, f"{_WHAT}: rootfs.diff_ids[{n}]") for n, each in enumerate(digests)),
        found.history,
        found.created,
        found.author,
        found.extra,
    )


def chain_ids(diff_ids: Sequence[Digest]) -> tuple[Digest, ...]:
    """What each layer is called together with all those below it (config.md, "Layer ChainID")."""
    result: list[Digest] = []
    for each in diff_ids:
        result.append(Digest.of(f"{result[-1]} {each}".encode()) if result else each)
    return tuple(result)
