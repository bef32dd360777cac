"""The functions of `--format` templates: those of Go's text/template that print and compare, and Docker's own."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kernelbox.cli.template_values import MISSING, quoted, shown, to_json, type_name
from kernelbox.errors import InvalidOption
from kernelbox.oci.value import frozen

__all__ = ["FUNCTIONS", "HEADER_FUNCTIONS", "Function"]

ANY = object

_VERB = re.compile(r"%(?P<flags>[-+# 0]*)(?P<width>\d*)(?:\.(?P<precision>\d*))?(?P<verb>.)", re.DOTALL)
_WORD = re.compile(r"\b\w")


@frozen
class Function:
    """What it calls and the types of what it takes; with `more`, any number of the last one."""

    call: Callable[..., object]
    takes: tuple[type, ...]
    more: bool = False

    def wrong_count(self, name: str, given: int) -> str:
        """What is wrong with `given` arguments; empty if nothing is."""
        if self.more and given < len(self.takes) - 1:
            return f"wrong number of args for {name}: want at least {len(self.takes) - 1} got {given}"
        if not self.more and given != len(self.takes):
            return f"wrong number of args for {name}: want {len(self.takes)} got {given}"
        return ""

    def takes_at(self, index: int) -> type:
        return self.takes[min(index, len(self.takes) - 1)]


def _length(value: object) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, Mapping | list | tuple):
        return len(value)
    raise InvalidOption(f"len of type {type_name(value)}")


def _index(value: Any, *keys: object) -> object:
    for key in keys:
        if isinstance(value, Mapping):
            if not isinstance(key, str):
                raise InvalidOption(f"value has type {type_name(key)}; should be string")
            # a map of texts has an empty one for any other key
            texts = all(isinstance(each, str) for each in value.values())
            value = value.get(key, "" if texts else MISSING)
        elif isinstance(value, list | tuple | str):
            value = _item(value, key)
        else:
            raise InvalidOption(f"can't index item of type {type_name(value)}")
    return value


def _item(value: Sequence[object], key: object) -> object:
    if isinstance(key, bool) or not isinstance(key, int):
        raise InvalidOption(f"cannot index slice/array with type {type_name(key)}")
    if not 0 <= key < len(value):
        raise InvalidOption(f"index out of range: {key}")
    return ord(value[key]) if isinstance(value, str) else value[key]


def _slice(value: object, *ends: object) -> object:
    if not isinstance(value, str | list | tuple):
        raise InvalidOption(f"can't slice item of type {type_name(value)}")
    given = [end for end in ends if isinstance(end, int)]
    if len(given) < len(ends) or len(ends) > 2:
        raise InvalidOption("cannot slice with other than one or two numbers")
    low = given[0] if given else 0
    high = given[1] if len(given) > 1 else len(value)
    if not 0 <= low <= high <= len(value):
        raise InvalidOption(f"index out of range: {low if low > len(value) else high}")
    return value[low:high]


def _equal(first: object, *others: object) -> bool:
    if not others:
        raise InvalidOption("missing argument for comparison")
    return any(_compared(operator.eq, first, other) for other in others)


def _compare(by: Callable[[Any, Any], bool]) -> Function:
    return Function(lambda first, second: _compared(by, first, second), (ANY, ANY))


def _compared(by: Callable[[Any, Any], bool], first: object, second: object) -> bool:
    nothing = [value is None or value is MISSING for value in (first, second)]
    if any(nothing) and by in (operator.eq, operator.ne):
        return by(nothing[0], nothing[1])
    if by not in (operator.eq, operator.ne) and isinstance(first, bool) and isinstance(second, bool):
        raise InvalidOption("invalid type for comparison")
    if _comparable(first) is None or _comparable(first) != _comparable(second):
        raise InvalidOption("incompatible types for comparison")
    return by(first, second)


def _comparable(value: object) -> type | None:
    return next((kind for kind in (bool, str, int, float) if isinstance(value, kind)), None)


def _print(*values: object) -> str:
    """With a blank between two of which neither is text."""
    text = ""
    for index, value in enumerate(values):
        if index and not isinstance(value, str) and not isinstance(values[index - 1], str):
            text += " "
        text += shown(value)
    return text


def _print_line(*values: object) -> str:
    return " ".join(shown(value) for value in values) + "\n"


def _print_formatted(pattern: str, *values: object) -> str:
    left = list(values)

    def replaced(found: re.Match[str]) -> str:
        if found["verb"] == "%":
            return "%"
        if not left:
            return f"%!{found['verb']}(MISSING)"
        return _formatted(found, left.pop(0))

    text = _VERB.sub(replaced, pattern)
    if left:
        text += "%!(EXTRA " + ", ".join(_named(value) for value in left) + ")"
    return text


def _named(value: object) -> str:
    return f"{type_name(value)}={shown(value)}"


def _formatted(found: re.Match[str], value: object) -> str:
    flags, width = found["flags"], min(int(found["width"] or 0), 10_000)
    precision = None if found["precision"] is None else min(int(found["precision"] or 0), 1000)
    text = _verb(found["verb"], value, precision)
    if text is None:
        return f"%!{found['verb']}({_named(value)})"
    if "+" in flags and isinstance(value, int | float) and not text.startswith("-"):
        text = f"+{text}"
    if "-" in flags:
        return text.ljust(width)
    return text.zfill(width) if "0" in flags and not isinstance(value, str) else text.rjust(width)


def _verb(verb: str, value: object, precision: int | None) -> str | None:
    """The value without its padding; None where the verb is not for it."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if verb == "v":
        return shown(value)
    if verb == "t" and isinstance(value, bool):
        return shown(value)
    if verb == "q" and isinstance(value, list | tuple):
        return "[" + " ".join(_verb("q", each, precision) or shown(each) for each in value) + "]"
    if verb == "s" and isinstance(value, str | list | tuple | Mapping):
        return shown(value)[:precision]
    if verb == "q" and isinstance(value, str):
        return quoted(value[:precision])
    if verb in "dxXobc" and whole:
        return format(value, verb)
    if verb in "xX" and isinstance(value, str):
        text = value.encode().hex()
        return text.upper() if verb == "X" else text
    if verb in "feEgG" and isinstance(value, float):
        return (
            shown(value)
            if verb == "g" and precision is None
            else f"{value:.{6 if precision is None else precision}{verb}}"
        )
    return None


def _pad(text: str, before: int, after: int) -> str:
    return " " * min(before, 10_000) + text + " " * min(after, 10_000) if text else text


def _join(values: Sequence[object], separator: str) -> str:
    return separator.join(shown(value) for value in values)


def _split(text: str, separator: str) -> list[str]:
    return text.split(separator) if separator else list(text)


FUNCTIONS: Mapping[str, Function] = {
    "and": Function(lambda *values: values[-1], (ANY, ANY), True),  # these two stop early: see `template_run`
    "or": Function(lambda *values: values[-1], (ANY, ANY), True),
    "not": Function(lambda value: not value, (ANY,)),
    "len": Function(_length, (ANY,)),
    "index": Function(_index, (ANY, ANY), True),
    "slice": Function(_slice, (ANY, ANY), True),
    "print": Function(_print, (ANY,), True),
    "println": Function(_print_line, (ANY,), True),
    "printf": Function(_print_formatted, (str, ANY), True),
    "eq": Function(_equal, (ANY, ANY), True),
    "ne": _compare(operator.ne),
    "lt": _compare(operator.lt),
    "le": _compare(operator.le),
    "gt": _compare(operator.gt),
    "ge": _compare(operator.ge),
    "json": Function(to_json, (ANY,)),
    "join": Function(_join, (list, str)),
    "split": Function(_split, (str, str)),
    "lower": Function(str.lower, (str,)),
    "upper": Function(str.upper, (str,)),
    "title": Function(lambda text: _WORD.sub(lambda found: found[0].upper(), text), (str,)),
    "pad": Function(_pad, (str, int, int)),
    "truncate": Function(lambda text, length: text[: max(length, 0)], (str, int)),
}

HEADER_FUNCTIONS: Mapping[str, Function] = {
    **FUNCTIONS,
    **{name: Function(lambda text: text, (str,)) for name in ("json", "lower", "upper", "title")},
    **{name: Function(lambda text, _: text, (str, ANY)) for name in ("join", "split", "truncate")},
}
"""The same for the headers of a table, which stay as they are."""
