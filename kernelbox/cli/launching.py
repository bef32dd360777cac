"""The help of what is about containers: the tables of options, in their groups.

The words are not read by click, whose rules differ from Docker's (`--read-only=false`).
"""

from __future__ import annotations

from dataclasses import dataclass

import click

from kernelbox.cli.verb_names import LAUNCHING, summary_of
from kernelbox.cli.verb_table import VERBS
from kernelbox.cli.verbs import HELP, Verb
from kernelbox.engine.arguments import help_text
from kernelbox.engine.option_table import OPTIONS, Option

__all__ = ["LaunchingCommand", "command_help", "command_of", "help_of", "launching_command", "verb_command"]


@dataclass(frozen=True)
class About:
    """What the help of a verb says beside its options."""

    usage: str
    text: str
    examples: tuple[str, ...]


RUN = About(
    "kernelbox run [OPTIONS] IMAGE [COMMAND] [ARG...]",
    """Run a command in a new container, and wait for its end.

The container is kept, with all it has written, until kernelbox rm; with --rm nothing is kept of it.

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
    "kernelbox explain [OPTIONS] IMAGE [COMMAND] [ARG...], or kernelbox explain CONTAINER",
    """Run a command in a new container and show how: a row for each step of the start and the end, where it runs
(outside, inside the new namespaces, or after the end), its system calls, when it began and how long it took.

The steps go to standard output, what the command prints to standard error. Options are those of kernelbox run.

With the name of a container alone, in place of an image's: how that container was started last, and how it ended.""",
    (
        "kernelbox explain host true",
        "kernelbox explain --plan --memory 64m host true",
        "kernelbox explain --json host true | jq '.[].syscall'",
        "kernelbox explain web",
    ),
)
CREATE = About(
    "kernelbox create [OPTIONS] IMAGE [COMMAND] [ARG...]",
    """Make a container for a command, without starting it yet; print its id.

It is kept when it has ended, with all it has written, until kernelbox rm. Options, IMAGE and COMMAND are those of
kernelbox run, but for --timeout: there is nobody who waits.""",
    (
        "kernelbox create --name web --restart always -v ./site:/site:ro host python3 -m http.server -d /site",
        "kernelbox start web",
    ),
)
EXEC = About(
    "kernelbox exec [OPTIONS] CONTAINER COMMAND [ARG...]",
    """Run one more command in a container that runs, beside what runs there. What follows CONTAINER belongs to the
command, and so does the exit code.""",
    ("kernelbox exec -it web sh", "kernelbox exec -u nobody web id"),
)
ATTACH = About(
    "kernelbox attach [OPTIONS] CONTAINER",
    """See what a container that runs writes from now on, and type to it if it was made with -i.

With a terminal (-t), Ctrl-P Ctrl-Q leaves it running. The exit code is the container's.""",
    ("kernelbox attach web",),
)


class LaunchingCommand(click.Command):
    """A verb whose words are read elsewhere; its options are `own` and, if it launches something, the run options."""

    def __init__(
        self,
        name: str,
        about: About,
        own: tuple[Option, ...],
        options: tuple[Option, ...] = OPTIONS,
        below: str = "",
    ) -> None:
        super().__init__(name, help=about.text, add_help_option=False)
        self._words = [below, name] if below else [name]
        self._about = about
        self._options = (*own, *options)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """For completion."""
        return [_click_option(option) for option in self._options]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta["kernelbox.words"] = tuple(args)
        return []

    def invoke(self, ctx: click.Context) -> int:
        words: tuple[str, ...] = ctx.meta["kernelbox.words"]
        if words == ("--help",):
            click.echo(ctx.get_help())
            return 0
        from kernelbox.cli import main

        return main([*self._words, *words])

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write(f"Usage: {self._about.usage}\n")
        for paragraph in self._about.text.split("\n\n"):
            formatter.write_paragraph()
            formatter.write_text(paragraph)
        if self._about.examples:
            with formatter.section("Examples"):
                for line in self._about.examples:
                    formatter.write(f"  {line}\n")
        groups: dict[str, list[tuple[str, str]]] = {}
        for option in self._options:
            groups.setdefault(option.group, []).append((_flags(option), help_text(option)))
        for group, rows in groups.items():
            with formatter.section(group.capitalize()):
                formatter.write_dl(rows, col_max=34)


def launching_command(name: str) -> LaunchingCommand:
    """A verb with a module of its own that reads its words."""
    from kernelbox.cli.attach import ATTACH_OPTIONS
    from kernelbox.cli.create import CREATE_OPTIONS, CREATE_TAKES
    from kernelbox.cli.exec import EXEC_OPTIONS
    from kernelbox.cli.request import EXPLAIN_OPTIONS, RUN_OPTIONS

    verbs = {
        "run": (RUN, RUN_OPTIONS, OPTIONS),
        "explain": (EXPLAIN, EXPLAIN_OPTIONS, OPTIONS),
        "create": (CREATE, CREATE_OPTIONS, CREATE_TAKES),
        "exec": (EXEC, EXEC_OPTIONS, ()),
        "attach": (ATTACH, ATTACH_OPTIONS, ()),
    }
    return LaunchingCommand(name, *verbs[name])


def help_of(name: str) -> str:
    """The help of a verb about containers, as it is printed."""
    return _help(launching_command(name) if name in LAUNCHING else verb_command(name))


def command_help(verb: Verb, summary: str) -> str:
    """That of a verb that launches nothing."""
    return _help(command_of(verb, summary))


def _help(command: LaunchingCommand) -> str:
    return command.get_help(click.Context(command, max_content_width=100))


def verb_command(name: str) -> LaunchingCommand:
    """A verb of the table, which launches nothing."""
    return command_of(VERBS[name], summary_of(name))


def command_of(verb: Verb, summary: str) -> LaunchingCommand:
    """For a verb that launches nothing; `summary` says in a few words what it does."""
    summary = f"{summary[:1].upper()}{summary[1:]}."
    about = About(verb.usage, "\n\n".join(filter(None, (summary, verb.text))), verb.examples)
    return LaunchingCommand(verb.name, about, (HELP, *verb.options), (), verb.below)


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
