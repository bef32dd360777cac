"""Manifests and indexes: read as they are, kept byte for byte, made the same from the same."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from image_documents import CONFIG, INDEX, LAYER, MANIFEST, descriptor, image_index, image_manifest, written

from kernelbox.errors import InvalidContent
from kernelbox.oci import descriptor as descriptors
from kernelbox.oci import manifest, media_types
from kernelbox.oci.descriptor import Descriptor
from kernelbox.oci.digest import Digest
from kernelbox.oci.manifest import MAX_BYTES, MAX_LAYERS, MAX_MANIFESTS, Index, Manifest, parse
from kernelbox.oci.platform import Platform

EMPTY = descriptor(b"{}", media_types.EMPTY)


def read(document: object, media_type: str = "") -> Manifest:
    found = parse(written(document), media_type)
    assert isinstance(found, Manifest)
    return found


def refusal(document: object, media_type: str = "") -> str:
    with pytest.raises(InvalidContent) as caught:
        parse(document if isinstance(document, bytes) else written(document), media_type)
    return caught.value.message


def test_an_image() -> None:
    raw = written(image_manifest(unknown={"kept": 1}, annotations={"c": "d"}))
    found = parse(raw, MANIFEST)
    assert isinstance(found, Manifest)
    assert (found.raw, found.media_type, found.is_image) == (raw, MANIFEST, True)
    assert found.digest == Digest.of(raw)
    assert found.descriptor("sha512") == Descriptor(MANIFEST, Digest.of(raw, "sha512"), len(raw))
    assert found.config == Descriptor(CONFIG, Digest.of(b"config"), 6)
    assert [str(each.digest) for each in found.layers] == [str(Digest.of(b"one")), str(Digest.of(b"two"))]
    assert found.layers[1].annotations == {"a": "b"}
    assert found.annotations == {"c": "d"}
    found.check_image()


def test_an_index() -> None:
    raw = written(image_index())
    found = parse(raw)
    assert isinstance(found, Index)
    assert (found.raw, found.media_type, found.digest) == (raw, INDEX, Digest.of(raw))
    assert [each.platform for each in found.manifests] == [
        Platform("linux", "amd64"),
        Platform("linux", "arm", "v7", "6", ("a",)),
        Platform("unknown", "unknown"),
    ]


@pytest.mark.parametrize(
    ("list_name", "kind"), [("manifests", media_types.DOCKER_INDEX), ("layers", media_types.DOCKER_MANIFEST)]
)
def test_dockers_are_read_as_they_are(list_name: str, kind: str) -> None:
    document = image_index(mediaType=kind) if list_name == "manifests" else image_manifest(mediaType=kind)
    assert parse(written(document), kind).media_type == kind
    del document["mediaType"]
    assert parse(written(document), kind).media_type == kind
    assert parse(written(document)).media_type in (INDEX, MANIFEST)


def test_content_types_have_parameters() -> None:
    assert read(image_manifest(), f"{MANIFEST.upper()}; charset=utf-8").media_type == MANIFEST


def test_an_artifact_with_a_subject() -> None:
    subject = descriptor(b"subject", MANIFEST)
    found = read(image_manifest(config=EMPTY, layers=[EMPTY], artifactType="application/x.sig", subject=subject))
    assert (found.artifact_type, found.is_image) == ("application/x.sig", False)
    assert found.subject == Descriptor(MANIFEST, Digest.of(b"subject"), 7)
    with pytest.raises(InvalidContent, match=r"no image but an artifact of the type application/x\.sig"):
        found.check_image()


def test_a_layer_of_an_unknown_kind_is_no_image() -> None:
    found = read(image_manifest(layers=[descriptor(b"x", LAYER + "+encrypted")]))
    with pytest.raises(InvalidContent, match=r"layers\[0\] is no layer but .*encrypted"):
        found.check_image()


@pytest.mark.parametrize("layers", [[], None])
def test_no_layers(layers: object) -> None:
    assert read(image_manifest(layers=layers)).layers == ()


def test_content_that_comes_along() -> None:
    content = b"\0config"
    config = descriptor(content, CONFIG, data=base64.b64encode(content).decode())
    assert read(image_manifest(config=config)).config.data == content
    wrong = config | {"data": base64.b64encode(b"\0other!").decode()}
    assert refusal(image_manifest(config=wrong)).startswith("manifest: config.data is damaged: it should be sha256:")
    short = config | {"data": "AA=="}
    assert refusal(image_manifest(config=short)) == "manifest: config.data is damaged: it should have 7 bytes and has 1"
    for odd in ("AA", "A A=", "é", "-_=="):
        assert refusal(image_manifest(config=config | {"data": odd})) == "manifest: config.data: not base64"


def test_bounds() -> None:
    many = [descriptor(b"x", LAYER)] * 1000
    assert refusal(image_manifest(layers=many)) == "manifest: 1000 layers, and 500 is the most that one image can have"
    assert len(read(image_manifest(layers=many[:MAX_LAYERS])).layers) == MAX_LAYERS
    members = [descriptor(b"x", MANIFEST)] * (MAX_MANIFESTS + 1)
    assert refusal(image_index(manifests=members)) == "manifest: an index of 1001 manifests, and 1000 is the most"
    huge = descriptor(b"x", MANIFEST) | {"size": MAX_BYTES + 1}
    assert "manifests[0].size: 4194305 is more than a manifest may have" in refusal(image_index(manifests=[huge]))
    big = descriptor(b"x", CONFIG) | {"size": manifest.MAX_CONFIG_BYTES + 1}
    assert refusal(image_manifest(config=big)) == "manifest: config.size: 8388609, and 8388608 bytes is the most"


def test_four_mebibytes_are_read_and_one_byte_more_is_not() -> None:
    raw = written(image_manifest())
    assert parse(raw + b" " * (MAX_BYTES - len(raw))).digest
    assert (
        refusal(raw + b" " * (MAX_BYTES + 1 - len(raw)))
        == "manifest: 4194305 bytes, and 4194304 is the most that is read"
    )


def test_what_takes_time_is_refused_before_it_does() -> None:
    for raw in (b"[" * MAX_BYTES, b'{"a":' * 800_000, b"[" * 5000 + b"]" * 5000):
        # How many the interpreter itself can read differs between its versions.
        assert re.fullmatch("manifest: (nested too deeply|more than 32 objects and lists in one another)", refusal(raw))
    assert refusal(b'{"a":[' + b"0," * 2_000_000 + b"0]}") == "manifest: more than 250000 values in one document"
    assert refusal(b'{"a":' + b"9" * 4_000_000 + b"}") == "manifest: a number of thousands of digits"
    members = ",".join(f'"{number:x}":0' for number in range(200_000))
    assert refusal(f'{{{members},"0":1}}'.encode()) == "manifest: the key '0' appears twice in one object"


def test_odd_words_of_strangers_are_shown_safely() -> None:
    said = refusal(image_manifest(annotations={"\x1b[2J" + "x" * 5000: 1}))
    assert said.startswith("manifest: annotations.\\x1b[2Jxxx")
    assert len(said) <= 300
    assert said.isprintable()
    assert refusal(image_manifest(), "text/html\x1b") == (
        f"manifest: says it is '{MANIFEST}', and was announced as 'text/html\\x1b'"
    )


def config(**more: Any) -> Descriptor:
    return Descriptor(CONFIG, Digest.of(b"config"), 6, **more)


def test_the_same_parts_make_the_same_bytes() -> None:
    layers = [Descriptor(LAYER, Digest.of(b"one", "sha512"), 3, ("https://lab.example/x",), {"b": "2", "a": "1"})]
    made = Manifest.build(config(data=b"config"), layers, annotations={"z": "1", "a": "é"}, subject=config())
    again = Manifest.build(config(data=b"config"), layers, annotations={"a": "é", "z": "1"}, subject=config())
    assert made.raw == again.raw
    assert parse(made.raw) == made
    assert list(json.loads(made.raw)) == ["schemaVersion", "mediaType", "config", "layers", "subject", "annotations"]
    assert (made.config.data, made.layers, made.subject) == (b"config", tuple(layers), config())


def test_an_index_made_here() -> None:
    members = [Descriptor(MANIFEST, Digest.of(b"x"), 1, platform=Platform("linux", "arm", "v7", "6", ("a",)))]
    made = Index.build(members, artifact_type="application/x.y", annotations={"a": "b"}, subject=config())
    assert parse(made.raw, INDEX) == made
    assert (made.manifests, made.artifact_type) == (tuple(members), "application/x.y")


def test_what_is_made_is_held_to_the_same_rules() -> None:
    with pytest.raises(InvalidContent, match="1000 layers"):
        Manifest.build(config(), [config()] * 1000)
    with pytest.raises(InvalidContent, match="half a character"):
        Manifest.build(config(), [], annotations={"a": "\ud800"})
    with pytest.raises(InvalidContent, match="artifactType: missing"):
        Manifest.build(descriptors.of(b"{}", media_types.EMPTY), [])
    with pytest.raises(InvalidContent, match="unknown media type"):
        Index.build([], media_type=LAYER)
    with pytest.raises(InvalidContent, match="manifests: missing"):
        Manifest.build(config(), [], media_type=INDEX)


def test_content_is_checked_against_its_descriptor() -> None:
    descriptors.of(b"abc", LAYER).check(b"abc", "layer")
    with pytest.raises(InvalidContent, match="layer is damaged: it should have 3 bytes and has 2"):
        descriptors.of(b"abc", LAYER).check(b"ab", "layer")
    with pytest.raises(InvalidContent, match="layer is damaged: it should be sha512:"):
        descriptors.of(b"abc", LAYER, "sha512").check(b"xyz", "layer")
