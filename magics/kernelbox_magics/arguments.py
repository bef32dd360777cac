"""The line of `%%container`: how it is split, and what it may say.

`magic_arguments.parse_argstring` splits in a way of its own, which keeps or breaks quotes; here a line is split as a
POSIX shell does, with `# comments`. Everything after IMAGE belongs to the command, as in `docker run`.
"""

from __future__ import annotations

import argparse
import difflib
import keyword
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn

from IPython.core.error import UsageError
from IPython.core.magic_arguments import MagicArgumentParser

from kernelbox.engine.arguments import add_to_argparse
from kernelbox.engine.option_values import duration
from kernelbox.engine.options import BY_NAME, as_a_program_says
from kernelbox.errors import InvalidOption

from .expansion import expand_words

DESCRIPTION = """Run the cell in a container.

The cell is the standard input of the command. Without a command the image's shell reads it. What follows IMAGE belongs
to the command. In the line (not in the cell) {name} is the notebook's variable of that name.

    %%container host python3
    print(6*7)

    %%container --memory 256m --cpus 1 -i df -o result host python3
    result = sum(df["price"])

The container goes with the cell. With --keep it stays: see %container ps, and run more cells in it while it runs:

    %container run -d --name lab host

    %%container exec lab
    touch /tmp/here; hostname

See %%container exec --help, and %container for what else can be done with containers.
"""

_COMMENT = re.compile(r"""('[^']*'|"(?:\\.|[^"\\])*"|\\.)|(?:(?<=\s)|^)\#.*""", re.DOTALL)


@dataclass(frozen=True, slots=True)
class CellRequest:
    """What a line asks for. `options` are those of `box.run` that were given."""

    image: str
    command: tuple[str, ...] | None
    options: Mapping[str, Any]
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    out: str | None = None
    err: str | None = None
    result: str | None = None
    metrics: str | None = None
    raise_error: bool = True
    detach: bool = False
    quiet: bool = False
    explain: bool = False
    expand: bool = False
    keep: bool = False
    replace: bool = False
    remove: bool = False


class CellArgumentParser(MagicArgumentParser):
    """Errors are IPython's UsageError; an unknown option is answered with the nearest one."""

    missing = "no image is named"
    example = "%%container host python3"

    def error(self, message: str) -> NoReturn:
        if message.startswith("unrecognized arguments: "):
            unknown = message.split(" ")[2]
            near = difflib.get_close_matches(unknown, self.flags(), n=1)
            raise UsageError(f"unknown option {unknown}" + (f" (hint: did you mean {near[0]}?)" if near else ""))
        if message.startswith("the following arguments are required"):
            raise UsageError(f"{self.missing} (hint: {self.example})")
        raise UsageError(message)

    def flags(self) -> list[str]:
        """Every way to write an option."""
        return [flag for action in self._actions for flag in action.option_strings]

    def takes_value(self, flag: str) -> bool:
        """Whether the word after `flag` is its value. False for what is no option."""
        action = self._option_string_actions.get(flag)
        return action is not None and action.nargs != 0

    def destination(self, flag: str) -> str:
        """The name of the option that `flag` gives."""
        return str(self._option_string_actions[flag].dest)


@cache
def parser() -> CellArgumentParser:
    """The one source of what `%%container` accepts: parsing, help and completion."""
    usage = "%%container [OPTIONS] IMAGE [COMMAND …]"  # one % is put in front of it
    made = CellArgumentParser(prog="%container", usage=usage, description=DESCRIPTION)  # type: ignore[no-untyped-call]
    made.allow_abbrev = False
    _add_cell_options(made)
    add_to_argparse(made, without=("interactive", "tty"))  # the cell always is the input, and -i is for variables
    made.add_argument("image", metavar="IMAGE", help="host, dir:PATH or bundle:PATH")
    made.add_argument("command", metavar="COMMAND", nargs=argparse.REMAINDER, help="the program and its arguments")
    return made


def _add_cell_options(made: CellArgumentParser) -> None:
    cell = made.add_argument_group("cell")
    cell.add_argument(
        "-i", "--input", action="append", type=variable_name, metavar="VAR", help="put the variable VAR in"
    )
    cell.add_argument(
        "-o", "--output", action="append", type=variable_name, metavar="VAR", help="bring the variable VAR back"
    )
    add_output_options(cell, "RunResult")
    cell.add_argument("--metrics", type=variable_name, metavar="VAR", help="put what it cost into VAR, as a DataFrame")
    cell.add_argument("--bg", action="store_true", help="run in the background")
    cell.add_argument("-d", "--detach", action="store_true", help="the same; %%container run -d also keeps it")
    cell.add_argument("--explain", action="store_true", help="show how the container was started, step by step")
    cell.add_argument(
        "--keep", action="store_true", help="keep the container and all it has written, until %%container rm"
    )
    cell.add_argument("--replace", action="store_true", help="with --keep: remove the container of this --name before")
    cell.add_argument("--rm", action="store_true", help="accepted and not needed: a cell's container goes by itself")


def add_output_options(group: argparse._ArgumentGroup, result: str) -> None:
    """What every cell may say about its text and about what comes of it."""
    shown = "instead of showing it"
    group.add_argument("--out", type=variable_name, metavar="VAR", help=f"put the standard output into VAR {shown}")
    group.add_argument("--err", type=variable_name, metavar="VAR", help=f"put the standard error into VAR {shown}")
    group.add_argument("--result", type=variable_name, metavar="VAR", help=f"put the whole {result} into VAR")
    group.add_argument("--no-raise-error", action="store_true", help="go on after a command that fails")
    group.add_argument("-q", "--quiet", action="store_true", help="do not show the result's line")
    group.add_argument("--expand", action="store_true", help="replace {{name}} in the cell by the notebook's variable")


def split(line: str) -> list[str]:
    """The words of a line as a POSIX shell has them, without a comment. Raises UsageError for an open quote.

    shlex's own comments would end the word `#` is in the middle of, as in `-e COLOUR=#fff`."""
    try:
        return shlex.split(_COMMENT.sub(lambda found: found[1] or "", line), posix=True)
    except ValueError as error:
        raise UsageError(f"{error} in: {line}") from None


def parse(line: str, variables: Mapping[str, Any], *, cell: bool = True) -> CellRequest:
    """What `line` asks for; without a cell it is that of `%container run`, of which `-d` means what it means to Docker.

    Raises UsageError, or NameError for a `{name}` which is not in `variables`."""
    given = vars(parser().parse_args(expand_words(split(line), variables)))
    options = as_a_program_says({name: value for name, value in given.items() if name in BY_NAME}, os.environ)
    if "timeout" in options:
        options["timeout"] = seconds(options["timeout"])
    request = CellRequest(
        image=given["image"],
        command=tuple(given["command"]) or None,
        options=options,
        inputs=tuple(given["input"] or ()),
        outputs=tuple(given["output"] or ()),
        raise_error=not given["no_raise_error"],
        detach=given["detach"] or given["bg"],
        keep=given["keep"] or (given["detach"] and not cell),
        remove=given["rm"],
        **{name: given[name] for name in ("out", "err", "result", "metrics", "quiet", "explain", "expand", "replace")},
    )
    _check_kept(request)
    return request


def _check_kept(request: CellRequest) -> None:
    """Raises UsageError for what a container that stays cannot do."""
    if not request.keep:
        if request.replace:
            raise UsageError("--replace: a container that goes with its cell is in nobody's way (hint: --keep)")
        return
    if request.inputs or request.outputs:
        raise UsageError(
            "-i and -o: variables need a container that goes with its cell (hint: leave out --keep, or use -v and "
            "%container cp)"
        )
    if request.replace and "name" not in request.options:
        raise UsageError("--replace: which one? (hint: --name NAME)")
    if request.remove and not request.detach:
        raise UsageError("--keep and --rm contradict each other")
    waits = [name for name in ("out", "err", "metrics", "explain") if getattr(request, name)]
    waits += [name for name in ("timeout",) if name in request.options]
    if request.detach and waits:
        raise UsageError(
            f"--{waits[0]}: nobody waits for a container in the background (hint: %container logs has its output)"
        )
    if "restart" in request.options and not request.detach:
        raise UsageError("--restart: a cell waits for one end (hint: --bg)")


def seconds(text: str) -> float:
    try:
        return duration(text)
    except InvalidOption as error:
        raise UsageError(f"--timeout: {error}") from None


def variable_name(text: str) -> str:
    if not text.isidentifier() or keyword.iskeyword(text) or len(text) > 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not the name of a variable")
    return text
