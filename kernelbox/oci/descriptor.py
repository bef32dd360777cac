"""Which content is meant, what it is, and how long (image-spec v1.1, descriptor.md).

`parse` reads the object that documents hold, `written` makes it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import field
from typing import Annotated

from kernelbox.errors import InvalidContent
from kernelbox.oci import codec, content
from kernelbox.oci import media_types as types
from kernelbox.oci.codec import Bounds
from kernelbox.oci.digest import Digest
from kernelbox.oci.platform import Platform
from kernelbox.oci.value import frozen

__all__ = [
    "Descriptor",
    "check_media_type",
    "check_platform",
    "of",
    "parse",
    "parse_digest",
    "written",
    "written_platform",
]

_NAME = r"[a-zA-Z0-9][a-zA-Z0-9!#$&^_.+-]{0,126}"
_MEDIA_TYPE = re.compile(f"{_NAME}/{_NAME}")
_URL = re.compile(r"https?://[!-~]{1,2000}")
MAX_URLS = 16


@frozen
class Descriptor:
    """`size` in bytes. `platform` is what an image of an index runs on; `data` the content itself, where a manifest
    brings it along (checked to be that of the digest)."""

    media_type: str
    digest: Digest
    size: int
    urls: tuple[str, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    platform: Platform | None = None
    artifact_type: str = ""
    data: bytes | None = None

    def __str__(self) -> str:
        return f"{self.digest} ({self.media_type}, {self.size} bytes)"

    def check(self, content: bytes, what: str) -> None:
        """Raises InvalidContent where `content`, which is said to be `what`, is not what is meant here."""
        if len(content) != self.size:
            raise InvalidContent(f"{what} is damaged: it should have {self.size} bytes and has {len(content)}")
        self.digest.check(content, what)


def of(content: bytes, media_type: str, algorithm: str = "sha256") -> Descriptor:
    """That which leads to this content."""
    return Descriptor(media_type, Digest.of(content, algorithm), len(content))


@frozen
class _Platform:
    os: str = ""
    architecture: str = ""
    variant: str = ""
    os_version: str = field(default="", metadata={"json": "os.version"})
    os_features: tuple[str, ...] = field(default=(), metadata={"json": "os.features"})

    def meant(self) -> Platform:
        return Platform(self.os, self.architecture, self.variant, self.os_version, self.os_features)


@frozen
class _Descriptor:
    """As it is written."""

    media_type: str
    digest: str
    size: Annotated[int, Bounds(0, (1 << 63) - 1)]
    urls: tuple[str, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    platform: _Platform | None = None
    artifact_type: str = ""
    data: str | None = None


_FIELDS = ("mediaType", "digest", "size", "urls", "annotations", "platform", "artifactType", "data")


def parse(value: object, what: str, path: str) -> Descriptor:
    """The object at `path` of the document that errors call `what`. Raises InvalidContent."""
    where = f"{what}: {path}"
    content.one_spelling(value, _FIELDS, where)
    found = content.decode(_Descriptor, value, what, path)
    check_media_type(found.media_type, f"{where}.mediaType")
    if found.artifact_type:
        check_media_type(found.artifact_type, f"{where}.artifactType")
    if len(found.urls) > MAX_URLS or not all(map(_URL.fullmatch, found.urls)):
        raise InvalidContent(f"{where}.urls: expected at most {MAX_URLS} addresses that begin with https:// or http://")
    platform = None if found.platform is None else found.platform.meant()
    check_platform(platform, f"{where}.platform")
    made = Descriptor(
        found.media_type,
        parse_digest(found.digest, f"{where}.digest"),
        found.size,
        found.urls,
        found.annotations,
        platform,
        found.artifact_type,
        None if found.data is None else _data(found.data, where),
    )
    if made.data is not None:
        made.check(made.data, f"{where}.data")
    if made.media_type == types.EMPTY:
        made.check(b"{}", f"{where}, the empty one,")
    return made


def check_platform(platform: Platform | None, where: str) -> None:
    """Raises InvalidContent for a platform whose words are none that anybody could mean."""
    if platform and not platform.is_plain:
        raise InvalidContent(f"{where}: {str(platform)[:100]!r} is no platform")


def parse_digest(text: str, where: str) -> Digest:
    """As Digest.parse; errors begin with `where` it is written."""
    try:
        return Digest.parse(text)
    except InvalidContent as error:
        raise InvalidContent(f"{where}: {error.message}", hint=error.hint) from None


def _data(text: str, where: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidContent(f"{where}.data: not base64") from None


def check_media_type(text: str, where: str) -> None:
    """Raises InvalidContent for what is no type/subtype (RFC 6838, section 4.2)."""
    if not _MEDIA_TYPE.fullmatch(text):
        raise InvalidContent(f"{where}: {codec.describe(text)} is no media type")


def written(descriptor: Descriptor) -> dict[str, object]:
    """The object that a document holds."""
    result: dict[str, object] = {
        "mediaType": descriptor.media_type,
        "digest": str(descriptor.digest),
        "size": descriptor.size,
    }
    if descriptor.urls:
        result["urls"] = list(descriptor.urls)
    if descriptor.annotations:
        result["annotations"] = dict(sorted(descriptor.annotations.items()))
    if descriptor.data is not None:
        result["data"] = base64.b64encode(descriptor.data).decode()
    if descriptor.artifact_type:
        result["artifactType"] = descriptor.artifact_type
    if descriptor.platform:
        result["platform"] = written_platform(descriptor.platform)
    return result


def written_platform(platform: Platform) -> dict[str, object]:
    """As a descriptor and an image's configuration hold it; architecture and os even where they are empty."""
    result: dict[str, object] = {"architecture": platform.architecture, "os": platform.os}
    if platform.os_version:
        result["os.version"] = platform.os_version
    if platform.os_features:
        result["os.features"] = list(platform.os_features)
    if platform.variant:
        result["variant"] = platform.variant
    return result
