"""Completion after `%%container` and `%container`: options, images, variables, verbs.

IPython would offer Python's builtins there. A matcher of its API version 2 suppresses all others where it knows better,
and stays out of the way elsewhere: in the cell's body and in what belongs to the command.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from IPython.core.completer import CompletionContext, SimpleCompletion, context_matcher

from kernelbox.engine.options import BY_NAME

from .arguments import parser

_LINE = re.compile(r"\s*(%%?)container\s+(.*)\Z", re.DOTALL)
_OF_VARIABLES = frozenset({"input", "output", "out", "err", "result", "metrics"})

Names = Callable[[], Iterable[str]]


def make_matcher(images: Names, variables: Names, verbs: Sequence[str]) -> Callable[[CompletionContext], Any]:
    """The matcher for IPCompleter.custom_matchers; `images` and `variables` are asked anew each time."""

    @context_matcher()  # type: ignore[untyped-decorator]
    def kernelbox_matcher(context: CompletionContext) -> dict[str, Any]:
        found = _LINE.match(context.text_until_cursor) if context.cursor_line == 0 else None
        if found is None:
            return {"completions": [], "suppress": False}
        *before, fragment = re.split(r"\s+", found[2])
        if found[1] == "%":
            if not before:
                return _answer(verbs, fragment, "function")
            if before.pop(0) != "run":
                return {"completions": [], "suppress": False}
        return _complete(before, fragment, images, variables)

    return kernelbox_matcher  # type: ignore[no-any-return]


def _complete(before: Sequence[str], fragment: str, images: Names, variables: Names) -> dict[str, Any]:
    words = list(before)
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            return {"completions": [], "suppress": False}  # the image is named: the rest is the command's
        if "=" not in word and parser().takes_value(word):
            if not words:
                return _values(parser().destination(word), fragment, variables)
            words.pop(0)
    if fragment.startswith("-"):
        flags = [flag for flag in parser().flags() if flag.startswith("--") or len(fragment) < 2]
        return _answer(flags, fragment, "param")
    return _answer(images(), fragment, "module")


def _values(option: str, fragment: str, variables: Names) -> dict[str, Any]:
    if option in _OF_VARIABLES:
        return _answer((name for name in variables() if not name.startswith("_")), fragment, "instance")
    if option in BY_NAME and BY_NAME[option].choices:
        return _answer(BY_NAME[option].choices, fragment, "param")
    return {"completions": [], "suppress": False}


def _answer(words: Iterable[str], fragment: str, kind: str) -> dict[str, Any]:
    matches = sorted({word for word in words if word.startswith(fragment)})
    return {
        "completions": [SimpleCompletion(text=word, type=kind) for word in matches],
        "matched_fragment": fragment,
        "ordered": True,
        "suppress": True,
    }
