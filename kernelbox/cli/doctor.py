"""`kernelbox doctor`: a table of what works here, what does not, and what mends it."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Sequence

import click

from kernelbox.engine import doctor
from kernelbox.engine.doctor import Check

__all__ = ["command", "table"]

_COLOURS = {"works": "green", "degraded": "yellow", "missing": "red"}
_FIELDS = ("name", "state", "detail", "mend")


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Write the checks as JSON: name, state, detail, mend.")
def command(as_json: bool) -> None:
    """Try what this machine can do for containers.

    Each line says whether a thing works, works in part (~) or is missing, and then what mends it.

    What is made for it is removed again. Two switches of the kernel may stay on, as after every container: with version
    2 of control groups the controllers of the group that ours are made in, with version 1 the counting of what each
    group reads and writes.
    """
    checks = doctor.report()
    if as_json:
        rows = [{field: getattr(check, field) for field in _FIELDS} for check in checks]
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        click.echo(table(checks, min(shutil.get_terminal_size((100, 24)).columns, 120)), nl=False)


def table(checks: Sequence[Check], width: int = 100) -> str:
    """A line for each check, more where its text is long; what mends it stands below."""
    names = max(len(check.name) for check in checks)
    indent = " " * (2 + 9 + names + 2)
    room = max(30, width - len(indent))
    lines = []
    for check in checks:
        sign = click.style(f"{doctor.SIGNS[check.state]} {check.state:<8}", fg=_COLOURS[check.state])
        first, *rest = textwrap.wrap(check.detail, room, break_long_words=False) or [""]
        lines.append(f"{sign} {check.name:<{names}}  {first}")
        lines += [indent + line for line in rest]
        if check.mend:
            wrapped = textwrap.wrap(
                f"→ {check.mend}", room, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
            )
            lines += [indent + line for line in wrapped]
    return "\n".join([*lines, "", doctor.summary(checks), ""])
