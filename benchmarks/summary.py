"""Raw samples to medians with confidence intervals, and those to a table, hyperfine's JSON and a picture (SVG)."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

Scale = Callable[[float], float]
"""Milliseconds to a horizontal place in the picture."""

RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Summary:
    """In the samples' unit; `low` and `high` bound the median with 95 % confidence (percentile bootstrap)."""

    median: float
    low: float
    high: float
    least: float
    count: int


def summarise(samples: Sequence[float]) -> Summary:
    chance = random.Random(1)  # the same samples give the same interval
    medians = sorted(statistics.median(chance.choices(samples, k=len(samples))) for _ in range(RESAMPLES))
    low, high = medians[int(RESAMPLES * 0.025)], medians[int(RESAMPLES * 0.975)]
    return Summary(statistics.median(samples), low, high, min(samples), len(samples))


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


def starts_table(samples: Mapping[str, Sequence[float]], reference: str) -> str:
    """Milliseconds for each name, and how many times as long as `reference` it takes."""
    rows = [("one start of `true`", "median ms", "95 % interval", "least", "runs", f"times {reference}")]
    base = statistics.median(samples[reference]) if reference in samples else math.nan
    for name, values in samples.items():
        found = summarise([1000 * value for value in values])
        ratio = "" if math.isnan(base) else f"{found.median / 1000 / base:.2f}"
        interval = f"{found.low:.2f} to {found.high:.2f}"
        rows.append((name, f"{found.median:.2f}", interval, f"{found.least:.2f}", str(found.count), ratio))
    return table(rows)


def hyperfine(samples: Mapping[str, Sequence[float]]) -> dict[str, object]:
    """The format of `hyperfine --export-json`, which other programs read; seconds."""
    return {
        "results": [
            {
                "command": name,
                "mean": statistics.fmean(values),
                "stddev": statistics.stdev(values) if len(values) > 1 else None,
                "median": statistics.median(values),
                "min": min(values),
                "max": max(values),
                "times": list(values),
            }
            for name, values in samples.items()
        ]
    }


LEFT, WIDTH, ROW, TOP = 190, 620, 30, 46


def picture(samples: Mapping[str, Sequence[float]], caption: str) -> str:
    """Every sample as a dot on a logarithmic scale of milliseconds, the median as a line, its interval as a box."""
    values = [1000 * value for row in samples.values() for value in row]
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    height = TOP + ROW * len(samples) + 40

    def x(milliseconds: float) -> float:
        return LEFT + WIDTH * (math.log10(milliseconds) - first) / max(last - first, 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 100} {height}" '
        'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>',
        '<text x="12" y="20" font-size="14">Milliseconds to start and end a container that runs true</text>',
    ]
    for power in range(first, last + 1):
        at = x(10**power)
        parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP - 8}" y2="{height - 34}" stroke="#ccc"/>')
        parts.append(f'<text x="{at:.1f}" y="{height - 20}" text-anchor="middle">{10.0**power:g}</text>')
    for number, (name, row) in enumerate(samples.items()):
        parts += picture_row(name, [1000 * value for value in row], TOP + ROW * number, x)
    parts.append(f'<text x="12" y="{height - 4}" fill="#666" font-size="10">{escape(caption)}</text></svg>')
    return "\n".join(parts)


def picture_row(name: str, row: Sequence[float], y: float, x: Scale) -> list[str]:
    found = summarise(row)
    colour = "#c0392b" if name.startswith("kernelbox") else "#34608f"
    middle, width = y + ROW / 2 - 4, max(x(found.high) - x(found.low), 1)
    dots = (f'<circle cx="{x(value):.1f}" cy="{middle:.1f}" r="2"/>' for value in row)
    return [
        f'<text x="{LEFT - 10}" y="{middle + 4:.1f}" text-anchor="end">{escape(name)}</text>',
        f'<g fill="{colour}" fill-opacity="0.25">{"".join(dots)}</g>',
        f'<rect x="{x(found.low):.1f}" y="{y + 3:.1f}" width="{width:.1f}" height="{ROW - 14}" fill="{colour}" '
        'fill-opacity="0.35"/>',
        f'<line x1="{x(found.median):.1f}" x2="{x(found.median):.1f}" y1="{y + 1:.1f}" y2="{y + ROW - 9:.1f}" '
        f'stroke="{colour}" stroke-width="2"/>',
        f'<text x="{x(max(row)) + 8:.1f}" y="{middle + 4:.1f}">{found.median:.2f}</text>',
    ]
