"""`kernelbox` for people: its help, its verbs, and their help, by click."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Sequence

import click

from kernelbox import __version__
from kernelbox.cli.verb_names import ALIASES, GROUPS, IN_CONTAINER, LAUNCHING, MACHINE, SECTIONS, summary_of
from kernelbox.errors import InvalidOption

__all__ = ["main", "show_help"]

VERBS = SECTIONS

INTRODUCTION = """Containers in milliseconds, with nothing to install and no daemon.

A container is a process that sees a machine of its own: its own files, processes, users, network and limits. The image
`host` is always there: a private copy of this machine's programs, of which nothing that happens inside is kept.
"""

EXAMPLES = {
    "a shell of its own, where nothing can be broken": "kernelbox run -it host",
    "a program with limits and a folder of yours": "kernelbox run --memory 256m -v .:/data host python3 /data/job.py",
}


class Verbs(click.Group):
    """The verbs in groups; the module of each is imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for section in VERBS.values() for name in section]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(ctx):
            raise no_command(name, self.list_commands(ctx), "kernelbox")
        if name == "container":
            return container
        if name in GROUPS:
            return _group(name)
        if name not in MACHINE:
            return _command(name)
        command = importlib.import_module(f"kernelbox.cli.{name}").command
        assert isinstance(command, click.Command)
        return command

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage("kernelbox", "COMMAND [ARGS]...")
        for paragraph in INTRODUCTION.strip().split("\n\n"):
            formatter.write_paragraph()
            formatter.write_text(paragraph)
        for section, verbs in VERBS.items():
            with formatter.section(section):
                formatter.write_dl(list(verbs.items()))
        with formatter.section("Examples"):
            for what, line in EXAMPLES.items():
                formatter.write(f"  {line}\n      {what}\n")
        formatter.write_paragraph()
        formatter.write_text("kernelbox COMMAND --help says more about each; kernelbox --version is the version.")


class ContainerVerbs(click.Group):
    """`kernelbox container VERB`: the same verbs, and those that are about containers only here."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*IN_CONTAINER, *ALIASES]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        verb = ALIASES.get(name, name)
        if verb not in IN_CONTAINER:
            raise no_command(name, self.list_commands(ctx), "kernelbox container")
        return _command(verb)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage("kernelbox container", "COMMAND [ARGS]...")
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary_of(name)) for name in IN_CONTAINER])
        formatter.write_paragraph()
        formatter.write_text(f"Other words: {', '.join(f'{alias} is {name}' for alias, name in ALIASES.items())}.")


class GroupVerbs(click.Group):
    """`kernelbox volume VERB`, `kernelbox image VERB`: the verbs of the table of that word."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*GROUPS[str(self.name)]]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        from kernelbox.cli.launching import command_of
        from kernelbox.cli.verbs import verb_of

        group = str(self.name)
        verb = verb_of(group, name)
        if verb is None:
            raise no_command(name, self.list_commands(ctx), f"kernelbox {group}")
        return command_of(verb, GROUPS[group][verb.name])

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        group = str(self.name)
        formatter.write_usage(f"kernelbox {group}", "COMMAND [ARGS]...")
        with formatter.section("Commands"):
            formatter.write_dl(list(GROUPS[group].items()))


def _group(name: str) -> click.Group:
    return GroupVerbs(name=name, invoke_without_command=True, callback=_show_help)


def _command(name: str) -> click.Command:
    from kernelbox.cli.launching import launching_command, verb_command

    return launching_command(name) if name in LAUNCHING else verb_command(name)


def no_command(name: str, known: Sequence[str], group: str) -> InvalidOption:
    near = " or ".join(difflib.get_close_matches(name, known, n=2))  # of two, one may be rm
    return InvalidOption(
        f"there is no command {name!r}", hint=f"did you mean {near}?" if near else f"{group} --help lists them"
    )


@click.pass_context
def _show_help(ctx: click.Context) -> None:
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


container = ContainerVerbs(name="container", invoke_without_command=True, callback=_show_help)


@click.group(
    cls=Verbs,
    name="kernelbox",
    invoke_without_command=True,
    context_settings={"max_content_width": 100, "terminal_width": None},
)
@click.version_option(__version__, message="kernelbox %(version)s")
@click.pass_context
def app(ctx: click.Context) -> None:
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(words: Sequence[str]) -> int:
    """Returns the exit code. Raises KernelBoxError, InvalidOption for words that click does not like."""
    try:
        code = app.main(list(words), prog_name="kernelbox", standalone_mode=False)
    except click.ClickException as error:
        message = error.format_message().rstrip(".")
        raise InvalidOption(f"{message[:1].lower()}{message[1:]}", hint="kernelbox --help says what there is") from None
    except click.Abort:
        raise KeyboardInterrupt from None
    except SystemExit as ended:  # for completion, and with 1 where the reader of its output has gone
        if ended.code:
            raise BrokenPipeError from None
        return 0
    return code if isinstance(code, int) else 0


def show_help(*verb: str) -> int:
    """Prints the help of a verb, which may have another word in front: container prune."""
    return main([*verb, "--help"])
