"""`%container volume VERB`: the verbs of `kernelbox volume`; a list is a DataFrame, and `inspect` the parsed JSON."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from typing import Any

from IPython.core.error import UsageError

from kernelbox.cli.launching import command_help
from kernelbox.cli.verb_names import VOLUMES
from kernelbox.cli.verbs import Given, Verb, read
from kernelbox.cli.volume_table import VOLUME_ALIASES, volume_verb

from .failures import as_magic

__all__ = ["run_volume"]

Call = Callable[[Verb, Sequence[str]], None]


def run_volume(engine: Any, words: Sequence[str], call: Call) -> Any:
    """The value of the cell; `call` does what prints. Raises KernelBoxError, UsageError."""
    if words[:1] in ([], ["--help"], ["-h"]):
        print("\n".join(f"%container volume {name:<10}{text}" for name, text in VOLUMES.items()))
        return None
    verb = volume_verb(words[0])
    if verb is None:
        near = difflib.get_close_matches(words[0], [*VOLUMES, *VOLUME_ALIASES], n=2)
        hint = f"did you mean {' or '.join(near)}?" if near else "%container volume lists them"
        raise UsageError(f"unknown: %container volume {words[0]} (hint: {hint})")
    given = read(verb, words[1:])
    if given is None:
        print(_help(verb))
        return None
    return _answer(engine, verb, given, words[1:], call)


def _answer(engine: Any, verb: Verb, given: Given, words: Sequence[str], call: Call) -> Any:
    if verb.name == "ls" and not (given.text("format") or given.flag("quiet")):
        from .frames import volumes_frame

        return volumes_frame(engine, given)
    if verb.name == "inspect" and not given.text("format"):
        found = [engine.volumes.get(name).attrs for name in given.words]
        return found if len(found) > 1 else found[0]
    if verb.name == "prune" and not given.flag("force"):
        raise UsageError("prune removes volumes, and asks first (hint: %container volume prune -f does not)")
    return call(verb, words)


def _help(verb: Verb) -> str:
    lines = command_help(verb, VOLUMES[verb.name]).split("\n")
    return as_magic("\n".join(line for line in lines if not re.search(r"kernelbox run ", line)))
