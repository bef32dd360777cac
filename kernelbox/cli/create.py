"""`kernelbox create`: a container that is not started yet."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from kernelbox.cli.caller import engine
from kernelbox.cli.request import HELP, flags_named
from kernelbox.engine.arguments import parse_arguments
from kernelbox.engine.container import Container
from kernelbox.engine.engine import Engine
from kernelbox.engine.option_table import OPTIONS, Option
from kernelbox.engine.options import RunOptions, as_a_program_says
from kernelbox.errors import InvalidOption, KernelBoxError

__all__ = ["CREATE_OPTIONS", "CREATE_TAKES", "create", "main"]

CREATE_OPTIONS = (HELP, Option("rm", ("--rm",), "flag", "", "remove the container when it has ended", "general"))
CREATE_TAKES = tuple(option for option in OPTIONS if option.name != "timeout")


def main(words: Sequence[str]) -> int:
    """Prints the id. Raises KernelBoxError, which exits with Docker's code: 125 for wrong options, else 1."""
    with engine() as box:
        container = create(box, words)
        if container is not None:
            sys.stdout.write(f"{container.id}\n")
            return 0
    from kernelbox.cli.app import show_help

    return show_help("create")


def create(box: Engine, words: Sequence[str]) -> Container | None:
    """None where help was asked for. Raises as `main`."""
    with flags_named():
        values, rest = parse_arguments(words, (*OPTIONS, *CREATE_OPTIONS))
        if values.pop(HELP.name, False):
            return None
        remove = bool(values.pop("rm", False))
        if not rest:
            raise InvalidOption(
                "create needs an image",
                hint="kernelbox create [OPTIONS] IMAGE [COMMAND] [ARG...], with host as the image for a start",
            )
        if "timeout" in values:
            raise InvalidOption("timeout: only what kernelbox run waits for has one", hint="kernelbox stop ends it")
        options = as_a_program_says(values, os.environ)
        RunOptions.make(**options)
        return _create(box, rest, options, remove)


def _create(box: Engine, words: Sequence[str], options: dict[str, object], remove: bool) -> Container:
    try:
        return box.containers.create(words[0], list(words[1:]), auto_remove=remove, **options)  # type: ignore[arg-type]
    except KernelBoxError as error:
        error.exit_code = 1
        raise
