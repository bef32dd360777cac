"""DataFrames of what containers did: the cost of runs, and the steps of a launch with its timeline.

The only module of the engine that imports pandas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from html import escape
from itertools import groupby
from typing import Any

import pandas as pd

from kernelbox.metrics import USAGE_COLUMNS, usage_row
from kernelbox.oci.units import format_duration
from kernelbox.runtime.steps.base import LAST
from kernelbox.runtime.trace import command_us, longest, with_short_ids

TRACE_COLUMNS: dict[str, str] = {
    "number": "int64",
    "step": "category",
    "where": "category",
    "what": "str",
    "syscall": "category",
    "start_us": "float64",
    "duration_us": "float64",
    "errno": "int64",
}
"""The columns of a launch: times in microseconds since the launch began, errno 0 for a step that went well."""

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
"""Okabe and Ito's eight, which people with any colour vision tell apart (https://jfly.uni-koeln.de/color/)."""
SHADES = "█▒▓░"
"""How the text form tells the places apart."""
CHART_WIDTH = 40
TEXT_WIDTH = 48
VEGA_LITE = "application/vnd.vegalite.v5+json"


def usage_frame(runs: Iterable[Any]) -> pd.DataFrame:
    """One row per finished run, with USAGE_COLUMNS."""
    return rows_frame([usage_row(run) for run in runs])


def rows_frame(rows: Iterable[Mapping[str, object]], first: Mapping[str, str] | None = None) -> pd.DataFrame:
    """A frame of rows that `usage_row` made; `first` are more columns to put in front, with their types."""
    kept = list(rows)
    types = {**(first or {}), **USAGE_COLUMNS}
    frame = pd.DataFrame({name: _typed([row[name] for row in kept], kind) for name, kind in types.items()})
    frame.attrs["units"] = {name: unit for name in types if (unit := _unit(name))}
    return frame


IMAGE_COLUMNS: dict[str, str] = {
    "name": "str",
    "id": "str",
    "created": "datetime64[ns, UTC]",
    "size_bytes": "int64",
    "platform": "str",
    "layers": "int64",
}


def images_frame(images: Iterable[Any]) -> pd.DataFrame:
    """One row for each name of an image, with IMAGE_COLUMNS."""
    rows = [
        (name, each.id, each.created_at, each.size, each.platform, len(each.layers))
        for each in images
        for name in each.tags or ("<none>",)
    ]
    columns = enumerate(IMAGE_COLUMNS.items())
    frame = pd.DataFrame({name: _typed([row[at] for row in rows], kind) for at, (name, kind) in columns})
    frame.attrs["units"] = {"size_bytes": "bytes"}
    return frame


def history_frame(steps: Iterable[Any]) -> pd.DataFrame:
    """One row for each step of how an image was made; `created` is the beginning of 1970 where nobody knows."""
    rows = [(step.Created, step.CreatedBy, step.Size, step.Comment) for step in steps]
    kinds = {"created": "datetime64[ns, UTC]", "created_by": "str", "size_bytes": "int64", "comment": "str"}
    columns = enumerate(kinds.items())
    frame = pd.DataFrame({name: _typed([row[at] for row in rows], kind) for at, (name, kind) in columns})
    frame.attrs["units"] = {"size_bytes": "bytes"}
    return frame


def _typed(values: list[Any], kind: str) -> pd.Series[Any]:
    if kind.startswith("datetime"):
        nanoseconds = pd.Series([round(value * 1e9) for value in values], dtype="int64")
        return nanoseconds.astype("datetime64[ns]").dt.tz_localize("UTC")
    return pd.Series(values, dtype=kind)


def _unit(column: str) -> str:
    words = column.removesuffix("_total").rsplit("_", 1)
    return words[-1] if words[-1] in ("seconds", "bytes") else ""


class LaunchFrame(pd.DataFrame):
    """The steps of one launch. Shown by itself in a notebook it draws itself as a timeline; what is made of it (head,
    a selection, a sum) is an ordinary DataFrame."""

    _metadata = ["title"]  # noqa: RUF012  # the name and form that pandas asks for
    title: str

    @property
    def _constructor(self) -> Callable[..., pd.DataFrame]:
        return pd.DataFrame

    def timeline(self) -> LaunchTimeline:
        """The picture, for a notebook: `.table()` of it is one for places that draw no charts."""
        return LaunchTimeline(self)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        return self.timeline()._repr_mimebundle_()

    def _repr_html_(self) -> None:  # a notebook prefers HTML to the chart if there is any
        return None


def trace_frame(trace: Iterable[Any], title: str = "launch") -> LaunchFrame:
    """The rows of a launch's trace, which have the attributes TRACE_COLUMNS, as a DataFrame."""
    rows = list(trace)
    frame = LaunchFrame({name: pd.Series([getattr(row, name) for row in rows]) for name in TRACE_COLUMNS})
    typed = LaunchFrame(frame.astype(TRACE_COLUMNS))
    typed.title = title
    typed.attrs["units"] = {"start_us": "microseconds", "duration_us": "microseconds"}
    return typed


class LaunchTimeline:
    """A launch as a picture: a Vega-Lite chart, which notebooks draw also when they are not trusted; elsewhere text.

    Steps of one kind that follow each other, as the masking of some thirty paths does, share a bar."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.title = getattr(frame, "title", None) or "launch"
        steps: list[dict[str, Any]] = frame.to_dict("records")  # type: ignore[assignment]  # its keys are text
        self.steps = len(steps)
        spans = [(str(row["where"]), float(row["start_us"]), float(row["duration_us"])) for row in steps]
        at = longest(spans)
        self.longest = None if at is None else steps[at]
        self.ran = command_us(spans)
        self.rows = [_bar_of(list(group)) for _, group in groupby(steps, lambda row: (row["step"], row["where"]))]
        for row in self.rows:
            row["at"] = float(row["start_us"]) - (self.ran if row["where"] == LAST else 0.0)
        self.places = list(dict.fromkeys(str(row["where"]) for row in self.rows))
        self.total = max((row["at"] + row["duration_us"] for row in self.rows), default=0.0) or 1.0

    def sentence(self) -> str:
        """What the picture shows, for those who do not see it."""
        if self.longest is None:
            return f"{self.title}: no steps were recorded"
        ran = f" (the command itself, {_time(self.ran)}, is left out)" if self.ran else ""
        longest = f"{with_short_ids(self.longest['what'])} with {_time(self.longest['duration_us'])}"
        return f"{self.title}: {self.steps} steps in {_time(self.total)}{ran}, the longest is {longest}"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        return {VEGA_LITE: self.vega_lite(), "text/plain": str(self)}

    def __repr__(self) -> str:
        return f"<LaunchTimeline of {self.steps} steps>"

    def __str__(self) -> str:
        shades = dict(zip(self.places, SHADES * len(self.places), strict=False))
        texts = [_shortened(row["what"]) for row in self.rows]
        width = max(map(len, texts), default=0)
        lines = [
            f"{row['number']:>3}  {text:<{width}}  {_time(row['duration_us']):>8}  "
            f"{_bar(row['at'], row['duration_us'], self.total, shades[str(row['where'])])}".rstrip()
            for row, text in zip(self.rows, texts, strict=True)
        ]
        return "\n".join([self.sentence(), *lines, "   ".join(f"{shade} {place}" for place, shade in shades.items())])

    def vega_lite(self) -> dict[str, Any]:
        """The chart as a Vega-Lite 5 document of plain JSON; very short steps are drawn two pixels wide."""
        width = 400  # with the labels and without a legend beside it, no wider than a notebook's cell
        head, _, longest = self.sentence().partition(", the ")
        values = [
            {
                "label": f"{row['number']} {_shortened(row['what'])}",
                "what": row["what"],
                "step": str(row["step"]),
                "where": str(row["where"]),
                "syscall": str(row["syscall"]),
                "start": row["at"],
                "end": row["at"] + max(float(row["duration_us"]), 2 * self.total / width),
                "took": _time(row["duration_us"]),
            }
            for row in self.rows
        ]
        scale = {"domain": self.places, "range": [COLOURS[at % len(COLOURS)] for at in range(len(self.places))]}
        return {
            "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
            "description": self.sentence(),
            "title": {
                "text": head,
                "subtitle": f"the {longest}" if longest else "",
                "anchor": "start",
                "fontWeight": "normal",
            },
            "width": width,
            "height": {"step": 15},
            "data": {"values": values},
            "mark": {"type": "bar", "tooltip": True},
            "encoding": {
                "y": {"field": "label", "type": "nominal", "sort": None, "title": None, "axis": {"labelLimit": 300}},
                "x": {"field": "start", "type": "quantitative", "title": "microseconds, without the command's own"},
                "x2": {"field": "end"},
                "color": {
                    "field": "where",
                    "type": "nominal",
                    "title": "runs",
                    "scale": scale,
                    "legend": {"orient": "top"},
                },
                "tooltip": [{"field": name} for name in ("step", "what", "where", "syscall", "took")],
            },
        }

    def table(self) -> LaunchTable:
        """The same as an HTML table with bars, for places that draw no charts and for slides."""
        return LaunchTable(self)


class LaunchTable:
    """A launch as an HTML table: only what notebooks keep in an output they do not trust (no svg, no style element)."""

    def __init__(self, timeline: LaunchTimeline) -> None:
        self._timeline = timeline

    def __repr__(self) -> str:
        return str(self._timeline)

    def _repr_html_(self) -> str:
        timeline = self._timeline
        colours = dict(zip(timeline.places, COLOURS * len(timeline.places), strict=False))
        head = "".join(f"<th>{name}</th>" for name in ("", "what", "system call", "where", "took", "when"))
        body = "".join(self._row(row, colours[str(row["where"])]) for row in timeline.rows)
        return f"<table><caption>{escape(timeline.sentence())}</caption><tr>{head}</tr>{body}</table>"

    def _row(self, row: Mapping[str, Any], colour: str) -> str:
        took = _time(row["duration_us"])
        cells = [str(row[name]) for name in ("number", "what", "syscall", "where")]
        left, width = (100 * float(row[key]) / self._timeline.total for key in ("at", "duration_us"))
        bar = f"margin-left:{left:.1f}%;width:{max(width, 0.5):.1f}%;background:{colour};height:0.8em"
        text = "".join(f'<td style="text-align:left">{escape(cell)}</td>' for cell in cells)
        return f'<tr>{text}<td>{took}</td><td style="width:24em"><div style="{bar}"></div></td></tr>'


def _time(microseconds: float) -> str:
    return format_duration(microseconds / 1e6)


def _bar_of(steps: list[dict[str, Any]]) -> dict[str, Any]:
    """Steps of one kind as one: from the start of the first, for as long as they took together."""
    first = steps[0]
    if len(steps) == 1:
        return first
    took = sum(float(row["duration_us"]) for row in steps)
    more = f" and {len(steps) - 1} more"
    return first | {"what": _shortened(first["what"], TEXT_WIDTH - len(more)) + more, "duration_us": took}


def _shortened(text: str, width: int = TEXT_WIDTH) -> str:
    text = with_short_ids(text)
    return text if len(text) <= width else text[: width - 1] + "…"


def _bar(start: float, duration: float, total: float, shade: str) -> str:
    first = min(int(start / total * CHART_WIDTH), CHART_WIDTH - 1)
    length = max(1, round(duration / total * CHART_WIDTH))
    return " " * first + shade * min(length, CHART_WIDTH - first)
