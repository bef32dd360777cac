"""The table of verbs about containers that are kept: what they take, which options they have, who does them.

The names and options are those of `docker container`. `run`, `create` and others that launch something have the
engine's table of options instead, and modules of their own.
"""

from __future__ import annotations

from kernelbox.cli import image_table
from kernelbox.cli.verbs import Verb
from kernelbox.engine.option_table import BY_NAME, CHANGEABLE, Kind, Option

__all__ = ["BY_ITSELF", "VERBS"]

_ONE, _ONE_OR_MORE = (1, 1), (1, None)
_CONTAINERS = "CONTAINER [CONTAINER...]"


def _option(name: str, flags: str, kind: Kind, metavar: str, text: str, default: str = "") -> Option:
    return Option(name, tuple(flags.split()), kind, metavar, text, "options", default)


def _flag(name: str, flags: str, text: str) -> Option:
    return _option(name, flags, "flag", "", text)


def _format(example: str, table: bool = True) -> Option:
    forms = "table, json, or a template such as" if table else "json, or a template such as"
    return _option("format", "--format", "str", "FORMAT", f"how to print it: {forms} {example}")


_EVENT_FILTER = _option(
    "filter", "-f --filter", "list", "KEY=VALUE", "only those that match: event=die, container=web, label=a=b, ..."
)
_FILTER = _option("filter", "-f --filter", "list", "KEY=VALUE", "only those that match: status=exited, label=a=b, ...")
_TIME = _option(
    "time", "-t --time --timeout", "int", "SECONDS", "how long it may take before it is killed", "its own, or 10"
)
_SIGNAL = _option("signal", "-s --signal", "str", "SIGNAL", "the signal that asks it to end", "its own, or SIGTERM")
_NO_TRUNC = _flag("no_trunc", "--no-trunc", "show ids and texts in full length")
_SINCE = _option(
    "since", "--since", "str", "TIME", "what is not older: 2026-11-24T14:00:00, or 10m for ten minutes ago"
)
_UNTIL = _option("until", "--until", "str", "TIME", "what is not newer; TIME as for --since")

LIFE = (
    Verb(
        "start",
        _CONTAINERS,
        "life:start",
        _ONE_OR_MORE,
        (
            _flag("attach", "-a --attach", "show what it writes, and pass signals on; its exit code is ours"),
            _flag("interactive", "-i --interactive", "also connect its standard input, if it was made with -i"),
            _option("detach_keys", "--detach-keys", "str", "KEYS", "what leaves it running", "ctrl-p,ctrl-q"),
        ),
        examples=("kernelbox start web", "kernelbox start -ai work"),
    ),
    Verb(
        "stop",
        _CONTAINERS,
        "life:stop",
        _ONE_OR_MORE,
        (_TIME, _SIGNAL),
        "A program that does not handle the signal could not end by it in a container, and is killed at once.",
    ),
    Verb(
        "restart",
        _CONTAINERS,
        "life:restart",
        _ONE_OR_MORE,
        (_TIME, _SIGNAL),
    ),
    Verb(
        "kill",
        _CONTAINERS,
        "life:kill",
        _ONE_OR_MORE,
        (_option("signal", "-s --signal", "str", "SIGNAL", "send this signal to the first process", "KILL"),),
    ),
    Verb("pause", _CONTAINERS, "life:pause", _ONE_OR_MORE),
    Verb("unpause", _CONTAINERS, "life:unpause", _ONE_OR_MORE),
    Verb("wait", _CONTAINERS, "life:wait", _ONE_OR_MORE),
    Verb("rename", "CONTAINER NAME", "life:rename", (2, 2)),
    Verb(
        "update",
        _CONTAINERS,
        "life:update",
        _ONE_OR_MORE,
        tuple(BY_NAME[name] for name in CHANGEABLE),
        examples=("kernelbox update --memory 512m --cpus 1.5 web",),
    ),
    Verb(
        "rm",
        _CONTAINERS,
        "life:remove",
        _ONE_OR_MORE,
        (
            _flag("force", "-f --force", "kill those that run first"),
            _flag("volumes", "-v --volumes", "with their anonymous volumes"),
        ),
        examples=("kernelbox rm -f web", "kernelbox rm $(kernelbox ps -aq --filter status=exited)"),
    ),
    Verb(
        "prune",
        "",
        "prune:prune",
        (0, 0),
        (
            _flag("force", "-f --force", "do not ask first"),
            _option("filter", "--filter", "list", "KEY=VALUE", "only those that match: label=a=b, label!=a, until=24h"),
        ),
        below="container",
    ),
)

LOOKING = (
    Verb(
        "ps",
        "",
        "ps:ps",
        (0, 0),
        (
            _flag("all", "-a --all", "also those that do not run"),
            _FILTER,
            _format("'{{.Names}}: {{.Status}}'"),
            _option("last", "-n --last", "int", "N", "the N containers that were created last, in any state"),
            _flag("latest", "-l --latest", "the container that was created last, in any state"),
            _NO_TRUNC,
            _flag("quiet", "-q --quiet", "ids only"),
            _flag("size", "-s --size", "also how much they have written"),
        ),
        text="What kernelbox run --rm and box.run have started is listed too, for as long as it runs.",
        examples=("kernelbox ps -a --filter status=exited", "kernelbox ps --format '{{.Names}}: {{.Status}}'"),
    ),
    Verb(
        "logs",
        "CONTAINER",
        "logs:logs",
        _ONE,
        (
            _flag("follow", "-f --follow", "go on with what it writes from now on"),
            _SINCE,
            _UNTIL,
            _option("tail", "-n --tail", "str", "N", "only the last N lines", "all"),
            _flag("timestamps", "-t --timestamps", "the time before each line"),
        ),
        examples=("kernelbox logs -f --tail 20 web",),
    ),
    Verb(
        "inspect",
        _CONTAINERS,
        "inspect:inspect",
        _ONE_OR_MORE,
        (
            _option("format", "-f --format", "str", "FORMAT", "json, or a template such as '{{.State.Status}}'"),
            _flag("size", "-s --size", "also how much they have written"),
            _option("type", "--type", "str", "TYPE", "only things of this kind: container, image or volume"),
        ),
        examples=("kernelbox inspect -f '{{.State.Pid}}' web",),
    ),
    Verb(
        "top",
        "CONTAINER [ps OPTIONS]",
        "top:top",
        _ONE_OR_MORE,
        command=True,
        examples=("kernelbox top web", "kernelbox top web -o pid,rss,cmd"),
    ),
    Verb(
        "stats",
        "[CONTAINER...]",
        "stats:stats",
        (0, None),
        (
            _flag("all", "-a --all", "also those that do not run"),
            _format("'{{.Name}}: {{.CPUPerc}}'"),
            _flag("no_stream", "--no-stream", "once, and do not go on"),
            _NO_TRUNC,
        ),
    ),
    Verb(
        "events",
        "",
        "events:events",
        (0, 0),
        (_EVENT_FILTER, _format("'{{.Action}} {{.Actor.ID}}'", table=False), _SINCE, _UNTIL),
        examples=("kernelbox events --since 1h --filter event=die",),
    ),
)

FILES = (
    Verb(
        "cp",
        "CONTAINER:PATH PATH|-, or PATH|- CONTAINER:PATH",
        "cp:cp",
        (2, 2),
        (
            _flag("archive", "-a --archive", "into a container: keep owners (by number)"),
            _flag("follow_link", "-L --follow-link", "copy what a link at the end of the source leads to"),
            _flag("quiet", "-q --quiet", "do not say how much was copied, which is said on terminals only"),
        ),
        """A folder that exists takes what is copied into itself; PATH/. is what is in a folder. - is a tar archive, on
standard input or output.

What comes out of a container is not trusted: files that would run with somebody else's rights do not, and devices and
links that lead out of where they are copied to are left out.""",
        ("kernelbox cp web:/var/log/. logs", "kernelbox cp site/. web:/srv", "kernelbox cp web:/etc - | tar t"),
    ),
    Verb("diff", "CONTAINER", "diff:diff", _ONE),
    Verb(
        "commit",
        "CONTAINER [REPOSITORY[:TAG]]",
        "commit:commit",
        (1, 2),
        (
            _option("author", "-a --author", "str", "NAME", "who made it: 'Ada <ada@example.org>'"),
            _option("change", "-c --change", "list", "INSTRUCTION", "of the image, as in a Dockerfile: 'CMD [\"sh\"]'"),
            _option("message", "-m --message", "str", "TEXT", "a comment in its history"),
            _option("pause", "-p --pause", "flag", "", "let the container stand still meanwhile", "true"),
        ),
        "What is mounted in the container, volumes among it, is not part of the image.",
        ("kernelbox commit -m 'tools added' web web:2",),
    ),
    Verb(
        "export",
        "CONTAINER",
        "export:export",
        _ONE,
        (_option("output", "-o --output", "str", "FILE", "write it to FILE", "standard output"),),
        examples=("kernelbox export -o web.tar web",),
    ),
)

VERBS = {verb.name: verb for verb in (*LIFE, *LOOKING, *FILES)} | image_table.BY_ITSELF

BY_ITSELF = frozenset(verb.name for verb in VERBS.values() if not verb.below)
"""Verbs that need no `container` or `image` in front."""
