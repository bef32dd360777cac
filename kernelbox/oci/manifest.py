"""What an image, or another artifact, is made of (`Manifest`), and one name for several of those (`Index`).

OCI's image-spec v1.1 (manifest.md, image-index.md) and Docker's manifest version 2, schema 2. The bytes are kept: they
are what the digest is of, unknown fields included. A document that could be read as both is refused, for two readers
would see two images under one digest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field

from kernelbox.errors import InvalidContent
from kernelbox.oci import codec, content, descriptor
from kernelbox.oci import media_types as types
from kernelbox.oci.descriptor import Descriptor
from kernelbox.oci.digest import Digest
from kernelbox.oci.value import frozen

__all__ = ["MAX_BYTES", "MAX_CONFIG_BYTES", "MAX_LAYERS", "MAX_MANIFESTS", "Index", "Manifest", "parse"]

MAX_BYTES = 4 << 20
"""Of a manifest or an index: what registries are asked to take (distribution-spec v1.1, "Pushing Manifests")."""

MAX_CONFIG_BYTES = 8 << 20
"""Of an image's configuration file; the largest are some hundred KiB."""

MAX_LAYERS = 500
"""As many as the kernel's overlay file system puts on top of one another."""

MAX_MANIFESTS = 1000
"""Of an index; the largest have some dozens."""


@frozen
class Manifest:
    """`layers` are in the order in which they are applied. `artifact_type` says what it is where it is no image."""

    raw: bytes
    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    subject: Descriptor | None = None
    artifact_type: str = ""

    @property
    def digest(self) -> Digest:
        """Of the bytes as they came."""
        return Digest.of(self.raw)

    def descriptor(self, algorithm: str = "sha256") -> Descriptor:
        """That which leads here."""
        return descriptor.of(self.raw, self.media_type, algorithm)

    @property
    def is_image(self) -> bool:
        """Whether a container could be made of it: its config is that of an image, and so are its layers."""
        return self.config.media_type in types.CONFIGS and all(each.media_type in types.LAYERS for each in self.layers)

    def check_image(self) -> None:
        """Raises InvalidContent, which says why, for what is no image."""
        if self.config.media_type not in types.CONFIGS:
            kind = self.artifact_type or self.config.media_type
            raise InvalidContent(f"manifest {self.digest}: no image but an artifact of the type {kind}")
        for number, each in enumerate(self.layers):
            if each.media_type not in types.LAYERS:
                raise InvalidContent(f"manifest {self.digest}: layers[{number}] is no layer but {each.media_type}")

    @classmethod
    def build(
        cls,
        config: Descriptor,
        layers: Sequence[Descriptor],
        *,
        media_type: str = types.MANIFEST,
        annotations: Mapping[str, str] | None = None,
        subject: Descriptor | None = None,
        artifact_type: str = "",
    ) -> Manifest:
        """A manifest of ours; the same parts give the same bytes. Raises InvalidContent for what `parse` would."""
        document: dict[str, object] = {"schemaVersion": 2, "mediaType": media_type}
        if artifact_type:
            document["artifactType"] = artifact_type
        document["config"] = descriptor.written(config)
        document["layers"] = [descriptor.written(each) for each in layers]
        made = parse(content.written(document | _ending(subject, annotations)), media_type)
        assert isinstance(made, Manifest)
        return made


@frozen
class Index:
    """`manifests` are manifests for one platform each, or further indexes, in the order of preference."""

    raw: bytes
    media_type: str
    manifests: tuple[Descriptor, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    subject: Descriptor | None = None
    artifact_type: str = ""

    @property
    def digest(self) -> Digest:
        """Of the bytes as they came."""
        return Digest.of(self.raw)

    def descriptor(self, algorithm: str = "sha256") -> Descriptor:
        """That which leads here."""
        return descriptor.of(self.raw, self.media_type, algorithm)

    @classmethod
    def build(
        cls,
        manifests: Sequence[Descriptor],
        *,
        media_type: str = types.INDEX,
        annotations: Mapping[str, str] | None = None,
        subject: Descriptor | None = None,
        artifact_type: str = "",
    ) -> Index:
        """An index of ours; the same parts give the same bytes. Raises InvalidContent for what `parse` would."""
        document: dict[str, object] = {"schemaVersion": 2, "mediaType": media_type}
        if artifact_type:
            document["artifactType"] = artifact_type
        document["manifests"] = [descriptor.written(each) for each in manifests]
        made = parse(content.written(document | _ending(subject, annotations)), media_type)
        assert isinstance(made, Index)
        return made


def _ending(subject: Descriptor | None, annotations: Mapping[str, str] | None) -> dict[str, object]:
    result: dict[str, object] = {"subject": descriptor.written(subject)} if subject else {}
    if annotations:
        result["annotations"] = dict(sorted(annotations.items()))
    return result


@frozen
class _Document:
    """What both have; the lists are read by hand, so that errors count their members."""

    schema_version: int
    media_type: str = ""
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    config: object = None
    layers: tuple[object, ...] = ()
    manifests: tuple[object, ...] = ()
    subject: object = None


def parse(raw: bytes, media_type: str = "") -> Manifest | Index:
    """A document from elsewhere. `media_type` is what its descriptor, or the registry's Content-Type, says it is; where
    neither that nor the document itself says anything, its fields do. Raises InvalidContent."""
    document = content.load(raw, "manifest", MAX_BYTES)
    said = media_type.partition(";")[0].strip().lower()
    _refuse_schema_1(document, said)
    content.one_spelling(document, _FIELDS, "manifest")
    found = content.decode(_Document, document, "manifest")
    kind = _kind(document, found.media_type, said)
    if found.schema_version != 2:
        raise InvalidContent(f"manifest: schemaVersion: expected 2, got {found.schema_version}")
    if found.artifact_type:
        descriptor.check_media_type(found.artifact_type, "manifest: artifactType")
    subject = None if found.subject is None else descriptor.parse(found.subject, "manifest", "subject")
    if kind in types.INDEXES:
        manifests = _manifests(found.manifests)
        return Index(raw, kind, manifests, found.annotations, subject, found.artifact_type)
    config = descriptor.parse(found.config, "manifest", "config")
    if config.media_type in types.CONFIGS and config.size > MAX_CONFIG_BYTES:
        raise InvalidContent(f"manifest: config.size: {config.size}, and {MAX_CONFIG_BYTES} bytes is the most")
    if config.media_type == types.EMPTY and not found.artifact_type:
        raise InvalidContent("manifest: artifactType: missing, and config is the empty one: nothing says what this is")
    return Manifest(raw, kind, config, _layers(found.layers), found.annotations, subject, found.artifact_type)


def _refuse_schema_1(document: Mapping[str, object], said: str) -> None:
    if said in types.DOCKER_SCHEMA_1 or str(document.get("schemaVersion")) == "1":
        raise InvalidContent(
            "manifest: of Docker's schema 1, which nothing verifies any more",
            hint="push the image again with any Docker of this decade",
        )


_FIELDS = ("schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests", "subject", "annotations")


def _kind(document: Mapping[str, object], own: str, said: str) -> str:
    """Its media type. Raises InvalidContent where that is unknown, disputed, or contradicted by the fields."""
    index, manifest = "manifests" in document, "layers" in document or "config" in document
    if index and manifest:
        raise InvalidContent("manifest: has both manifests and layers: it could be read as two different things")
    if own and said and own != said:
        raise InvalidContent(f"manifest: says it is {codec.describe(own)}, and was announced as {codec.describe(said)}")
    kind = own or said or (types.INDEX if index else types.MANIFEST)
    if kind not in types.INDEXES | types.MANIFESTS:
        raise InvalidContent(f"manifest: unknown media type {codec.describe(kind)}", hint="is this address a registry?")
    needed = ("manifests",) if kind in types.INDEXES else ("config", "layers")
    for key in needed:
        if key not in document:
            raise InvalidContent(f"manifest: {key}: missing")
    return kind


def _layers(found: tuple[object, ...]) -> tuple[Descriptor, ...]:
    if len(found) > MAX_LAYERS:
        raise InvalidContent(f"manifest: {len(found)} layers, and {MAX_LAYERS} is the most that one image can have")
    return tuple(descriptor.parse(each, "manifest", f"layers[{number}]") for number, each in enumerate(found))


def _manifests(found: tuple[object, ...]) -> tuple[Descriptor, ...]:
    if len(found) > MAX_MANIFESTS:
        raise InvalidContent(f"manifest: an index of {len(found)} manifests, and {MAX_MANIFESTS} is the most")
    result = tuple(descriptor.parse(each, "manifest", f"manifests[{number}]") for number, each in enumerate(found))
    for number, each in enumerate(result):
        if each.media_type in types.INDEXES | types.MANIFESTS and each.size > MAX_BYTES:
            raise InvalidContent(f"manifest: manifests[{number}].size: {each.size} is more than a manifest may have")
    return result
