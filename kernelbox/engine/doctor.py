"""What this machine can do for containers: everything is tried, and what is made for it is removed again.

What stays is what the first container would switch on too: the controllers of the v2 group that ours are made in, the
counting of disks on v1. They are not switched off: containers that were started meanwhile would lose their limits.

>>> from kernelbox.engine import doctor
>>> [check.name for check in doctor.report() if check.state != "works"]          # doctest: +SKIP
['disk weight', 'swap limit']
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from kernelbox.engine import doctor_container, doctor_isolation, doctor_limits, doctor_machine
from kernelbox.engine.doctor_check import Check, State
from kernelbox.store.paths import StorePaths

__all__ = ["SIGNS", "Check", "State", "html", "report", "summary"]

SIGNS: dict[str, str] = {"works": "✔", "degraded": "~", "missing": "✘"}
_COLOURS = {"works": "#009E73", "degraded": "#B07A00", "missing": "#C44E00"}


def report(paths: StorePaths | None = None) -> tuple[Check, ...]:
    """Every check, in the order of reading: the machine, isolation, limits, the store, a container. Takes well under a
    second. `paths` is the store to look at (default: the one an Engine would use)."""
    store = paths or StorePaths.of()
    isolation = doctor_isolation.checks(store.root)
    return (
        *doctor_machine.machine_checks(isolation),
        *isolation,
        *doctor_limits.checks(),
        *doctor_machine.store_checks(store),
        *doctor_container.checks(store.root),
    )


def summary(checks: Iterable[Check]) -> str:
    """One sentence: how many of each state."""
    states = [check.state for check in checks]
    counts = [f"{states.count(state)} {word}" for state, word in _WORDS.items() if state in states]
    return f"{len(states)} checks: {', '.join(counts)}"


_WORDS = {"works": "work", "degraded": "work in part", "missing": "are missing"}


def html(checks: Iterable[Check]) -> str:
    """A table for a notebook, with inline styles only: also an untrusted notebook shows it whole."""
    kept = list(checks)
    head = "".join(f'<th style="text-align:left">{each}</th>' for each in ("", "what", "found", "what mends it"))
    rows = "".join(_row(check) for check in kept)
    return f"<table><caption>{escape(summary(kept))}</caption><tr>{head}</tr>{rows}</table>"


def _row(check: Check) -> str:
    style = f"color:{_COLOURS[check.state]};text-align:left;white-space:nowrap"
    sign = f'<td style="{style}">{SIGNS[check.state]} {check.state}</td>'
    mend = f"<code>{escape(check.mend)}</code>" if check.mend else ""
    cells = "".join(
        f'<td style="text-align:left">{text}</td>' for text in (escape(check.name), escape(check.detail), mend)
    )
    return f"<tr>{sign}{cells}</tr>"
