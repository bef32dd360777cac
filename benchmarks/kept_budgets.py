"""What was promised of containers that are kept, and whether it is kept here."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import TYPE_CHECKING

from budgets import UNKNOWN, Budget, exactly, in_milliseconds, judged, rate, share
from contenders import KERNELBOX
from kept_contenders import PLAIN
from summary import after, summarise

if TYPE_CHECKING:
    from kept_results import LifeResults

FLAT = {
    "monitor bytes": "bytes of the monitor",
    "engine bytes": "bytes of the engine",
    "monitor descriptors": "descriptors of the monitor",
    "engine descriptors": "descriptors of the engine",
    "control groups": "control groups",
}


def slope(results: LifeResults, name: str) -> float | None:
    """By how much a number grows with each container that runs; None where there is no line."""
    points = [(each.running, each.numbers[name]) for each in results.grown if name in each.numbers]
    if len(points) < 2:
        return None
    return statistics.linear_regression(*zip(*points, strict=True)).slope


def budgets(results: LifeResults) -> Iterator[Budget]:
    for pause in results.execs.pauses():
        rounds = results.execs.rounds(pause)
        ours = rounds.get(KERNELBOX, {})
        yield in_milliseconds(f"exec {after(pause)}", 0.6, list(ours.values()))
        floor = rounds.get(PLAIN, {})
        more = [ours[number] - floor[number] for number in sorted(ours.keys() & floor.keys())]
        yield in_milliseconds(f"exec, less the same program without a container, {after(pause)}", 0.6, more)
        yield share(f"exec, of crun's {after(pause)}", 1 / 10, ours, rounds.get("crun", {}))
    yield rate("starts per second of containers that are kept", 200, results.keeps.rates().get(KERNELBOX, ()))
    for pause in results.stops.pauses():
        yield in_milliseconds(f"stop {after(pause)}", 20, list(results.stops.rounds(pause).get(KERNELBOX, {}).values()))
    yield from of_many(results)


def of_many(results: LifeResults) -> Iterator[Budget]:
    memory = [slope(results, name) for name in ("monitor bytes", "engine bytes")]
    known = [each for each in memory if each is not None]
    yield exactly("memory per idle container, monitor and engine", 10, sum(known) / 1000 if len(known) == 2 else None)
    if not results.grown:
        return
    last = results.grown[-1]
    yield in_milliseconds(f"list of {last.running} containers", 50, last.lists)
    yield all_started(results)
    yield of_one_more(results)


def all_started(results: LifeResults) -> Budget:
    """All of them together, one measurement."""
    started, seconds = (sum(getattr(each, name) for each in results.grown) for name in ("started", "seconds"))
    if not seconds:
        return Budget("starts per second up to so many", "200", UNKNOWN, "")
    found = started / seconds
    return Budget(f"starts per second of {started}", "200", f"{found:.0f}", judged(-found, -found, -200))


def of_one_more(results: LifeResults) -> Budget:
    """A temporary container's run among many against one among none; the interval is that of both medians."""
    limit = 4.0 if results.memory_groups else 2.0
    none, many = summarise(results.grown[0].runs), summarise(results.grown[-1].runs)
    words = "with memory groups" if results.memory_groups else "without memory groups"
    what = f"a run among {results.grown[-1].running}, of one among none ({words})"
    verdict = judged(many.low / none.high, many.high / none.low, limit)
    return Budget(what, f"{limit:g} times", f"{many.median / none.median:.2f}", verdict)
