"""JSON from elsewhere, read strictly and within bounds."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_documents import VALUES

from kernelbox.errors import InvalidContent
from kernelbox.oci import content
from kernelbox.oci.content import MAX_COMMAS, MAX_DEPTH, load, load_list, one_spelling


def nested(depth: int) -> bytes:
    return b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)


def test_an_object_and_a_list() -> None:
    assert load(b' {"a": [1, "\\u00e9", null, true, 1.5]} ', "x", 100) == {"a": [1, "é", None, True, 1.5]}
    assert load_list(b"[{}]", "x", 100) == [{}]
    with pytest.raises(InvalidContent, match="x: expected an object, got a list"):
        load(b"[]", "x", 100)
    with pytest.raises(InvalidContent, match="x: expected a list, got null"):
        load_list(b"null", "x", 100)


def test_bounds_are_reached_and_not_passed() -> None:
    assert load(b"{}".ljust(100), "x", 100) == {}
    with pytest.raises(InvalidContent, match="x: 101 bytes, and 100 is the most that is read"):
        load(b"{}".ljust(101), "x", 100)
    load(nested(MAX_DEPTH), "x", 1000)
    with pytest.raises(InvalidContent, match="x: more than 32 objects and lists in one another"):
        load(nested(MAX_DEPTH + 1), "x", 1000)
    assert len(load_list(b"[" + b"0," * MAX_COMMAS + b"0]", "x", 1 << 20)) == MAX_COMMAS + 1
    with pytest.raises(InvalidContent, match="x: more than 250000 values in one document"):
        load_list(b"[" + b"0," * (MAX_COMMAS + 1) + b"0]", "x", 1 << 20)


@pytest.mark.parametrize("number", ["18446744073709551615", "-18446744073709551615", "1.8e19", "-0", "1e-400"])
def test_numbers_that_fit(number: str) -> None:
    assert load(f'{{"a": {number}}}'.encode(), "x", 100) == {"a": json.loads(number)}


@pytest.mark.parametrize("number", ["18446744073709551616", "-18446744073709551616", "1e20", "1e400", "-1e400"])
def test_numbers_that_do_not(number: str) -> None:
    with pytest.raises(InvalidContent, match="does not fit 64 bits"):
        load(f'{{"a": [{number}]}}'.encode(), "x", 100)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b'{"a": NaN}', "x: NaN is not JSON"),
        (b'{"a": -Infinity}', "x: -Infinity is not JSON"),
        (b'{"a": {"b": 1, "b": 1}}', "x: the key 'b' appears twice in one object"),
        (b'{"b": 1, "\\u0062": 1}', "x: the key 'b' appears twice in one object"),
        (b'{"a": "\\ud83d"}', "x: contains half a character (a lone surrogate)"),
        (b'{"\\ude00": 1}', "x: contains half a character (a lone surrogate)"),
        (b'{"a": "\xff"}', "x: not UTF-8: invalid start byte at byte 7"),
        (b'{"\x1b\\u001b": 1}', "x: not JSON: "),
        (b'{"\\u001b[2J": 1, "\\u001b[2J": 2}', "x: the key '\\x1b[2J' appears twice in one object"),
    ],
)
def test_what_other_readers_might_take_otherwise(text: bytes, sentence: str) -> None:
    with pytest.raises(InvalidContent) as caught:
        load(text, "x", 100)
    assert caught.value.message.startswith(sentence)


def test_a_whole_pair_of_surrogates_is_a_character() -> None:
    assert load(b'{"a": "\\ud83d\\ude00"}', "x", 100) == {"a": "\U0001f600"}


def test_spellings() -> None:
    one_spelling({"layers": 1, "other": 2}, ("layers", "size"), "x")
    one_spelling(["Layers"], ("layers",), "x")
    for other in ("Layers", "LAYERS", "layerſ"):
        with pytest.raises(InvalidContent, match=f"x: '{other}' is not how this field is written"):
            one_spelling({"layers": 1, other: 2}, ("layers", "size"), "x")


def test_what_cannot_be_written() -> None:
    with pytest.raises(InvalidContent, match="cannot be written"):
        content.written({"a": "\ud800"})


@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=4))
@settings(deadline=None)
def test_written_and_read(document: dict[str, object]) -> None:
    raw = json.dumps(document).encode()
    try:
        found = load(raw, "x", 1 << 16)
    except InvalidContent:
        return
    assert load(content.written(found), "x", 1 << 16) == found == document
