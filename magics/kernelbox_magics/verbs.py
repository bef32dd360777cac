"""`%container VERB`: the verbs of the command line, in this process and with the notebook's engine.

What prints a table there is a DataFrame here, and `inspect` is the parsed JSON; what only a terminal can do is refused
with what to do instead. All else is the command line's own code.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from kernelbox.cli import create, image_table, logs
from kernelbox.cli.caller import Caller, calling
from kernelbox.cli.inspect import KINDS, document
from kernelbox.cli.verb_names import ALIASES, FILES, GROUPS, LIFE, LOOKING, PRUNE, SHORT_IMAGES
from kernelbox.cli.verb_table import VERBS
from kernelbox.cli.verbs import Given, Verb, call, read
from kernelbox.engine import kept_run
from kernelbox.errors import InvalidOption

from .arguments import split
from .expansion import expand_words
from .failures import as_magic, failure, sentences
from .groups import answer, run_group
from .origin import Origin
from .output import CellOutput, Flood

__all__ = ["SUMMARIES", "VerbMagics", "verb_named"]

SUMMARIES: Mapping[str, str] = {
    "create": "make a container, to be started later",
    **LIFE,
    **LOOKING,
    **FILES,
    **PRUNE,
    **SHORT_IMAGES,
    "image": "all that is about images: image ls, inspect, prune and the others",
    "volume": "folders that outlive containers: volume create, ls, inspect, rm, prune",
}
"""The verbs of the command line that are verbs here too."""

_SHELL_SYNTAX = re.compile(r"kernelbox.*(\$\(| \| )")
_STANDARD_STREAM = "-"


def verb_named(word: str) -> str | None:
    """The verb that a word means; None for what is none."""
    name = ALIASES.get(word, word)
    return name if name in SUMMARIES else None


class VerbMagics:
    """Runs verbs. `flood` limits what `logs` shows."""

    def __init__(self, shell: InteractiveShell, engine: Any, flood: Flood) -> None:
        self._shell = shell
        self._engine = engine
        self._flood = flood

    def run(self, name: str, line: str) -> Any:
        """The value of the cell, None for what prints. Raises KernelBoxError, UsageError, NameError."""
        # Templates have braces of their own: --format '{{.Names}}'.
        words = [word for given in split(line) for word in self._expanded(given)]
        if name == "create":
            return self._create(words)
        if name in GROUPS:
            return run_group(self._engine, name, words, self._call)
        given = read(VERBS[name], words)
        if given is None:
            print(help_of(name))
            return None
        if name in image_table.BY_ITSELF:
            return answer(self._engine, "image", VERBS[name], given, words, self._call)
        return self._answer(name, given, words)

    def _expanded(self, word: str) -> list[str]:
        return [word] if "{{" in word else expand_words([word], self._shell.user_ns)

    def _answer(self, name: str, given: Given, words: Sequence[str]) -> Any:
        if name in ("ps", "stats", "top", "diff", "events") and not (given.text("format") or given.flag("quiet")):
            from .frames import FRAMES

            return FRAMES[name](self._engine, given)
        if name == "inspect" and not given.text("format"):
            return self._inspect(given)
        if name == "logs":
            return self._logs(given)
        if name == "start" and (given.flag("attach") or given.flag("interactive")):
            return self._start_attached(given)
        _refuse(name, given)
        return self._call(VERBS[name], [*_bounded(name, given), *words])

    def _call(self, verb: Verb, words: Sequence[str]) -> None:
        caller = Caller(self._engine)
        with calling(caller):
            call(verb, words)
        for note in caller.notes:
            sys.stderr.write(f"{as_magic(note)}\n")
        for error in caller.failures[:-1]:
            sys.stderr.write("\n".join(sentences(error)) + "\n")
        if caller.failures:
            raise caller.failures[-1]

    def _create(self, words: Sequence[str]) -> Any:
        made = create.create(self._engine, words)
        if made is None:
            print(help_of("create"))
        return made

    def _inspect(self, given: Given) -> Any:
        """One document, or a list for several names."""
        if given.text("type") not in ("", *KINDS):
            kinds = ", ".join(KINDS)
            raise InvalidOption(f"--type: there is no {given.text('type')!r} to look at", hint=f"there is: {kinds}")
        found = [document(self._engine, word, given) for word in given.words]
        return found if len(found) > 1 else found[0]

    def _logs(self, given: Given) -> None:
        with CellOutput(Origin(self._shell).show, self._flood) as output:
            for stream, content in logs.chunks(self._engine, given):
                output.feed(stream, content)

    def _start_attached(self, given: Given) -> Any:
        if given.flag("interactive"):
            raise UsageError(
                "start -i needs a terminal (hint: %%container exec NAME runs a cell in it once it is started)"
            )
        if len(given.words) > 1:
            raise InvalidOption("only one container can be started and attached to at once")
        with CellOutput(Origin(self._shell).show, self._flood) as output:
            result = kept_run.wait_attached(self._engine.containers.get(given.words[0]), on_output=output.feed)
        if failed := failure(result):
            raise failed
        return result


def help_of(name: str) -> str:
    """The help that the command line has, in a notebook's words."""
    from kernelbox.cli import launching

    lines = launching.help_of(name).split("\n")
    return as_magic("\n".join(line for line in lines if not _SHELL_SYNTAX.search(line)))


def _bounded(name: str, given: Given) -> list[str]:
    """What would go on for ever in a shell ends in a notebook."""
    if name == "stats":
        return ["--no-stream"]
    if name == "events":
        return [*([] if given.text("since") else ["--since", "0"]), *([] if given.text("until") else ["--until", "0s"])]
    return []


def _refuse(name: str, given: Given) -> None:
    """Raises UsageError for what needs a terminal, or streams that a notebook does not have."""
    if name == "prune" and not given.flag("force"):
        raise UsageError(
            "prune removes every container that does not run, and asks first (hint: %container prune -f does not)"
        )
    if name == "export" and not given.text("output"):
        raise UsageError("an archive is not shown in a notebook (hint: %container export -o FILE NAME)")
    if name == "cp" and _STANDARD_STREAM in given.words:
        raise UsageError("a notebook has no standard streams for archives (hint: copy from or to a file or folder)")
