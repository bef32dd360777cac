"""Python values in a magic's line and, when asked for, in its cell.

IPython's own expansion is all or nothing and silent: one unknown name leaves the whole line as it was. So it is off
(`@no_var_expand`) and done here: `{name}`, `{name.attribute}`, `{name[key]}`, with `!r` and `:format` as in f-strings.
What is no such reference stays: `${HOME}`, `{}`, `{a,b}`, `{"key": 1}`. Doubled braces stand for themselves.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from typing import Any

from IPython.core.error import UsageError

_FIELD = r"[^\W\d]\w*(?:\.[^\W\d]\w*|\[[^\[\]{}]+\])*(?:![rsa])?(?::[^{}]*)?"
_IN_LINE = re.compile(rf"\{{\{{({_FIELD})\}}\}}|(?<!\$)\{{({_FIELD})\}}")
_IN_CELL = re.compile(rf"\{{\{{\s*({_FIELD})\s*\}}\}}")


def expand_words(words: Sequence[str], variables: Mapping[str, Any]) -> list[str]:
    """The words of a line with their references replaced; a value stays within its word, blanks and all.

    Raises NameError for a name that `variables` does not have."""

    def value(found: re.Match[str]) -> str:
        return f"{{{found[1]}}}" if found[1] else _value(found[2], variables)

    return [_IN_LINE.sub(value, word) for word in words]


def expand_cell(cell: str, variables: Mapping[str, Any]) -> str:
    """The cell with each `{{name}}` replaced. Raises NameError."""
    return _IN_CELL.sub(lambda found: _value(found[1], variables), cell)


def lookup(name: str, variables: Mapping[str, Any]) -> Any:
    """The value of a variable. Raises NameError."""
    if name not in variables:
        raise NameError(f"name {name!r} is not defined")
    return variables[name]


def _value(field: str, variables: Mapping[str, Any]) -> str:
    lookup(re.split(r"[.\[!:]", field, maxsplit=1)[0], variables)
    try:
        return string.Formatter().vformat(f"{{{field}}}", (), variables)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise UsageError(f"{{{field}}}: {type(error).__name__}: {error}") from error
