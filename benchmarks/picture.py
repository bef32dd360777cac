"""The starts as a picture (SVG): every sample a dot on a logarithmic scale of milliseconds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

from summary import Summary, summarise

Scale = Callable[[float], float]
"""Milliseconds to a horizontal place."""

LETTER = 7.0
"""About how wide a letter of size 12 is."""
WIDTH, ROW, TOP, RIGHT, HEADING = 680, 32, 76, 90, 30
OURS, OTHERS = "#D55E00", "#0072B2"
"""Of Okabe and Ito's colours, which people with any colour vision tell apart."""
SPREAD = (0, -5, 4, -2, 6, -6, 2, -4, 5, -1, 3, -3, 1)
"""By how much dots are moved up and down, so that each of many is seen."""


STARTS = "Milliseconds to start a container, run true and be rid of it"


def picture(samples: Mapping[str, Mapping[str, Sequence[float]]], caption: Sequence[str], title: str = STARTS) -> str:
    """`samples` are seconds by condition and name, at least one of them; names that begin with "kernelbox" are in our
    colour."""
    values = [1000 * value for rows in samples.values() for row in rows.values() for value in row]
    first, last = decade_part(min(values), math.floor), decade_part(max(values), math.ceil)
    left = 24 + LETTER * max(len(name) for rows in samples.values() for name in rows)
    bottom = TOP + sum(HEADING + ROW * len(rows) for rows in samples.values())

    def x(milliseconds: float) -> float:
        return left + WIDTH * math.log(milliseconds / first) / math.log(last / first)

    parts = [*head(title, left + WIDTH + RIGHT, bottom + 40 + 15 * len(caption)), *grid(first, last, bottom, x)]
    y = TOP
    for condition, rows in samples.items():
        parts.append(f'<text x="12" y="{y + 20}" font-weight="bold">{escape(condition)}</text>')
        y += HEADING
        for name, row in rows.items():
            parts += picture_row(name, [1000 * value for value in row], y, left, x)
            y += ROW
    parts += [
        f'<text x="12" y="{bottom + 38 + 15 * number:.0f}" fill="#555" font-size="11">{escape(line)}</text>'
        for number, line in enumerate(caption)
    ]
    return "\n".join([*parts, "</svg>"])


def head(title: str, width: float, height: float) -> list[str]:
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="img" font-family="sans-serif" font-size="12"><title>{title}</title>',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="12" y="22" font-size="16">{title}</text>',
        '<text x="12" y="42" fill="#555">a dot is one time · the line is the median, with its number · the box is its '
        "interval · the scale is logarithmic, and less is faster</text>",
    ]


def decade_part(value: float, whole: Callable[[float], int]) -> float:
    """The next 1, 2 or 5 times a power of ten below (floor) or above (ceil); never `value` itself."""
    steps = [factor * 10.0**power for power in range(-6, 9) for factor in (1, 2, 5)]
    return max(step for step in steps if step < value) if whole is math.floor else min(s for s in steps if s > value)


def grid(first: float, last: float, bottom: float, x: Scale) -> list[str]:
    parts = []
    steps = [factor * 10.0**power for power in range(-6, 9) for factor in range(1, 10)]
    for step in (step for step in steps if first * 0.999 <= step <= last * 1.001):
        at, digit = x(step), f"{step:.0e}"[0]
        colour = "#bbb" if digit == "1" else "#e6e6e6"
        parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP - 6}" y2="{bottom:.0f}" stroke="{colour}"/>')
        if digit in "125":
            parts.append(f'<text x="{at:.1f}" y="{TOP - 12}" fill="#555" text-anchor="middle">{step:g}</text>')
            parts.append(f'<text x="{at:.1f}" y="{bottom + 16:.0f}" fill="#555" text-anchor="middle">{step:g}</text>')
    return parts


def picture_row(name: str, row: Sequence[float], y: float, left: float, x: Scale) -> list[str]:
    found = summarise(row)
    colour = OURS if name.startswith("kernelbox") else OTHERS
    middle = y + ROW / 2
    dots = (
        f'<circle cx="{x(value):.1f}" cy="{middle + SPREAD[number % len(SPREAD)]:.1f}" r="2.2"/>'
        for number, value in enumerate(row)
    )
    return [
        f'<text x="{left - 12:.1f}" y="{middle + 4:.1f}" text-anchor="end">{escape(name)}</text>',
        *interval_box(found, middle, colour, x),
        f'<g fill="{colour}" fill-opacity="0.45">{"".join(dots)}</g>',
        f'<line x1="{x(found.median):.1f}" x2="{x(found.median):.1f}" y1="{middle - 13:.1f}" y2="{middle + 13:.1f}" '
        f'stroke="{colour}" stroke-width="2.5"/>',
        f'<text x="{x(max(row)) + 9:.1f}" y="{middle + 4:.1f}" font-weight="bold" fill="{colour}">'
        f"{found.median:#.3g}".rstrip(".")
        + "</text>",
    ]


def interval_box(found: Summary, middle: float, colour: str, x: Scale) -> list[str]:
    if found.count < 2:
        return []
    wide = max(x(found.high) - x(found.low), 1)
    return [
        f'<rect x="{x(found.low):.1f}" y="{middle - 10:.1f}" width="{wide:.1f}" height="20" fill="{colour}" '
        f'fill-opacity="0.18" stroke="{colour}" stroke-opacity="0.6"/>'
    ]
