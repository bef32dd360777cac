"""The trace of a launch: for each step where it ran, what it did, by which system calls, and how long it took."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kernelbox.runtime.connection import Traced
from kernelbox.runtime.plan import EncodedPlan

__all__ = ["TraceRow", "trace_rows"]


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
        rows.append(
            TraceRow(number + 1, type(step).__name__, plan.where(number), step.describe(), step.syscall, *times, error)
        )
    return tuple(rows)
