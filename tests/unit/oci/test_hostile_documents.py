"""Documents that strangers might send: each is refused, with the sentence that stands beside it in verdicts.json; and
what hypothesis makes of good ones is refused or kept byte for byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_documents import changed, image_configuration, image_index, image_manifest

from kernelbox.errors import ImageNotFound, InvalidContent
from kernelbox.oci import image_document, manifest, media_types, platform, referrers
from kernelbox.oci.descriptor import Descriptor
from kernelbox.oci.digest import Digest
from kernelbox.oci.image_document import ImageDocument
from kernelbox.oci.manifest import Index, Manifest

HOSTILE = Path(__file__).parent / "hostile"
VERDICTS: dict[str, str] = json.loads((HOSTILE / "verdicts.json").read_text())
PARSERS: dict[str, Callable[[bytes], object]] = {
    "manifest": manifest.parse,
    "configuration": image_document.parse,
}


def test_every_document_has_its_verdict() -> None:
    there = {str(path.relative_to(HOSTILE)) for path in HOSTILE.glob("*/*.json")}
    assert there == set(VERDICTS)
    assert len(there) > 100


@pytest.mark.parametrize("name", sorted(VERDICTS))
def test_a_document_is_refused(name: str) -> None:
    with pytest.raises(InvalidContent) as caught:
        PARSERS[name.partition("/")[0]]((HOSTILE / name).read_bytes())
    assert caught.value.message.startswith(VERDICTS[name])
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400


KINDS = st.sampled_from(["", "", "", *sorted(media_types.MANIFESTS | media_types.INDEXES), "text/html"])
MANIFESTS = st.one_of(changed(image_manifest(subject=image_manifest()["config"])), changed(image_index()))


def same(one: object, other: object) -> bool:
    """But for the bytes: ours have no blanks, and no fields that nobody knows."""
    names = [each.name for each in fields(type(one)) if each.name != "raw"]  # type: ignore[arg-type]
    return type(one) is type(other) and all(getattr(one, name) == getattr(other, name) for name in names)


def outcome(parse: Callable[[], object]) -> object:
    """What is returned, or the refusal."""
    try:
        return parse()
    except (InvalidContent, ImageNotFound) as error:
        return error


@given(MANIFESTS | st.binary(max_size=60), KINDS)
@settings(max_examples=500, deadline=None)
def test_manifests_are_refused_or_kept(raw: bytes, kind: str) -> None:
    found = outcome(lambda: manifest.parse(raw, kind))
    if isinstance(found, InvalidContent):
        assert found.message.startswith("manifest: ")
        assert found.message.isprintable()
        return
    assert isinstance(found, Manifest | Index)
    assert found.raw == raw
    assert found.digest == Digest.of(raw) == referrers.entry(found).digest
    assert manifest.parse(raw, found.media_type) == found
    made = rebuilt(found)
    assert same(made, found)
    assert manifest.parse(made.raw) == made


def rebuilt(found: Manifest | Index) -> Manifest | Index:
    names = ("media_type", "annotations", "subject", "artifact_type")
    rest: dict[str, Any] = {name: getattr(found, name) for name in names}
    if isinstance(found, Index):
        return Index.build(found.manifests, **rest)
    return Manifest.build(found.config, found.layers, **rest)


@given(changed(image_configuration()) | st.binary(max_size=60))
@settings(max_examples=400, deadline=None)
def test_configurations_are_refused_or_kept(raw: bytes) -> None:
    found = outcome(lambda: image_document.parse(raw))
    if isinstance(found, InvalidContent):
        assert found.message.startswith("image configuration: ")
        assert found.message.isprintable()
        return
    assert isinstance(found, ImageDocument)
    assert found.raw == raw
    assert found.digest == Digest.of(raw)
    assert len(found.steps) == len(found.history)
    parts = (found.platform, found.config, found.diff_ids, found.history)
    made = ImageDocument.build(*parts, created=found.created, author=found.author, extra=found.extra)
    assert same(made, found)
    assert image_document.parse(made.raw) == made


WANTED = platform.Platform("linux", "arm", "v7", os_features=("a",))


@given(changed(image_index()))
@settings(deadline=None)
def test_of_any_index_one_is_chosen_or_none(raw: bytes) -> None:
    found = outcome(lambda: manifest.parse(raw))
    if not isinstance(found, Index):
        return
    chosen = outcome(lambda: platform.choose(found.manifests, WANTED))
    if isinstance(chosen, ImageNotFound):
        assert str(chosen).isprintable()
        return
    assert isinstance(chosen, Descriptor)
    assert chosen in found.manifests
    assert chosen.platform is None or platform.rank(chosen.platform, WANTED) is not None
    assert chosen.media_type in media_types.MANIFESTS | media_types.INDEXES
