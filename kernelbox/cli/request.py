"""The words of `run` and `explain`: options, IMAGE, and what belongs to the command."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from kernelbox.engine.arguments import parse_arguments
from kernelbox.engine.option_table import BY_NAME, OPTIONS, Option
from kernelbox.engine.options import RunOptions
from kernelbox.errors import InvalidOption, KernelBoxError
from kernelbox.oci.value import frozen

__all__ = ["EXPLAIN_OPTIONS", "HELP", "RUN_OPTIONS", "Request", "flags_named", "read"]

HELP = Option("help", ("--help",), "flag", "", "show this text", "general")
RUN_OPTIONS = (
    HELP,
    Option("rm", ("--rm",), "flag", "", "accepted for Docker's sake: a container is always removed", "general"),
    Option(
        "explain", ("--explain",), "flag", "", "at the end show each step of the launch, on standard error", "general"
    ),
)
EXPLAIN_OPTIONS = (
    HELP,
    Option("plan", ("--plan",), "flag", "", "show the steps without running anything", "general"),
    Option("json", ("--json",), "flag", "", "write the steps as JSON", "general"),
)


@frozen
class Request:
    """What was asked for. `own` are the names of the given flags that are not the engine's."""

    image: str
    command: tuple[str, ...]
    options: RunOptions
    own: frozenset[str] = frozenset()


def read(verb: str, words: Sequence[str], own: Sequence[Option]) -> Request | None:
    """None where help was asked for. Raises InvalidOption."""
    values, rest = parse_arguments(words, (*OPTIONS, *own))
    flags = frozenset(each.name for each in own if values.get(each.name))
    if HELP.name in flags:
        return None
    if not rest:
        raise InvalidOption(
            f"{verb} needs an image",
            hint=f"kernelbox {verb} [OPTIONS] IMAGE [COMMAND] [ARG...], with host as the image for a start",
        )
    options = RunOptions.from_arguments({name: value for name, value in values.items() if name in BY_NAME}, os.environ)
    return Request(rest[0], tuple(rest[1:]), options, flags)


@contextmanager
def flags_named() -> Iterator[None]:
    """Errors inside the block that begin with an option's name, as for Python, begin with its flag instead."""
    try:
        yield
    except KernelBoxError as error:
        name, colon, rest = error.message.partition(":")
        if colon and name in BY_NAME:
            error.message = f"{max(BY_NAME[name].flags, key=len)}:{rest}"
        raise
