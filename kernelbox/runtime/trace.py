"""The trace of a launch: for each step where it ran, what it did, by which system calls, and how long it took."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kernelbox.runtime.connection import Traced
from kernelbox.runtime.plan import EncodedPlan
from kernelbox.runtime.steps.base import LAST

__all__ = ["Span", "TraceRow", "command_us", "longest", "trace_rows", "with_short_ids"]

_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")

Span = tuple[str, float, float]
"""(where, start_us, duration_us) of a step."""


@dataclass(frozen=True, slots=True)
class TraceRow:
    """One step. Times in microseconds, `start_us` since the monitor began with the plan; `errno` 0 where it
    succeeded."""

    number: int
    step: str
    where: str
    what: str
    syscall: str
    start_us: float
    duration_us: float
    errno: int = 0


def trace_rows(encoded: EncodedPlan, traced: Iterable[Traced]) -> tuple[TraceRow, ...]:
    """Sums the operations of each step; steps that were not reached are left out."""
    plan, owners = encoded.plan, encoded.owners
    steps = plan.steps
    spans: dict[int, tuple[int, int, int]] = {}
    for start, end, error, operation in traced:
        if not start:
            continue
        owner = owners[operation]
        first, used, worst = spans.get(owner, (start, 0, 0))
        spans[owner] = (first, used + max(end - start, 0), worst or error)
    if not spans:
        return ()
    origin = min(first for first, _, _ in spans.values())
    rows = []
    for number, (first, used, error) in sorted(spans.items()):
        step = steps[number]
        times = ((first - origin) / 1000, used / 1000)
        what = encoded.describe(step)
        rows.append(TraceRow(number + 1, type(step).__name__, plan.where(number), what, step.syscall, *times, error))
    return tuple(rows)


def command_us(spans: Sequence[Span]) -> float:
    """How long the command itself ran: from the end of the launch to the first step after the end."""
    begun = max((start + took for where, start, took in spans if where != LAST), default=0.0)
    return max(next((start - begun for where, start, _ in spans if where == LAST), 0.0), 0.0)


def longest(spans: Sequence[Span]) -> int | None:
    """The place of the longest step, without those that last until others have been done, as clone3 with CLONE_VFORK
    does until exec; None where there are no steps."""
    following = [*(start for _, start, _ in spans[1:]), float("inf")]
    single = [at for at, (_, start, took) in enumerate(spans) if start + took <= following[at]]
    return max(single, key=lambda at: spans[at][2], default=None)


def with_short_ids(text: str) -> str:
    """Ids of containers in it as Docker shows them, by twelve digits."""
    return _ID.sub(lambda found: found[0][:12], text)
