"""The words of `run` and `explain`: options, IMAGE, and what belongs to the command."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field

from kernelbox.engine.arguments import parse_arguments
from kernelbox.engine.option_table import BY_NAME, OPTIONS, Option
from kernelbox.engine.options import RunOptions, as_a_program_says
from kernelbox.errors import InvalidOption, KernelBoxError
from kernelbox.oci.value import frozen

__all__ = ["EXPLAIN_OPTIONS", "HELP", "RUN_OPTIONS", "Request", "flags_named", "read"]

HELP = Option("help", ("--help",), "flag", "", "show this text", "general")
DETACH_KEYS = Option(
    "detach_keys",
    ("--detach-keys",),
    "str",
    "KEYS",
    "the keys by which one leaves it running",
    "general",
    "ctrl-p,ctrl-q",
)
RUN_OPTIONS = (
    HELP,
    Option(
        "rm",
        ("--rm",),
        "flag",
        "",
        "remove the container when it ends: nothing of it is kept, and it starts faster",
        "general",
    ),
    Option("detach", ("-d", "--detach"), "flag", "", "leave it running in the background, and print its id", "general"),
    DETACH_KEYS,
    Option(
        "cidfile", ("--cidfile",), "str", "FILE", "write the container's id to FILE, which must not exist", "general"
    ),
    Option("sig_proxy", ("--sig-proxy",), "flag", "", "pass signals on to the command", "general", "true"),
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
    values: Mapping[str, object] = field(default_factory=dict)
    """Of the flags that are not the engine's, all that were given."""
    given: Mapping[str, object] = field(default_factory=dict)
    """The engine's options as a program would give them."""


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
    given = as_a_program_says({name: value for name, value in values.items() if name in BY_NAME}, os.environ)
    beside = {name: value for name, value in values.items() if name not in BY_NAME}
    return Request(rest[0], tuple(rest[1:]), RunOptions.make(**given), flags, beside, given)


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
