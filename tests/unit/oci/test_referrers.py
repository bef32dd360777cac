"""What refers to an image, as registries list it and as clients keep it where these cannot."""

from __future__ import annotations

import pytest
from image_documents import image_manifest, written

from kernelbox.errors import InvalidContent
from kernelbox.oci import descriptor, media_types, referrers
from kernelbox.oci.digest import Digest
from kernelbox.oci.manifest import Index, Manifest
from kernelbox.oci.reference import is_tag

SUBJECT = descriptor.of(b"subject", media_types.MANIFEST)
SIGNATURE = Manifest.build(
    descriptor.of(b"{}", media_types.EMPTY),
    [],
    artifact_type="application/x.sig",
    subject=SUBJECT,
    annotations={"a": "b"},
)


def test_the_tag_that_stands_in() -> None:
    assert referrers.fallback_tag(SUBJECT.digest) == f"sha256-{SUBJECT.digest.encoded}"
    long = Digest.of(b"subject", "sha512")
    assert referrers.fallback_tag(long) == f"sha512-{long.encoded[:64]}"
    assert is_tag(referrers.fallback_tag(long))


def test_how_it_is_listed() -> None:
    found = referrers.entry(SIGNATURE)
    assert (found.digest, found.size, found.media_type) == (SIGNATURE.digest, len(SIGNATURE.raw), media_types.MANIFEST)
    assert (found.artifact_type, found.annotations) == ("application/x.sig", {"a": "b"})
    older = Manifest.build(descriptor.of(b"c", "application/x.config"), [], subject=SUBJECT)
    assert referrers.entry(older, "sha512").artifact_type == "application/x.config"
    assert referrers.entry(older, "sha512").digest == Digest.of(older.raw, "sha512")
    assert referrers.entry(Index.build([], subject=SUBJECT)).artifact_type == ""


def test_the_index_and_back() -> None:
    entries = [referrers.entry(SIGNATURE)]
    assert referrers.parse(referrers.index(entries).raw).manifests == tuple(entries)
    assert referrers.index([]).raw == (
        b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
    )


@pytest.mark.parametrize("raw", [written(image_manifest()), SIGNATURE.raw, b"<html>", b"[]", b""])
def test_answers_that_are_none(raw: bytes) -> None:
    with pytest.raises(InvalidContent):
        referrers.parse(raw)


def test_more_and_fewer() -> None:
    first, second = referrers.entry(SIGNATURE), descriptor.of(b"x", media_types.MANIFEST)
    both = referrers.added([first], second)
    assert both == (first, second) == referrers.added(both, second)
    assert referrers.removed(both, first.digest) == (second,)
    assert referrers.of_type(both, "application/x.sig") == (first,)
    assert referrers.of_type(both, "") == both
    assert referrers.of_type(both, "application/x.other") == ()
