"""JSON that came from elsewhere: read strictly, so that no two readers could take it for two things, and bounded.

`codec` reads what users write and raises InvalidOption; a stranger's document raises InvalidContent, with the same
sentences. Stricter than `codec.load` besides: UTF-8 only, no half characters, no number that would not fit 64 bits, no
nesting beyond what any document of the field has.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from kernelbox.errors import InvalidContent, InvalidOption
from kernelbox.oci import codec

__all__ = ["MAX_DEPTH", "decode", "load", "written"]

MAX_DEPTH = 32
"""Objects and lists in one another; a manifest has five."""

_MAX_NUMBER = (1 << 64) - 1

T = TypeVar("T")


def load(raw: bytes, what: str, most: int) -> dict[str, object]:
    """The JSON object in `raw`; `what` names it in errors, `most` is how many bytes it may have. Raises
    InvalidContent."""
    if len(raw) > most:
        raise InvalidContent(f"{what}: {len(raw)} bytes, and {most} is the most that is read")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise InvalidContent(f"{what}: not UTF-8: {error.reason} at byte {error.start}") from None
    try:
        document = codec.load(text, what)
    except InvalidOption as error:
        raise InvalidContent(error.message, hint=error.hint) from None
    _check(document, what)
    return document


def _check(document: dict[str, object], what: str) -> None:
    """Level by level, not by recursion: how deep this goes is the stranger's choice."""
    level: list[Any] = [document]
    depth = 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise InvalidContent(f"{what}: more than {MAX_DEPTH} objects and lists in one another")
        below: list[Any] = []
        for item in level:
            for value in _values(item):
                if isinstance(value, dict | list):
                    below.append(value)
                elif fault := _fault(value):
                    raise InvalidContent(f"{what}: {fault}")
        level = below


def _values(item: Any) -> Iterable[object]:
    return [*item, *item.values()] if isinstance(item, dict) else item


def _fault(value: object) -> str | None:
    if isinstance(value, str):
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            return "contains half a character (a lone surrogate)"
    elif isinstance(value, int | float) and not abs(value) <= _MAX_NUMBER:
        return f"{codec.describe(value)} does not fit 64 bits"
    return None


def decode(kind: type[T], value: object, what: str, path: str = "") -> T:
    """As `codec.decode`, of what a stranger wrote: raises InvalidContent, which names `what` and the path."""
    try:
        return codec.decode(kind, value, path)
    except InvalidOption as error:
        raise InvalidContent(f"{what}: {error.message}", hint=error.hint) from None


def written(document: Mapping[str, object]) -> bytes:
    """The bytes of a document of ours: as short as JSON gets, keys in the order in which they are given, so that equal
    documents have equal digests. Raises InvalidContent for text that is none."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidContent("half a character (a lone surrogate) cannot be written") from None
