"""What was promised, and whether it is kept here."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contenders import FAT, KERNELBOX, SHELL_COMMAND
from figures import GONE, IMPORT, MONITOR
from summary import after, ratio, summarise

if TYPE_CHECKING:
    from results import Results

UNKNOWN = "not measured"


@dataclass(frozen=True, slots=True)
class Budget:
    what: str
    limit: str
    measured: str
    verdict: str


def judged(low: float, high: float, limit: float) -> str:
    """Kept or missed by the whole interval of what was measured; less is better."""
    if math.isnan(low):
        return ""
    return "kept" if high <= limit else "missed" if low > limit else "between"


def budgets(results: Results) -> Iterator[Budget]:
    for pause in results.pauses():
        yield from of_starts(results.rounds(pause), after(pause))
    yield rate(f"{KERNELBOX}: starts per second", 400, results.rates().get(KERNELBOX, ()))
    yield in_milliseconds(IMPORT, 80, results.figures.get(IMPORT, ()))
    yield in_milliseconds(GONE, 500, results.figures.get(GONE, ()))
    sizes = results.memory.get(MONITOR, {})
    slope = per_container(sizes)
    yield exactly("monitor, without containers", 1000, sizes[0] / 1000 if 0 in sizes else None)
    yield exactly("monitor, per idle container", 10, None if slope is None else slope / 1000)


def of_starts(rounds: Mapping[str, Mapping[int, float]], when: str) -> Iterator[Budget]:
    for name in (KERNELBOX, f"{KERNELBOX}, {FAT} MB heap"):
        yield in_milliseconds(f"{name}: start {when}", 3, list(rounds.get(name, {}).values()))
        yield share(f"{name}: of crun's start {when}", 1 / 4, rounds.get(name, {}), rounds.get("crun", {}))
    ours, podman = rounds.get(SHELL_COMMAND, {}), rounds.get("podman", {})
    yield in_milliseconds(f"{SHELL_COMMAND}: start {when}", 150, list(ours.values()))
    yield share(f"{SHELL_COMMAND}: of podman's start {when}", 1 / 3, ours, podman)


def in_milliseconds(what: str, limit: float, samples: Sequence[float]) -> Budget:
    if not samples:
        return Budget(what, f"{limit:g} ms", UNKNOWN, "")
    found = summarise(samples, 1000)
    return Budget(what, f"{limit:g} ms", f"{found.median:.2f} ms", judged(found.low, found.high, limit))


def share(what: str, limit: float, of: Mapping[int, float], to: Mapping[int, float]) -> Budget:
    found = ratio(of, to)
    if found is None:
        return Budget(what, f"{limit:.2f}", UNKNOWN, "")
    return Budget(what, f"{limit:.2f}", f"{found.value:.2f}", judged(found.low, found.high, limit))


def rate(what: str, limit: float, samples: Sequence[float]) -> Budget:
    if not samples:
        return Budget(what, f"{limit:g}", UNKNOWN, "")
    found = summarise(samples)
    return Budget(what, f"{limit:g}", f"{found.median:.0f}", judged(-found.high, -found.low, -limit))


def exactly(what: str, limit: float, kilobytes: float | None) -> Budget:
    """Of one measurement."""
    if kilobytes is None:
        return Budget(what, f"{limit:g} kB", UNKNOWN, "")
    return Budget(what, f"{limit:g} kB", f"{kilobytes:.1f} kB", judged(kilobytes, kilobytes, limit))


def per_container(sizes: Mapping[int, int]) -> float | None:
    """The slope of a line through all sizes, in bytes; None where there is no line."""
    if len(sizes) < 2:
        return None
    return statistics.linear_regression(list(sizes), list(sizes.values())).slope
