"""The documents of image archives: OCI's layout, and what `docker save` writes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from image_documents import VALUES

from kernelbox.errors import InvalidContent
from kernelbox.oci import archive_words, media_types
from kernelbox.oci.archive_words import SavedImage, check_layout, name_of, named, parse_saved
from kernelbox.oci.descriptor import Descriptor, of
from kernelbox.oci.digest import Digest
from kernelbox.oci.reference import parse

IMAGE = of(b"x", media_types.MANIFEST)
HEX = Digest.of(b"layer").encoded


def annotated(**names: str) -> Descriptor:
    keys = {"ref": archive_words.REF_NAME, "full": archive_words.FULL_NAME}
    return Descriptor(IMAGE.media_type, IMAGE.digest, 1, annotations={keys[key]: name for key, name in names.items()})


def test_the_layout() -> None:
    check_layout(archive_words.LAYOUT)
    check_layout(b'{"imageLayoutVersion":"1.1.0","more":1}')
    for raw in (b"{}", b"", b"[]", b'{"imageLayoutVersion":"2.0.0"}', b'{"imageLayoutVersion":1}', b" " * 5000):
        with pytest.raises(InvalidContent, match=r"^oci-layout: "):
            check_layout(raw)
    assert archive_words.blob_path(Digest.of(b"layer")) == f"blobs/sha256/{HEX}"


@pytest.mark.parametrize(
    ("image", "name"),
    [
        (annotated(), None),
        (annotated(ref="latest"), None),
        (annotated(ref="3.0+build"), None),
        (annotated(ref="lab.example/a:1"), "lab.example/a:1"),
        (annotated(ref="a:1"), "docker.io/library/a:1"),
        (annotated(ref="a/b"), "docker.io/a/b:latest"),
        (annotated(ref="A:1@b+c"), None),
        (annotated(ref="1", full="docker.io/library/a:1"), "docker.io/library/a:1"),
    ],
)
def test_what_an_image_is_called(image: Descriptor, name: str | None) -> None:
    found = name_of(image)
    assert (found and str(found)) == name


@pytest.mark.parametrize(
    "image", [annotated(ref="../x"), annotated(ref="a b"), annotated(full="A B"), annotated(ref="a\n")]
)
def test_names_that_are_none(image: Descriptor) -> None:
    with pytest.raises(InvalidContent, match=r"^index\.json: "):
        name_of(image)


@pytest.mark.parametrize("text", ["debian:12", "lab.example:5000/a/b:1", f"debian@sha256:{HEX}"])
def test_named_and_found(text: str) -> None:
    given_name = named(annotated(), parse(text))
    assert name_of(given_name) == parse(text)
    assert archive_words.REF_NAME in given_name.annotations


def test_saved_images() -> None:
    images = (
        SavedImage(f"blobs/sha256/{HEX}", (f"blobs/sha256/{HEX}", f"{HEX}/layer.tar"), (parse("a:1"), parse("b.c/d"))),
        SavedImage(f"{HEX}.json"),
    )
    raw = archive_words.written_saved(images)
    assert parse_saved(raw) == images
    assert json.loads(raw)[0]["RepoTags"] == ["a:1", "b.c/d:latest"]
    assert parse_saved(b'[{"Config":"a","RepoTags":null,"Layers":null,"Parent":"x"}]') == (SavedImage("a"),)


HOSTILE = [
    ({}, "expected a list, got an object"),
    ([1], "[0]: expected an object, got 1"),
    ([{}], "[0].Config: missing"),
    ([{"Config": "../../etc/passwd"}], "[0]: '../../etc/passwd' is no member of an archive"),
    ([{"Config": "/etc/passwd"}], "[0]: '/etc/passwd' is no member of an archive"),
    ([{"Config": ""}], "[0]: '' is no member of an archive"),
    ([{"Config": "a", "Layers": ["a/./b"]}], "[0]: 'a/./b' is no member of an archive"),
    ([{"Config": "a", "Layers": ["a\0"]}], "[0].Layers[0]: contains a NUL character"),
    ([{"Config": "a", "Layers": ["a" * 5000]}], f"[0]: {'a' * 100!r} is no member of an archive"),
    ([{"Config": "a", "Layers": ["a"] * 501}], "[0]: 501 layers, and 500 is the most"),
    ([{"Config": "a", "RepoTags": ["A:1"]}], "[0].RepoTags: 'A:1' is no image name"),
    ([{"Config": "a"}] * 1001, "1001 images, and 1000 is the most"),
]


@pytest.mark.parametrize(("document", "sentence"), HOSTILE)
def test_saved_images_that_are_none(document: object, sentence: str) -> None:
    with pytest.raises(InvalidContent) as caught:
        parse_saved(json.dumps(document).encode())
    assert caught.value.message == f"manifest.json: {sentence}"


@given(VALUES)
@settings(deadline=None)
def test_refused_or_read(document: object) -> None:
    raw = json.dumps([document]).encode()
    try:
        found = parse_saved(raw)
    except InvalidContent:
        return
    assert parse_saved(archive_words.written_saved(found)) == found
