"""Raw samples to medians with intervals that assume nothing about how the samples are distributed."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
RESAMPLES = 2000
FEWEST_PAIRS = 6


@dataclass(frozen=True, slots=True)
class Summary:
    """In the samples' unit. The true median lies between `low` and `high` with the probability `confidence`."""

    median: float
    low: float
    high: float
    confidence: float
    least: float
    most: float
    count: int

    def interval(self, places: int) -> str:
        """Says so where there are too few samples for 95 %."""
        if self.count < 2:
            return "-"
        few = "" if self.confidence >= CONFIDENCE else f" ({100 * self.confidence:.0f} %)"
        return f"{self.low:.{places}f} to {self.high:.{places}f}{few}"


def left_off(count: int) -> tuple[int, float]:
    """How many of `count` ordered samples may be left off at each end so that the others still enclose the median with
    95 %, and with how many they do: the number of samples below a median is binomial. 0 where all are too few."""
    every, ways, tail, dropped = 1 << count, 1, 1, 0  # whole numbers: no float is as small as 0.5**10000
    while dropped + 1 < count / 2:
        ways = ways * (count - dropped) // (dropped + 1)
        if 1 - 2 * (tail + ways) / every < CONFIDENCE:
            break
        tail, dropped = tail + ways, dropped + 1
    return dropped, max(1 - 2 * tail / every, 0.0)


def summarise(samples: Sequence[float], unit: float = 1.0) -> Summary:
    """Of samples that are multiplied by `unit` first."""
    ordered = sorted(unit * value for value in samples)
    dropped, confidence = left_off(len(ordered))
    low, high = ordered[dropped], ordered[-1 - dropped]
    return Summary(statistics.median(ordered), low, high, confidence, ordered[0], ordered[-1], len(ordered))


@dataclass(frozen=True, slots=True)
class Ratio:
    """Of two medians, with its 95 % interval (bootstrap over the rounds, in which both were measured)."""

    value: float
    low: float
    high: float

    def text(self) -> str:
        return f"{self.value:.2f}" if math.isnan(self.low) else f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


def ratio(of: Mapping[int, float], to: Mapping[int, float]) -> Ratio | None:
    """Of samples by round; None where no round has both."""
    pairs = [(of[number], to[number]) for number in sorted(of.keys() & to.keys())]
    if not pairs:
        return None
    value = ratio_of_medians(pairs)
    if len(pairs) < FEWEST_PAIRS:
        return Ratio(value, math.nan, math.nan)
    chance = random.Random(1)  # the same samples give the same interval
    values = sorted(ratio_of_medians(chance.choices(pairs, k=len(pairs))) for _ in range(RESAMPLES))
    return Ratio(value, values[int(RESAMPLES * 0.025)], values[int(RESAMPLES * 0.975)])


def ratio_of_medians(pairs: Sequence[tuple[float, float]]) -> float:
    return statistics.median(pair[0] for pair in pairs) / statistics.median(pair[1] for pair in pairs)


def table(rows: Iterable[Sequence[str]]) -> str:
    """Columns as wide as they need to be: the first to the left, the others to the right."""
    rows = list(rows)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    aligned = (
        [
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in rows
    )
    return "\n".join("  ".join(cells).rstrip() for cells in aligned)


def after(pause: int) -> str:
    """The condition that a start was measured under."""
    return f"after {pause} ms of rest" if pause else "right after another one"


def hyperfine(samples: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, object]:
    """The format of `hyperfine --export-json`, which other programs read; seconds, by condition and name."""
    return {
        "results": [
            {
                "command": f"{name}, {condition}",
                "mean": statistics.fmean(values),
                "stddev": statistics.stdev(values) if len(values) > 1 else None,
                "median": statistics.median(values),
                "min": min(values),
                "max": max(values),
                "times": list(values),
            }
            for condition, rows in samples.items()
            for name, values in rows.items()
        ]
    }
