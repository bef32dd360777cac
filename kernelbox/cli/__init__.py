"""The command line: `kernelbox run`, `explain`, `doctor`, one verb per module.

Nothing heavy is imported before the verb is known. `run` and `explain` read their own words, by Docker's rules, and so
start without click, which the help and the other verbs need.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """What the program `kernelbox` does with its arguments; returns its exit code."""
    from kernelbox.cli.failures import exit_code_of

    words = list(sys.argv[1:] if argv is None else argv)
    return exit_code_of(lambda: _dispatch(words))


def _dispatch(words: list[str]) -> int:
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    if words[:1] == ["run"]:
        from kernelbox.cli import run

        return run.main(words[1:])
    if words[:1] == ["explain"]:
        from kernelbox.cli import explain

        return explain.main(words[1:])
    from kernelbox.cli.app import main as by_click

    return by_click(words)
