"""The command line: `kernelbox run`, `explain`, `doctor`, one verb per module.

Nothing heavy is imported before the verb is known. What is about containers reads its own words, by Docker's rules, and
so starts without click, which the help and the other verbs need.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """What the program `kernelbox` does with its arguments; returns its exit code."""
    from kernelbox.cli.failures import exit_code_of

    words = list(sys.argv[1:] if argv is None else argv)
    return exit_code_of(lambda: _helped(words))


def _helped(words: list[str]) -> int:
    """Where an option is unknown, and no other is like it, the way to those that there are is told."""
    from kernelbox.errors import InvalidOption

    try:
        return _dispatch(words)
    except InvalidOption as error:
        if error.hint is None and error.message.startswith("unknown option"):
            verb = " ".join(words[: 2 if words[0] in ("container", "volume") else 1])
            error.hint = f"kernelbox {verb} --help lists the options"
        raise


def _dispatch(words: list[str]) -> int:
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    name = words[0] if words else ""
    if name == "run":
        from kernelbox.cli import run

        return run.main(words[1:])
    if name == "exec":
        from kernelbox.cli import exec as exec_verb

        return exec_verb.main(words[1:])
    if name == "attach":
        from kernelbox.cli import attach

        return attach.main(words[1:])
    if name == "explain":
        from kernelbox.cli import explain

        return explain.main(words[1:])
    if name == "create":
        from kernelbox.cli import create

        return create.main(words[1:])
    if name and not name.startswith("-"):
        return _dispatch_verb(name, words[1:])
    from kernelbox.cli.app import main as by_click

    return by_click(words)


def _dispatch_verb(name: str, words: list[str]) -> int:
    from kernelbox.cli.verb_names import ALIASES, GROUPS, IN_CONTAINER
    from kernelbox.cli.verb_table import BY_ITSELF, VERBS

    if name in BY_ITSELF:
        from kernelbox.cli.verbs import call

        return call(VERBS[name], words)
    if name == "container" and words:
        verb = ALIASES.get(words[0], words[0])
        if verb in IN_CONTAINER and verb in VERBS:
            from kernelbox.cli.verbs import call

            return call(VERBS[verb], words[1:])
        if verb in IN_CONTAINER:
            return _dispatch([verb, *words[1:]])
    if name in GROUPS and words:
        from kernelbox.cli.verbs import call, verb_of

        if verb_of_group := verb_of(name, words[0]):
            return call(verb_of_group, words[1:])
    from kernelbox.cli.app import main as by_click

    return by_click([name, *words])
