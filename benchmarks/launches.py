"""What the steps of many launches took, and what no step has."""

from __future__ import annotations

import csv
import re
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from starting import Launch

from kernelbox.runtime.trace import TraceRow

ID = re.compile("[0-9a-f]{64}")
PROGRAM = "(the program, until its end is noticed)"
AROUND = "(Python, the socket, waking up)"
STARTS = "NewNamespaces"
COLUMNS = ("contender", "condition", "launch", *(each.name for each in fields(TraceRow)))


@dataclass(frozen=True, slots=True)
class Cost:
    """The median of a step of many launches."""

    what: str
    where: str
    microseconds: float


@dataclass(slots=True)
class Launches:
    """By contender and by the condition they were measured under."""

    found: dict[tuple[str, str], list[Launch]] = field(default_factory=dict)

    def explain(self, contender: str, condition: str, launches: Iterable[Launch]) -> None:
        for launch in launches:
            self.found.setdefault((contender, condition), []).append(launch)

    def of(self, contender: str) -> dict[str, list[Launch]]:
        """By condition."""
        return {condition: launches for (name, condition), launches in self.found.items() if name == contender}

    def write(self, path: Path) -> None:
        """All steps of all of them."""
        if not self.found:
            return
        with path.open("w", newline="") as file:
            rows = csv.DictWriter(file, COLUMNS)
            rows.writeheader()
            for (contender, condition), launches in self.found.items():
                for number, launch in enumerate(launches, 1):
                    for step in launch.steps:
                        beside = {"contender": contender, "condition": condition, "launch": number}
                        rows.writerow({**beside, **asdict(step), "what": short(step.what)})


def short(what: str) -> str:
    """Ids of containers as Docker shows them."""
    return ID.sub(lambda found: found[0][:12], what)


def costs(launches: Sequence[Launch]) -> list[Cost]:
    """Of the steps that all have, the longest first. Starting the process lasts until its program runs, and is counted
    without the steps inside."""
    words = {step.number: step for step in launches[0].steps}
    found: dict[int | str, list[float]] = {}
    for launch in launches:
        for name, microseconds in durations(launch):
            found.setdefault(name, []).append(microseconds)
    medians = [
        Cost(short(words[name].what) if isinstance(name, int) else name, place(words, name), statistics.median(values))
        for name, values in found.items()
        if len(values) == len(launches)
    ]
    return sorted(medians, key=lambda cost: -cost.microseconds)


def place(words: Mapping[int, TraceRow], name: int | str) -> str:
    return words[name].where if isinstance(name, int) else ""


def durations(launch: Launch) -> Iterator[tuple[int | str, float]]:
    """By the number of the step, or by what no step has."""
    inside = sum(step.duration_us for step in launch.steps if step.where == "inside")
    for step in launch.steps:
        yield step.number, step.duration_us - (inside if step.step == STARTS else 0)
    last = max(end(step) for step in launch.steps if step.where != "after")
    yield PROGRAM, min((step.start_us for step in launch.steps if step.where == "after"), default=last) - last
    yield AROUND, launch.seconds * 1e6 - max(map(end, launch.steps)) + min(step.start_us for step in launch.steps)


def end(step: TraceRow) -> float:
    return step.start_us + step.duration_us


def middle(launches: Sequence[Launch]) -> Launch:
    """The one with the median duration."""
    return sorted(launches, key=lambda launch: launch.seconds)[len(launches) // 2]
