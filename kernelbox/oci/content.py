"""JSON that came from elsewhere: read strictly, so that no two readers could take it for two things, and bounded.

`codec` reads what users write and raises InvalidOption; a stranger's document raises InvalidContent, with the same
sentences. Stricter than `codec.load` besides: UTF-8 only, no half characters, no number that would not fit 64 bits, no
nesting beyond what any document of the field has.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from kernelbox.errors import InvalidContent, InvalidOption
from kernelbox.oci import codec

__all__ = ["MAX_COMMAS", "MAX_DEPTH", "decode", "load", "load_list", "one_spelling", "written"]

MAX_DEPTH = 32
"""Objects and lists in one another; a manifest has five."""

MAX_COMMAS = 250_000
"""Reading takes time by the value rather than by the byte: this keeps it to a fraction of a second."""

_MAX_NUMBER = (1 << 64) - 1
_MAX_SENTENCE = 300

T = TypeVar("T")


def load(raw: bytes, what: str, most: int) -> dict[str, object]:
    """The JSON object in `raw`; `what` names it in errors, `most` is how many bytes it may have. Raises
    InvalidContent."""
    document = _load(raw, what, most)
    if not isinstance(document, dict):
        raise InvalidContent(f"{what}: expected an object, got {codec.describe(document)}")
    return document


def load_list(raw: bytes, what: str, most: int) -> list[object]:
    """As `load`, of a document that is a list."""
    document = _load(raw, what, most)
    if not isinstance(document, list):
        raise InvalidContent(f"{what}: expected a list, got {codec.describe(document)}")
    return document


def _load(raw: bytes, what: str, most: int) -> object:
    if len(raw) > most:
        raise InvalidContent(f"{what}: {len(raw)} bytes, and {most} is the most that is read")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise InvalidContent(f"{what}: not UTF-8: {error.reason} at byte {error.start}") from None
    if text.count(",") > MAX_COMMAS:
        raise InvalidContent(f"{what}: more than {MAX_COMMAS} values in one document")
    try:
        document = codec.load_any(text, what)
    except InvalidOption as error:
        raise InvalidContent(_readable(error.message), hint=error.hint) from None
    _check(document, what)
    return document


def _check(document: object, what: str) -> None:
    """Level by level, not by recursion: how deep this goes is the stranger's choice."""
    level: list[Any] = [[document]]
    for _ in range(MAX_DEPTH + 1):
        below: list[Any] = []
        for item in level:
            for value in _values(item):
                if isinstance(value, dict | list):
                    below.append(value)
                elif fault := _fault(value):
                    raise InvalidContent(f"{what}: {fault}")
        level = below
        if not level:
            return
    raise InvalidContent(f"{what}: more than {MAX_DEPTH} objects and lists in one another")


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
        raise InvalidContent(_readable(f"{what}: {error.message}"), hint=error.hint) from None


def _readable(sentence: str) -> str:
    """A path in it may have keys of the stranger's, as long and as odd as these like."""
    if not sentence.isprintable():
        sentence = "".join(each if each.isprintable() else repr(each)[1:-1] for each in sentence[:_MAX_SENTENCE])
    return sentence if len(sentence) <= _MAX_SENTENCE else sentence[: _MAX_SENTENCE - 3] + "..."


def one_spelling(document: object, fields: Iterable[str], what: str) -> None:
    """Raises InvalidContent for "Layers" beside, or in place of, the field "layers": some readers take one for the
    other, and would see another document under the same digest."""
    if isinstance(document, dict) and (others := document.keys() - (known := set(fields))):
        folded = {each.casefold() for each in known}
        for key in others:
            if key.casefold() in folded:
                raise InvalidContent(f"{what}: {codec.describe(key)} is not how this field is written")


def written(document: Mapping[str, object] | Sequence[object]) -> bytes:
    """The bytes of a document of ours: as short as JSON gets, keys in the order in which they are given, so that equal
    documents have equal digests. Raises InvalidContent for text that is none."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidContent("half a character (a lone surrogate) cannot be written") from None
