"""Bytes of a program as text: whole characters, colours kept, what only terminals understand taken out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernelbox_magics.terminal import LONGEST_STRING, TerminalText


def plain(data: bytes) -> str:
    """All of a stream at once."""
    return TerminalText().feed(data, final=True)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain\ttext\n", "plain\ttext\n"),
        (b"50%\r100%\n", "50%\r100%\n"),
        (b"\x1b[1;31mred\x1b[0m", "\x1b[1;31mred\x1b[0m"),
        (b"a\x1b[Kb", "a\x1b[Kb"),
        (b"\x1b]0;a title\x07shown", "shown"),
        (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        (b"\x1bP1$r0m\x1b\\shown", "shown"),
        (b"ding\x07\x00", "ding"),
        (b"\x1b(Bascii\x1b=\x1b7", "ascii"),
        (b"\x1b]0;without an end\nshown\n", "0;without an end\nshown\n"),
        ("ü€😀".encode(), "ü€😀"),
        (b"\xff\xfe", "\N{REPLACEMENT CHARACTER}" * 2),
        ("\x9b31m".encode(), "31m"),
    ],
)
def test_what_is_kept(data: bytes, text: str) -> None:
    assert plain(data) == text


def test_a_character_in_two_pieces() -> None:
    stream = TerminalText()
    assert [stream.feed(b"\xe2"), stream.feed(b"\x82\xac done\n")] == ["", "€ done\n"]


def test_a_sequence_in_two_pieces() -> None:
    stream = TerminalText()
    assert [stream.feed(piece) for piece in (b"a\x1b", b"[3", b"1mb", b"\x1b]0;ti", b"tle\x1b", b"\\c")] == [
        "a", "", "\x1b[31mb", "", "", "c",
    ]  # fmt: skip


def test_what_is_unfinished_at_the_end_is_shown_as_replacement() -> None:
    stream = TerminalText()
    assert stream.feed(b"\xe2\x82") == ""
    assert stream.feed(b"", final=True) == "\N{REPLACEMENT CHARACTER}"


def test_a_string_without_an_end_does_not_swallow_the_stream() -> None:
    stream = TerminalText()
    shown = stream.feed(b"\x1b]0;" + b"x" * LONGEST_STRING) + stream.feed(b"x" * 10) + stream.feed(b"", final=True)
    assert shown.count("x") == LONGEST_STRING + 10


@given(st.lists(st.binary(max_size=12) | st.sampled_from([b"\x1b", b"[", b"]", b"\x07", b"\\", b"\xe2\x82\xac"])))
def test_pieces_are_as_the_whole(pieces: list[bytes]) -> None:
    stream = TerminalText()
    shown = "".join([*map(stream.feed, pieces), stream.feed(b"", final=True)])
    assert shown == plain(b"".join(pieces))
    assert "\x07" not in shown
