"""The help of `run` and `explain`: the engine's table of options, in its groups.

Their words are read by `kernelbox.cli.request`, not by click, whose rules differ from Docker's (`--read-only=false`).
"""

from __future__ import annotations

from dataclasses import dataclass

import click

from kernelbox.engine.arguments import help_text
from kernelbox.engine.option_table import OPTIONS, Option

__all__ = ["LaunchingCommand", "launching_command"]


@dataclass(frozen=True)
class About:
    """What the help of a verb says beside its options."""

    usage: str
    text: str
    examples: tuple[str, ...]


RUN = About(
    "kernelbox run [OPTIONS] IMAGE [COMMAND] [ARG...]",
    """Run a command in a new container, and remove the container when it has ended.

IMAGE is host (this machine's own programs, copied on write), dir:PATH (a folder with a root file system) or bundle:PATH
(an OCI bundle). Without COMMAND it is the image's own, for host a shell. What follows IMAGE belongs to the command.

The exit code is the command's; 125 where kernelbox failed, 126 where the command cannot be run, 127 where there is no
such command, 128 and the number of the signal that ended it. Options are those of docker run.""",
    (
        "kernelbox run host python3 -c 'print(6*7)'",
        "kernelbox run -it --memory 256m host bash",
        "tar c . | kernelbox run -i -v $PWD/out:/out host tar x -C /out",
    ),
)
EXPLAIN = About(
    "kernelbox explain [OPTIONS] IMAGE [COMMAND] [ARG...]",
    """Run a command in a new container and show how: a row for each step of the start and the end, where it runs
(outside, inside the new namespaces, or after the end), its system calls, when it began and how long it took.

The steps go to standard output, what the command prints to standard error. Options are those of kernelbox run.""",
    (
        "kernelbox explain host true",
        "kernelbox explain --plan --memory 64m host true",
        "kernelbox explain --json host true | jq '.[].syscall'",
    ),
)


class LaunchingCommand(click.Command):
    """A verb with the run options; `own` are its others."""

    def __init__(self, name: str, about: About, own: tuple[Option, ...]) -> None:
        super().__init__(name, help=about.text, add_help_option=False)
        self._about = about
        self._own = own

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """For completion."""
        return [_click_option(option) for option in (*self._own, *OPTIONS)]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta["kernelbox.words"] = tuple(args)
        return []

    def invoke(self, ctx: click.Context) -> int:
        words: tuple[str, ...] = ctx.meta["kernelbox.words"]
        if words == ("--help",):
            click.echo(ctx.get_help())
            return 0
        from kernelbox.cli import main

        return main([str(self.name), *words])

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write(f"Usage: {self._about.usage}\n")
        for paragraph in self._about.text.split("\n\n"):
            formatter.write_paragraph()
            formatter.write_text(paragraph)
        with formatter.section("Examples"):
            for line in self._about.examples:
                formatter.write(f"  {line}\n")
        groups: dict[str, list[tuple[str, str]]] = {}
        for option in (*self._own, *OPTIONS):
            groups.setdefault(option.group, []).append((_flags(option), help_text(option)))
        for group, rows in groups.items():
            with formatter.section(group.capitalize()):
                formatter.write_dl(rows, col_max=34)


def launching_command(name: str) -> LaunchingCommand:
    """`run` or `explain`."""
    from kernelbox.cli.request import EXPLAIN_OPTIONS, RUN_OPTIONS

    return (
        LaunchingCommand("run", RUN, RUN_OPTIONS)
        if name == "run"
        else LaunchingCommand("explain", EXPLAIN, EXPLAIN_OPTIONS)
    )


def _flags(option: Option) -> str:
    short = [flag for flag in option.flags if not flag.startswith("--")]
    long = [flag for flag in option.flags if flag.startswith("--")]
    names = ", ".join([*short, *long])
    return f"{names} {option.metavar}" if option.metavar else names


def _click_option(option: Option) -> click.Option:
    kinds = {"kind": click.Choice(option.choices) if option.choices else click.STRING}
    if option.kind == "flag":
        return click.Option([*option.flags, option.name], is_flag=True, help=option.help)
    return click.Option(
        [*option.flags, option.name],
        type=kinds["kind"],
        multiple=option.kind == "list",
        metavar=option.metavar,
        help=option.help,
    )
