"""`%%container exec NAME [COMMAND]`: the cell is the input of one more process in a container that runs."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from kernelbox.cli.exec import EXEC_OPTIONS
from kernelbox.engine.arguments import add_to_argparse
from kernelbox.engine.executing import ExecOptions
from kernelbox.engine.options import as_a_program_says
from kernelbox.errors import KernelBoxError, NotFound, RunInterrupted

from .arguments import CellArgumentParser, add_output_options, seconds, split
from .expansion import expand_cell, expand_words
from .failures import exec_failure, explain_start
from .origin import Origin
from .output import CellOutput, Flood

DESCRIPTION = """Run the cell in a container that runs already.

The cell is the standard input of one more process in the container NAME; without COMMAND it is a shell. What follows
NAME belongs to the command. As %container exec NAME COMMAND, in one line, the command has no input.

    %container run -d --name lab host

    %%container exec lab
    cd /tmp; echo 42 > answer; ls -l

    %%container exec lab python3
    print(open("/tmp/answer").read())
"""

_SHELLS = ("/bin/bash", "/bin/sh")


class ExecArgumentParser(CellArgumentParser):
    missing = "no container is named"
    example = "%container ps lists those that run"


@dataclass(frozen=True, slots=True)
class ExecRequest:
    """What a line asks for. An empty `command` is the container's shell."""

    container: str
    command: tuple[str, ...]
    options: ExecOptions
    out: str | None = None
    err: str | None = None
    result: str | None = None
    raise_error: bool = True
    quiet: bool = False
    expand: bool = False
    detach: bool = False
    timeout: float | None = None


@cache
def exec_parser() -> ExecArgumentParser:
    """Parsing, help and completion, from the table that the command line has."""
    usage = "%%container exec [OPTIONS] NAME [COMMAND …]"
    made = ExecArgumentParser(prog="%container exec", usage=usage, description=DESCRIPTION)  # type: ignore[no-untyped-call]
    made.allow_abbrev = False
    cell = made.add_argument_group("cell")
    add_output_options(cell, "ExecResult")
    cell.add_argument(
        "--timeout", metavar="SECONDS", help="kill the command when so much time has passed, such as 1m30s"
    )
    add_to_argparse(made, EXEC_OPTIONS, without=("help", "interactive", "tty", "detach_keys"))
    for flags, name in ((("-i", "--interactive"), "interactive"), (("-t", "--tty"), "tty")):
        made.add_argument(*flags, dest=name, action="store_true", help=argparse.SUPPRESS)
    made.add_argument("-it", "-ti", dest="tty", action="store_true", help=argparse.SUPPRESS)
    made.add_argument("container", metavar="NAME", help="a container that runs, by its name or the beginning of its id")
    made.add_argument("command", metavar="COMMAND", nargs=argparse.REMAINDER, help="the program and its arguments")
    return made


def parse_exec(line: str, variables: Mapping[str, Any], *, cell: bool) -> ExecRequest:
    """Raises UsageError, InvalidOption, or NameError for a `{name}` which is not in `variables`."""
    given = vars(exec_parser().parse_args(expand_words(split(line), variables)))
    if given["tty"]:
        raise UsageError("a notebook is no terminal (hint: leave out -t; the cell of %%container exec is the input)")
    if not cell and given["interactive"]:
        raise UsageError("there is no input in one line (hint: %%container exec, whose cell is the input)")
    if not cell and not given["command"]:
        raise UsageError(
            "no command is named (hint: %container exec NAME COMMAND, or %%container exec NAME and a cell)"
        )
    named = as_a_program_says({key: given[key] for key in ("env", "env_file") if key in given}, os.environ)
    waits = [name for name in ("out", "err", "timeout") if given[name]]
    if given.get("detach") and waits:
        raise UsageError(f"--{waits[0]}: nobody waits for a command in the background, and what it writes is lost")
    return ExecRequest(
        container=given["container"],
        command=tuple(given["command"]),
        options=ExecOptions.make(
            user=given.get("user"),
            workdir=given.get("workdir"),
            env=named.get("env"),
            privileged=bool(given.get("privileged")),
        ),
        raise_error=not given["no_raise_error"],
        detach=bool(given.get("detach")),
        timeout=None if given["timeout"] is None else seconds(given["timeout"]),
        **{name: given[name] for name in ("out", "err", "result", "quiet", "expand")},
    )


def run_exec(shell: InteractiveShell, engine: Any, request: ExecRequest, body: str | None, flood: Flood) -> Any:
    """Runs it; the ExecResult, None for one that is left running. Raises RunFailed where the command fails."""
    if body is not None and request.expand:
        body = expand_cell(body, shell.user_ns)
    container = engine.containers.get(request.container)
    command = request.command or (shell_of(container),)
    data = None if body is None else body.encode()
    if request.detach:
        _leave_running(container, command, request, data)
        return None
    result = _shown(shell, container, command, request, data, flood)
    failed = exec_failure(result, container, command)
    for name, value in ((request.out, result.stdout), (request.err, result.stderr), (request.result, result)):
        if name:
            shell.user_ns[name] = value
    if failed and request.raise_error:
        raise failed
    return None if request.quiet else result


def shell_of(container: Any) -> str:
    """The best shell that is in it."""
    for path in _SHELLS:
        try:
            container.stat(path)
        except NotFound:
            continue
        return path
    raise NotFound(
        f"there is no shell in {container.name}", hint=f"name a command: %%container exec {container.name} COMMAND"
    )


def _shown(
    shell: InteractiveShell,
    container: Any,
    command: tuple[str, ...],
    request: ExecRequest,
    data: bytes | None,
    flood: Flood,
) -> Any:
    hidden = {stream for stream, variable in ((1, request.out), (2, request.err)) if variable}
    with CellOutput(Origin(shell).show, flood) as output:

        def show(stream: int, chunk: bytes) -> None:
            if stream not in hidden:
                output.feed(stream, chunk)

        try:
            return container.begin_exec(command, request.options, input=data, on_output=show).wait(request.timeout)
        except KernelBoxError as error:
            explain_start(error, container.record.image, list(command))
            raise
        except KeyboardInterrupt:
            raise RunInterrupted(
                f"interrupted: {command[0]} was killed; the container {container.name} goes on"
            ) from None


def _leave_running(container: Any, command: tuple[str, ...], request: ExecRequest, data: bytes | None) -> None:
    with tempfile.TemporaryFile() as given:  # it outlives its name, and us
        given.write(data or b"")
        given.seek(0)
        execution = container.begin_exec(command, request.options, input=given, detach=True)
        execution.wait_started()
        execution.detach()
