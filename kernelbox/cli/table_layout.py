"""Columns of text, laid out as Docker's command line lays them out."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

__all__ = ["aligned", "ellipsis", "text_width"]

NARROWEST = 10
"""Characters of a column that is followed by another, its gap included."""
GAP = 3


def text_width(text: str) -> int:
    """How many columns of a terminal it takes."""
    return len(text) if text.isascii() else sum(map(_letter_width, text))


def _letter_width(letter: str) -> int:
    if unicodedata.category(letter) in ("Mn", "Me", "Cf", "Cc"):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def ellipsis(text: str, width: int) -> str:
    """Cut to `width` columns, the last of which then says so: "nginx -g 'daemon of…"."""
    if text_width(text) <= width:
        return text
    kept, room = "", width - 1
    for letter in text:
        room -= _letter_width(letter)
        if room < 0:
            break
        kept += letter
    return f"{kept}…"


def aligned(text: str, narrowest: int = NARROWEST) -> str:
    """The lines, with the tabs of each replaced by as many blanks as make columns of the cells that end with one, of
    `narrowest` characters at least.

    A column reaches over lines that follow each other; a line without that cell ends it."""
    lines = [line.split("\t") for line in text.split("\n")]
    widths: list[list[int]] = [[0] * (len(cells) - 1) for cells in lines]
    for column in range(max(map(len, widths))):
        start = 0
        while start < len(lines):
            end = start
            while end < len(lines) and column < len(widths[end]):
                end += 1
            wide = max((text_width(lines[row][column]) + GAP for row in range(start, end)), default=0)
            for row in range(start, end):
                widths[row][column] = max(wide, narrowest)
            start = max(end, start + 1)
    return "\n".join(_line(cells, each) for cells, each in zip(lines, widths, strict=True))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell + " " * (width - text_width(cell)) for cell, width in zip(cells, widths, strict=False))
    return "".join([*padded, cells[-1]])
