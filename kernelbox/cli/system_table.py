"""The table of `kernelbox system`. Names, options and output are Docker's."""

from __future__ import annotations

from kernelbox.cli.verbs import Verb
from kernelbox.engine.option_table import Option

__all__ = ["ALIASES", "VERBS"]

_FORMAT = Option(
    "format",
    ("--format",),
    "str",
    "FORMAT",
    "how to print it: table, json, or a template such as '{{.Type}}: {{.Size}}'",
    "options",
)
_VERBOSE = Option("verbose", ("-v", "--verbose"), "flag", "", "each image, container and volume", "options")

VERBS = {
    "df": Verb(
        "df",
        "",
        "system:df",
        (0, 0),
        (_FORMAT, _VERBOSE),
        """Images are counted with what they were pulled or loaded as, which is kept for pushing and saving them. Every
file of containers and volumes is looked at, which may take a moment.""",
        ("kernelbox system df", "kernelbox system df --format '{{.Type}}: {{.Reclaimable}}'"),
        below="system",
    )
}

ALIASES: dict[str, str] = {}
