"""`kernelbox exec`: one more process in a container that runs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

from kernelbox.cli.request import DETACH_KEYS, HELP, flags_named
from kernelbox.cli.signals import Relay
from kernelbox.cli.streams import Output, standard_input
from kernelbox.engine.arguments import Values, parse_arguments
from kernelbox.engine.engine import Engine
from kernelbox.engine.executing import ExecOptions, Execution
from kernelbox.engine.option_table import Option
from kernelbox.engine.options import as_a_program_says
from kernelbox.errors import InvalidOption, KernelError

__all__ = ["EXEC_OPTIONS", "main"]

EXEC_OPTIONS = (
    Option("help", ("-h", *HELP.flags), "flag", "", HELP.help, "general"),
    Option("detach", ("-d", "--detach"), "flag", "", "leave it running, and do not wait for it", "general"),
    Option("interactive", ("-i", "--interactive"), "flag", "", "connect the command's standard input", "general"),
    Option("tty", ("-t", "--tty"), "flag", "", "give the command a terminal", "general"),
    Option("user", ("-u", "--user"), "str", "USER[:GROUP]", "run as this user", "general", "the container's"),
    Option("workdir", ("-w", "--workdir"), "str", "DIR", "start in this directory", "general", "the container's"),
    Option("env", ("-e", "--env"), "list", "NAME=VALUE", "set an environment variable", "general"),
    Option("env_file", ("--env-file",), "list", "FILE", "set the variables listed in FILE", "general"),
    Option("privileged", ("--privileged",), "flag", "", "with all capabilities, and no system call filter", "general"),
    DETACH_KEYS,
)


def main(words: Sequence[str]) -> int:
    """Returns the exit code. Raises KernelBoxError where there is none."""
    values, rest = parse_arguments(words, EXEC_OPTIONS)
    if values.get("help"):
        from kernelbox.cli.app import show_help

        return show_help("exec")
    if len(rest) < 2:
        raise InvalidOption(
            "exec needs a container and a command", hint="kernelbox exec [OPTIONS] CONTAINER COMMAND [ARG...]"
        )
    with flags_named(), Engine() as box:
        return _exec(box, rest[0], tuple(rest[1:]), values)


def _exec(box: Engine, name: str, command: tuple[str, ...], values: Values) -> int:
    wanted = as_a_program_says({key: values[key] for key in ("env", "env_file") if key in values}, os.environ)
    tty, interactive = bool(values.get("tty")), bool(values.get("interactive"))
    options = ExecOptions.make(
        user=values.get("user"),
        workdir=values.get("workdir"),
        env=wanted.get("env"),
        tty=tty and not values.get("detach"),
        privileged=bool(values.get("privileged")),
    )
    container = box.containers.get(name)
    if values.get("detach"):
        execution = container.begin_exec(command, options, detach=True)
        execution.wait_started()
        execution.detach()
        return 0
    if tty:
        from kernelbox.cli.terminal import check_keyboard

        if interactive:
            check_keyboard()
        return _on_terminal(container.begin_exec(command, options, adopt=False), interactive)
    output = Output((1, 2))
    with contextlib.ExitStack() as stack:
        given = stack.enter_context(standard_input()) if interactive else None
        relay = stack.enter_context(Relay())
        execution = container.begin_exec(command, options, input=given, on_output=output, capture=False)
        return _on_streams(execution, relay, output)


def _on_streams(execution: Execution, relay: Relay, output: Output) -> int:
    execution.wait_started()
    relay.attach(execution.launch)
    output.attach(execution.launch)
    result = execution.wait()
    if output.failure is not None:
        raise KernelError(output.failure.errno or 0, "write the output")
    return result.exit_code


def _on_terminal(execution: Execution, interactive: bool) -> int:
    from kernelbox.cli import terminal

    execution.wait_started()
    controller = execution.launch.terminal
    try:
        with terminal.window_size_kept(controller):
            terminal.attend(controller, 1, keyboard=interactive)
    finally:
        os.close(controller)
    return execution.wait().exit_code
