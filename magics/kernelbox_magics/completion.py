"""Completion after `%%container` and `%container`: options, images, containers, variables, verbs.

IPython would offer Python's builtins there. A matcher of its API version 2 suppresses all others where it knows better,
and stays out of the way elsewhere: in the cell's body and in what belongs to the command.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from IPython.core.completer import CompletionContext, SimpleCompletion, context_matcher

from kernelbox.cli.create import CREATE_OPTIONS, CREATE_TAKES
from kernelbox.cli.verb_names import GROUPS
from kernelbox.cli.verb_table import VERBS
from kernelbox.cli.verbs import HELP, Verb, verb_of
from kernelbox.engine.option_table import Option
from kernelbox.engine.options import BY_NAME

from .arguments import CellArgumentParser, parser
from .exec_cell import exec_parser
from .verbs import verb_named

_LINE = re.compile(r"\s*(%%?)container\s+(.*)\Z", re.DOTALL)
_OF_VARIABLES = frozenset({"input", "output", "out", "err", "result", "metrics"})

Names = Callable[[], Iterable[str]]


@dataclass(frozen=True)
class Known:
    """Names that can be offered; each is asked anew each time."""

    images: Names
    variables: Names
    containers: Names
    volumes: Names = tuple


def make_matcher(known: Known, verbs: Sequence[str]) -> Callable[[CompletionContext], Any]:
    """The matcher for IPCompleter.custom_matchers."""

    @context_matcher()  # type: ignore[untyped-decorator]
    def kernelbox_matcher(context: CompletionContext) -> dict[str, Any]:
        found = _LINE.match(context.text_until_cursor) if context.cursor_line == 0 else None
        if found is None:
            return _nothing()
        *before, fragment = re.split(r"\s+", found[2])
        if found[1] == "%%":
            return _complete_cell(before, fragment, known)
        if not before:
            return _answer(verbs, fragment, "function")
        return _complete_line(before[0], before[1:], fragment, known)

    return kernelbox_matcher  # type: ignore[no-any-return]


def _complete_cell(before: Sequence[str], fragment: str, known: Known) -> dict[str, Any]:
    if before[:1] == ["exec"]:
        return _complete(exec_parser(), before[1:], fragment, known.containers, known)
    first = () if before else ("exec",)
    return _complete(parser(), before, fragment, lambda: [*first, *known.images()], known)


def _complete_line(word: str, before: Sequence[str], fragment: str, known: Known) -> dict[str, Any]:
    if word == "run":
        return _complete(parser(), before, fragment, known.images, known)
    if word == "exec":
        return _complete(exec_parser(), before, fragment, known.containers, known)
    if word in ("explain", "attach"):
        return _answer(known.containers(), fragment, "instance")
    if word == "create":
        return _complete_options((*CREATE_OPTIONS, *CREATE_TAKES), before, fragment, known.images, command=True)
    if word in GROUPS:
        return _complete_group(word, before, fragment, known)
    verb = VERBS.get(verb_named(word) or "")
    if verb is None:
        return _nothing()
    names = _names_of(verb, known)
    if verb.name == "cp":
        return _complete_options(verb.options, before, fragment, lambda: [f"{name}:" for name in known.containers()])
    return _complete_options((*verb.options, HELP), before, fragment, names, command=verb.command)


def _complete_group(group: str, before: Sequence[str], fragment: str, known: Known) -> dict[str, Any]:
    if not before:
        return _answer(GROUPS[group], fragment, "function")
    verb = verb_of(group, before[0])
    if verb is None:
        return _nothing()
    return _complete_options((*verb.options, HELP), before[1:], fragment, _names_of(verb, known))


def _names_of(verb: Verb, known: Known) -> Names:
    """What the words of a verb may name."""
    kinds = {"CONTAINER": known.containers, "VOLUME [": known.volumes, "IMAGE": known.images, "NAME[": known.images}
    return next((names for word, names in kinds.items() if verb.takes.lstrip("[").startswith(word)), tuple)


def _complete_options(
    options: Sequence[Option], before: Sequence[str], fragment: str, positional: Names, *, command: bool = False
) -> dict[str, Any]:
    """From a table of options. `command`: what follows the first other word is not for us."""
    flags = {flag: option for option in options for flag in option.flags}
    awaited, others = _read(before, lambda word: word in flags and flags[word].kind != "flag", command=command)
    if awaited:
        return _answer(flags[awaited].choices, fragment, "param")
    if command and others:
        return _nothing()
    if fragment.startswith("-"):
        return _answer(_as_long(flags, fragment), fragment, "param")
    return _answer(positional(), fragment, "instance")


def _complete(
    made: CellArgumentParser, before: Sequence[str], fragment: str, positional: Names, known: Known
) -> dict[str, Any]:
    awaited, others = _read(before, made.takes_value, command=True)
    if awaited:
        return _values(made.destination(awaited), fragment, known)
    if others:
        return _nothing()  # the image is named: the rest is the command's
    if fragment.startswith("-"):
        return _answer(_as_long(made.flags(), fragment), fragment, "param")
    return _answer(positional(), fragment, "module")


def _read(before: Sequence[str], takes_value: Callable[[str], bool], *, command: bool) -> tuple[str, int]:
    """The option whose value comes next, if one does, and how many words there are beside options."""
    words, others = list(before), 0
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            others += 1
            if command:
                break
        elif "=" not in word and takes_value(word):
            if not words:
                return word, others
            words.pop(0)
    return "", others


def _as_long(flags: Iterable[str], fragment: str) -> list[str]:
    return [flag for flag in flags if flag.startswith("--") or len(fragment) < 2]


def _values(option: str, fragment: str, known: Known) -> dict[str, Any]:
    if option in _OF_VARIABLES:
        return _answer((name for name in known.variables() if not name.startswith("_")), fragment, "instance")
    if option in BY_NAME and BY_NAME[option].choices:
        return _answer(BY_NAME[option].choices, fragment, "param")
    return _nothing()


def _nothing() -> dict[str, Any]:
    """A new one each time: IPython writes into it."""
    return {"completions": [], "suppress": False}


def _answer(words: Iterable[str], fragment: str, kind: str) -> dict[str, Any]:
    matches = sorted({word for word in words if word.startswith(fragment)})
    if not matches:
        return _nothing()
    return {
        "completions": [SimpleCompletion(text=word, type=kind) for word in matches],
        "matched_fragment": fragment,
        "ordered": True,
        "suppress": True,
    }
