"""Layers that are not what they are said to be, or cannot be kept: refused, and nothing of them is there."""

from __future__ import annotations

import io
import os

import pytest
from unit.store.layer_archives import (
    DIFF_ID,
    TAR,
    another,
    archive,
    nothing_is_there,
    source_of,
)

from kernelbox.errors import InvalidContent, StoreError
from kernelbox.oci.digest import Digest
from kernelbox.store.layer_content import Bounds
from kernelbox.store.layer_pipe import LayerSource, Unpacked
from kernelbox.store.layers import Layers


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda moved: moved[: len(moved) // 2], "cut short"),
        (lambda moved: moved[:-1], "cut short"),
        (lambda moved: moved + b"more", "followed by something else"),
        (lambda moved: moved + bytes(9), "has more than the [0-9]+ bytes that it should have"),
        (lambda moved: flipped(moved, 5), "is damaged: it should be"),  # the time in gzip's header
        (lambda moved: flipped(moved, len(moved) // 2), "is damaged"),
        (lambda moved: b"", "a layer that should be gzip is not compressed so"),
        (lambda moved: source_of(archive({"a": b"b"})).open().read(), "has [0-9]+ bytes and not"),
    ],
)
def test_damaged_content_leaves_nothing(layers: Layers, change: object, sentence: str) -> None:
    source = source_of(TAR)
    moved = source.open().read()
    wrong = LayerSource(lambda: io.BytesIO(change(moved)), source.digest, source.size, source.compression)  # type: ignore[operator]
    with pytest.raises(InvalidContent, match=sentence):
        layers.ensure(DIFF_ID, DIFF_ID, None, wrong)
    assert nothing_is_there(layers)
    assert layers.ensure(DIFF_ID, DIFF_ID, None, source).diff_id == DIFF_ID, "the right one can still come"


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("known", [True, False])
def test_another_layer_than_the_image_says(layers: Layers, packed: bool, known: bool) -> None:
    tar = archive({"etc/passwd": b"root::0:0::/:/bin/sh\n"})
    source = source_of(tar, packed=packed)
    if not known:
        source = LayerSource(source.open)
    with pytest.raises(InvalidContent, match=f"the content of the layer .* is damaged: it should be {DIFF_ID}"):
        layers.ensure(DIFF_ID, DIFF_ID, None, source)
    assert nothing_is_there(layers)


def test_that_it_is_damaged_is_said_before_what_comes_of_it(trees: Layers) -> None:
    tar = flipped(TAR, 150)  # the checksum of a header
    with pytest.raises(InvalidContent, match="is damaged: it should be"):
        trees.ensure(DIFF_ID, DIFF_ID, None, source_of(tar))
    with pytest.raises(InvalidContent, match="the layer is damaged or hostile"):
        trees.ensure(Digest.of(tar), Digest.of(tar), None, source_of(tar))
    assert nothing_is_there(trees)


def test_a_bomb_leaves_nothing(trees: Layers) -> None:
    tar = archive({"zeros": bytes(30 << 20)})
    bounded = Layers(trees._folder, trees._trash, trees._sweep, trees._form, Bounds(ratio=50, always=1 << 20))
    with pytest.raises(InvalidContent, match="becomes more than 50 times as large"):
        bounded.ensure(Digest.of(tar), Digest.of(tar), None, source_of(tar))
    assert nothing_is_there(trees, Digest.of(tar))


@pytest.mark.parametrize("reads", [0, 1, 1 << 20])
def test_what_cannot_be_unpacked_leaves_nothing(layers: Layers, reads: int) -> None:
    def fails(target: int, archive: int) -> Unpacked:
        os.read(archive, reads)
        raise StoreError("no room")

    with pytest.raises(StoreError, match="no room"):
        another(layers, fails).ensure(DIFF_ID, DIFF_ID, None, source_of(TAR))
    assert nothing_is_there(layers)


def test_who_unpacks_need_not_read_to_the_end(trees: Layers) -> None:
    def hasty(target: int, archive: int) -> Unpacked:
        os.read(archive, 1024)
        return Unpacked(1, 7)

    assert another(trees, hasty).ensure(DIFF_ID, DIFF_ID, None, source_of(TAR)).size == 7
    trees.remove(DIFF_ID)
    wrong = flipped(TAR, len(TAR) - 1)
    with pytest.raises(InvalidContent, match="is damaged"):
        another(trees, hasty).ensure(DIFF_ID, DIFF_ID, None, source_of(wrong))
