"""What refers to an image: signatures, attestations, lists of its parts (distribution-spec v1.1, "Listing Referrers").

A registry answers the question with an index. One that cannot is helped by clients, which keep that same index under a
tag made of the digest ("Referrers Tag Schema").

>>> fallback_tag(Digest.of(b""))[:16]
'sha256-e3b0c4429'
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from kernelbox.errors import InvalidContent
from kernelbox.oci import manifest
from kernelbox.oci import media_types as types
from kernelbox.oci.descriptor import Descriptor
from kernelbox.oci.digest import Digest
from kernelbox.oci.manifest import Index, Manifest

__all__ = ["added", "entry", "fallback_tag", "index", "of_type", "parse", "removed"]


def fallback_tag(subject: Digest) -> str:
    """Of the index of those that refer to `subject`: the algorithm's first 32 characters, the first 64 of the rest."""
    return f"{subject.algorithm[:32]}-{subject.encoded[:64]}"


def entry(found: Manifest | Index, algorithm: str = "sha256") -> Descriptor:
    """How the one that refers is listed: with what it is, and with its annotations."""
    kind = found.artifact_type or (found.config.media_type if isinstance(found, Manifest) else "")
    return dataclasses.replace(found.descriptor(algorithm), artifact_type=kind, annotations=found.annotations)


def index(entries: Sequence[Descriptor]) -> Index:
    """The answer of a registry, and what stands under the fallback tag."""
    return Index.build(entries)


def parse(raw: bytes) -> Index:
    """The answer of a registry. Raises InvalidContent for all but an index."""
    found = manifest.parse(raw, types.INDEX)
    if not isinstance(found, Index):
        raise InvalidContent("referrers: expected an index, got a manifest")
    return found


def of_type(entries: Sequence[Descriptor], artifact_type: str) -> tuple[Descriptor, ...]:
    """Those of one type, or all where it is empty."""
    return tuple(each for each in entries if not artifact_type or each.artifact_type == artifact_type)


def added(entries: Sequence[Descriptor], new: Descriptor) -> tuple[Descriptor, ...]:
    """With `new` at the end, unless it is there already."""
    return tuple(entries) if any(each.digest == new.digest for each in entries) else (*entries, new)


def removed(entries: Sequence[Descriptor], gone: Digest) -> tuple[Descriptor, ...]:
    """Without what has this digest."""
    return tuple(each for each in entries if each.digest != gone)
