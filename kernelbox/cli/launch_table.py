"""A launch as a table of text: a row per step, with bars that show when it ran and for how long."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from kernelbox.oci.units import format_duration
from kernelbox.oci.value import frozen
from kernelbox.runtime.plan import Plan
from kernelbox.runtime.steps.base import LAST
from kernelbox.runtime.trace import Span, TraceRow, command_us, longest, with_short_ids

__all__ = ["PlanRow", "plan_rows", "plan_text", "trace_text"]

_BAR = 16
_SYSCALLS = 24
_WHERE = 8
_TIME = 9
_WIDEST, _NARROWEST, _ELSEWHERE = 160, 100, 120
"""Columns: at most, at least, and where the text goes to a file."""
_EIGHTHS = "▏▎▍▌▋▊▉█"


@frozen
class PlanRow:
    """A step that would be done."""

    number: int
    step: str
    where: str
    what: str
    syscall: str


def plan_rows(plan: Plan) -> tuple[PlanRow, ...]:
    """The steps of a plan, numbered from 1."""
    return tuple(
        PlanRow(number + 1, type(step).__name__, plan.where(number), step.describe(), step.syscall)
        for number, step in enumerate(plan.steps)
    )


def plan_text(rows: Sequence[PlanRow], width: int | None = None) -> str:
    """A line for each step: number, where it runs, what it does, by which system calls."""
    room = (width or _width()) - 4 - _WHERE - 1 - _SYSCALLS
    what = min(room, max((len(with_short_ids(row.what)) for row in rows), default=0))
    lines = [f"{'':>3} {'where':<{_WHERE}}{'what':<{what}} system calls"]
    lines += [
        f"{row.number:>3} {row.where:<{_WHERE}}{_cut(with_short_ids(row.what), what):<{what}} {row.syscall}"
        for row in rows
    ]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def trace_text(rows: Sequence[TraceRow], width: int | None = None) -> str:
    """The same for steps that were done, with start, duration and a bar. The step that failed says why.

    The time that the command itself ran is left out of the bars."""
    if not rows:
        return "no step was done\n"
    room = (width or _width()) - 4 - _WHERE - 1 - _SYSCALLS - 2 * _TIME - 2 - _BAR
    what = max(20, min(room, max(len(with_short_ids(row.what)) for row in rows)))
    launch = [row for row in rows if row.where != LAST]
    rest = [row for row in rows if row.where == LAST]
    ran = command_us(_spans(rows))
    total = _end(rows) - ran or 1.0
    head = (
        f"{'':>3} {'where':<{_WHERE}}{'what':<{what}} {'system calls':<{_SYSCALLS}}{'start':>{_TIME}}{'took':>{_TIME}}"
    )
    lines = [_summary(launch, rest), head, *(_line(row, what, total, 0.0) for row in launch)]
    if rest:
        lines.append(f"    {'':<{_WHERE}}the command runs for {_time(ran)}")
    lines += [_line(row, what, total, ran) for row in rest]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _end(rows: Sequence[TraceRow]) -> float:
    return max((row.start_us + row.duration_us for row in rows), default=0.0)


def _summary(launch: Sequence[TraceRow], rest: Sequence[TraceRow]) -> str:
    parts = [f"started in {_time(_end(launch))} by {len(launch)} steps"]
    if rest:
        parts.append(f"cleaned up in {_time(_end(rest) - rest[0].start_us)} by {len(rest)}")
    row = (*launch, *rest)[longest(_spans((*launch, *rest))) or 0]
    return f"{', '.join(parts)}; the longest is {row.number}: {with_short_ids(row.what)} ({_time(row.duration_us)})"


def _spans(rows: Sequence[TraceRow]) -> list[Span]:
    return [(row.where, row.start_us, row.duration_us) for row in rows]


def _line(row: TraceRow, what: int, total: float, ran: float) -> str:
    text = f"{row.number:>3} {row.where:<{_WHERE}}{_cut(with_short_ids(row.what), what):<{what}}"
    calls = f"{_cut(row.syscall, _SYSCALLS - 1):<{_SYSCALLS}}"
    times = f"{_time(row.start_us):>{_TIME}}{_time(row.duration_us):>{_TIME}}"
    bar = _bar((row.start_us - ran) / total, row.duration_us / total)
    return f"{text} {calls}{times}  {f'failed: {os.strerror(row.errno).lower()}' if row.errno else bar}"


def _bar(start: float, length: float) -> str:
    """In eighths of a character; a step is never invisible."""
    first = min(int(start * _BAR), _BAR - 1)
    eighths = min(max(1, round(length * _BAR * 8)), (_BAR - first) * 8)
    whole, rest = divmod(eighths, 8)
    return " " * first + _EIGHTHS[-1] * whole + (_EIGHTHS[rest - 1] if rest else "")


def _time(microseconds: float) -> str:
    return format_duration(microseconds / 1e6)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _width() -> int:
    return max(_NARROWEST, min(shutil.get_terminal_size((_ELSEWHERE, 24)).columns, _WIDEST))
