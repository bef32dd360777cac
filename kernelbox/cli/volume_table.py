"""The table of `kernelbox volume`: names, options and output are those of `docker volume`."""

from __future__ import annotations

from kernelbox.cli.verbs import Verb
from kernelbox.engine.option_table import Kind, Option

__all__ = ["ALIASES", "VERBS"]

_VOLUMES = "VOLUME [VOLUME...]"


def _option(name: str, flags: str, kind: Kind, metavar: str, text: str, default: str = "") -> Option:
    return Option(name, tuple(flags.split()), kind, metavar, text, "options", default)


_EVERY = (
    Verb(
        "create",
        "[VOLUME]",
        "volume:create",
        (0, 1),
        (
            _option("driver", "-d --driver", "str", "DRIVER", "what keeps it; there is one", "local"),
            _option("labels", "--label", "list", "KEY=VALUE", "say something about it"),
            _option("driver_opts", "-o --opt", "list", "KEY=VALUE", "for the driver; local takes none"),
        ),
        "One that is there already is left as it is. Without a name it gets one that nobody has.",
        ("kernelbox volume create --label of=me work", "kernelbox run -it -v work:/work host bash"),
        below="volume",
    ),
    Verb(
        "ls",
        "",
        "volume:ls",
        (0, 0),
        (
            _option(
                "filter", "-f --filter", "list", "KEY=VALUE", "only those that match: dangling=true, name=a, label=a=b"
            ),
            _option(
                "format", "--format", "str", "FORMAT", "how to print it: table, json, or a template such as '{{.Name}}'"
            ),
            _option("quiet", "-q --quiet", "flag", "", "names only"),
        ),
        examples=("kernelbox volume ls --filter dangling=true",),
        below="volume",
    ),
    Verb(
        "inspect",
        _VOLUMES,
        "volume:inspect",
        (1, None),
        (_option("format", "-f --format", "str", "FORMAT", "json, or a template such as '{{.Mountpoint}}'"),),
        examples=("kernelbox volume inspect -f '{{.Mountpoint}}' work",),
        below="volume",
    ),
    Verb(
        "rm",
        _VOLUMES,
        "volume:remove",
        (1, None),
        (_option("force", "-f --force", "flag", "", "say nothing of those that are not there"),),
        "What is in them is lost. One that a container has, running or not, is not removed.",
        below="volume",
    ),
    Verb(
        "prune",
        "",
        "volume:prune",
        (0, 0),
        (
            _option("all", "-a --all", "flag", "", "also those that have names"),
            _option("filter", "--filter", "list", "KEY=VALUE", "only those that match: label=a=b, label!=a"),
            _option("force", "-f --force", "flag", "", "do not ask first"),
        ),
        below="volume",
    ),
)

VERBS = {verb.name: verb for verb in _EVERY}

ALIASES = {"list": "ls", "remove": "rm"}
