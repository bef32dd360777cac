"""A launch as a table of text: a row per step, with bars that show when it ran and for how long."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence

from kernelbox.oci.value import frozen
from kernelbox.runtime.plan import Plan
from kernelbox.runtime.trace import TraceRow

__all__ = ["PlanRow", "plan_rows", "plan_text", "trace_text"]

_BAR = 20
_SYSCALLS = 22
_ID = re.compile(r"\b[0-9a-f]{64}\b")


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
    room = (width or _width()) - 4 - 9 - 2 - _SYSCALLS
    what = min(room, max((len(_short(row.what)) for row in rows), default=0))
    lines = [f"{'':>3} {'where':<8} {'what':<{what}}  system calls"]
    lines += [f"{row.number:>3} {row.where:<8} {_cut(_short(row.what), what):<{what}}  {row.syscall}" for row in rows]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def trace_text(rows: Sequence[TraceRow], width: int | None = None) -> str:
    """The same for steps that were done, with start, duration and a bar. The step that failed says why."""
    if not rows:
        return "no step was done\n"
    total = max(row.start_us + row.duration_us for row in rows) or 1.0
    room = (width or _width()) - 4 - 9 - 2 - _SYSCALLS - 9 - 9 - 2 - _BAR
    what = max(20, min(room, max(len(_short(row.what)) for row in rows)))
    longest = max(rows, key=lambda row: row.duration_us)
    lines = [
        f"{len(rows)} steps in {_time(total)}, the longest: {_short(longest.what)} ({_time(longest.duration_us)})",
        f"{'':>3} {'where':<8} {'what':<{what}}  {'system calls':<{_SYSCALLS}} {'start':>8} {'took':>8}",
    ]
    lines += [_trace_line(row, what, total) for row in rows]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _trace_line(row: TraceRow, what: int, total: float) -> str:
    import os

    calls = _cut(row.syscall, _SYSCALLS)
    times = f"{_time(row.start_us):>8} {_time(row.duration_us):>8}"
    end = (
        f"failed: {os.strerror(row.errno).lower()}"
        if row.errno
        else _bar(row.start_us / total, row.duration_us / total)
    )
    return f"{row.number:>3} {row.where:<8} {_cut(_short(row.what), what):<{what}}  {calls:<{_SYSCALLS}} {times}  {end}"


def _bar(start: float, length: float) -> str:
    """In eighths of a character at its end; a step is never invisible."""
    first = min(int(start * _BAR), _BAR - 1)
    eighths = max(1, round(length * _BAR * 8))
    whole, rest = divmod(min(eighths, (_BAR - first) * 8), 8)
    return " " * first + "█" * whole + (" ▏▎▍▌▋▊▉"[rest] if rest else "")


def _time(microseconds: float) -> str:
    """As people say it: `3.2 µs`, `412 µs`, `1.84 ms`."""
    if microseconds >= 1000:
        return f"{microseconds / 1000:.2f} ms"
    return f"{microseconds:.1f} µs" if microseconds < 10 else f"{microseconds:.0f} µs"


def _short(text: str) -> str:
    """Ids of containers as Docker shows them."""
    return _ID.sub(lambda found: found[0][:12], text)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _width() -> int:
    return max(90, min(shutil.get_terminal_size((100, 24)).columns, 160))
