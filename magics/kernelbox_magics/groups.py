"""`%container volume VERB` and `%container image VERB`: the verbs of `kernelbox volume` and `kernelbox image`; a list
is a DataFrame, and `inspect` the parsed JSON."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from typing import Any

from IPython.core.error import UsageError

from kernelbox.cli.launching import command_help
from kernelbox.cli.verb_names import GROUPS
from kernelbox.cli.verbs import Given, Verb, read, verb_of

from .failures import as_magic

__all__ = ["NOT_HERE", "answer", "run_group"]

Call = Callable[[Verb, Sequence[str]], None]

NOT_HERE = {
    "save": "an archive is not shown in a notebook (hint: %container save -o FILE IMAGE)",
    "load": "a notebook has no standard input for archives (hint: %container load -i FILE)",
}


def run_group(engine: Any, group: str, words: Sequence[str], call: Call) -> Any:
    """The value of the cell; `call` does what prints. Raises KernelBoxError, UsageError."""
    names = GROUPS[group]
    if words[:1] in ([], ["--help"], ["-h"]):
        print("\n".join(f"%container {group} {name:<10}{text}" for name, text in names.items()))
        return None
    verb = verb_of(group, words[0])
    if verb is None:
        near = difflib.get_close_matches(words[0], names, n=2)
        hint = f"did you mean {' or '.join(near)}?" if near else f"%container {group} lists them"
        raise UsageError(f"unknown: %container {group} {words[0]} (hint: {hint})")
    given = read(verb, words[1:])
    if given is None:
        print(_help(verb, names[verb.name]))
        return None
    return answer(engine, group, verb, given, words[1:], call)


def answer(engine: Any, group: str, verb: Verb, given: Given, words: Sequence[str], call: Call) -> Any:
    """What a verb comes to whose words have been read. Raises as `run_group`."""
    what = verb.does.partition(":")[2]
    if what in ("ls", "history") and not (given.text("format") or given.flag("quiet")):
        from .frames import GROUP_FRAMES

        return GROUP_FRAMES[group, what](engine, given)
    if what == "inspect" and not given.text("format"):
        collection = engine.volumes if group == "volume" else engine.images
        found = [collection.get(name).attrs for name in given.words]
        return found if len(found) > 1 else found[0]
    if what == "prune" and not given.flag("force"):
        raise UsageError(f"prune removes {group}s, and asks first (hint: %container {group} prune -f does not)")
    if verb.name in NOT_HERE and not (given.text("output") or given.text("input")):
        raise UsageError(NOT_HERE[verb.name])
    return call(verb, words)


def _help(verb: Verb, summary: str) -> str:
    lines = command_help(verb, summary).split("\n")
    return as_magic("\n".join(line for line in lines if not re.search(r"kernelbox (run |.*(\$\(| \| ))", line)))
