"""Which content is meant, what it is, and how long (image-spec v1.1, descriptor.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from kernelbox.oci.digest import Digest
from kernelbox.oci.platform import Platform
from kernelbox.oci.value import frozen

__all__ = ["Descriptor"]


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
