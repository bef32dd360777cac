"""Values as a template shows them: printed as Go prints them, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import ClassVar

__all__ = ["MISSING", "Fields", "NilList", "NilMap", "Row", "quoted", "shown", "to_json", "type_name"]


class Missing:
    """What a map has for a key that is not in it."""

    def __bool__(self) -> bool:
        return False


MISSING = Missing()


class NilList(list[object]):
    """A list that is not there: empty, and null as JSON."""


class NilMap(dict[str, object]):
    """A map that is not there: empty, and null as JSON."""


class Fields(dict[str, object]):
    """An object with fields of fixed names, unlike a map: another name is a mistake.

    `absent` is what fields come to that are left out where they say nothing; `methods` are fields which take words."""

    absent: ClassVar[Mapping[str, object]] = {}
    methods: Mapping[str, Callable[[str], object]] = {}  # replaced, never changed

    def unknown(self, name: str) -> str:
        """What is wrong with the field `name`; empty where it is simply not there."""
        return f'map has no entry for key "{name}"'


class Row(Fields):
    """One row of a table."""

    def unknown(self, name: str) -> str:
        return f"can't evaluate field {name} in type {type(self).__name__}"


def type_name(value: object) -> str:
    """What Go would call it."""
    if value is None or value is MISSING:
        return "<nil>"
    names: dict[type, str] = {str: "string", bool: "bool", int: "int", float: "float64", list: "[]string"}
    return next((name for kind, name in names.items() if isinstance(value, kind)), "interface {}")


def shown(value: object) -> str:
    """As `%v` prints it."""
    if value is MISSING:
        return "<no value>"
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return go_float(value)
    if isinstance(value, Fields):
        return "{" + " ".join(shown(each) for each in value.values()) + "}"
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{key}:{shown(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list | tuple):
        return "[" + " ".join(shown(each) for each in value) + "]"
    return str(value)


def go_float(value: float) -> str:
    """The shortest that reads back, with an exponent only for the very large and small."""
    if abs(value) < 1e21 and value == int(value):
        return str(int(value))
    return repr(value)


def to_json(value: object) -> str:
    """One line: the fields of an object in their order, the keys of a map sorted."""
    text = json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"))
    if isinstance(value, Row):  # as Docker, which writes these for web pages too
        for sign in "<>&":
            text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _plain(value: object) -> object:
    if isinstance(value, NilList | NilMap | Missing):
        return None
    if isinstance(value, Row):
        return {key: _plain(value[key]) for key in sorted(value)}
    if isinstance(value, Fields):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, Mapping):
        return {str(key): _plain(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


_SHORT = {"\a": "a", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t", "\v": "v", '"': '"', "\\": "\\"}


def quoted(text: str) -> str:
    """In double quotes, what cannot be printed as an escape."""
    return '"' + "".join(_letter(letter) for letter in text) + '"'


def _letter(letter: str) -> str:
    if letter in _SHORT:
        return "\\" + _SHORT[letter]
    if letter.isprintable():
        return letter
    number = ord(letter)
    return f"\\x{number:02x}" if number < 0x80 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
