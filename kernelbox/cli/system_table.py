"""The table of `kernelbox system`: names, options and output are those of `docker system`."""

from __future__ import annotations

from kernelbox.cli.verbs import Verb
from kernelbox.engine.option_table import Option

__all__ = ["ALIASES", "VERBS"]

_FORMAT = "how to print it: table, json, or a template such as '{{.Type}}: {{.Size}}'"

_EVERY = (
    Verb(
        "df",
        "",
        "system:df",
        (0, 0),
        (Option("format", ("--format",), "str", "FORMAT", _FORMAT, "options"),),
        "Every file of containers and volumes is counted, which may take a moment.",
        below="system",
    ),
)

VERBS = {verb.name: verb for verb in _EVERY}

ALIASES: dict[str, str] = {}
