"""What is found about containers that are kept, and the files it is kept in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import summary
from kept_contenders import EXECS, KEEPS, STOPS
from picture import picture
from results import Refusal, Results
from starting import Contender


@dataclass(slots=True)
class Table(Results):
    """One thing that several can do. `starts` are its samples."""

    title: str = ""
    rows: tuple[Contender, ...] = ()

    def contenders(self) -> Sequence[Contender]:
        return self.rows

    def by_condition(self) -> Mapping[str, Mapping[str, Sequence[float]]]:
        return {f"{self.title} {summary.after(pause)}": self.seconds(pause) for pause in self.pauses()}


@dataclass(frozen=True, slots=True)
class Grown:
    """With so many containers that run: `started` were the last of them, in `seconds`; then each of `runs` is a
    temporary one more, and each of `lists` a list of them all, in seconds."""

    running: int
    started: int
    seconds: float
    runs: list[float]
    lists: list[float]
    numbers: dict[str, int]


@dataclass(slots=True)
class Cycles:
    """Containers that come and go. `numbers` by how many have."""

    kind: str
    seconds: list[float] = field(default_factory=list)
    numbers: dict[int, dict[str, int]] = field(default_factory=dict)


@dataclass(slots=True)
class LifeResults:
    machine: dict[str, object] = field(default_factory=dict)
    settings: dict[str, object] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    execs: Table = field(default_factory=lambda: Table(title="exec true in a running container", rows=EXECS))
    keeps: Table = field(default_factory=lambda: Table(title="start of a container that is kept", rows=KEEPS))
    stops: Table = field(default_factory=lambda: Table(title="stop of a program that handles its signal", rows=STOPS))
    grown: list[Grown] = field(default_factory=list)
    cycles: list[Cycles] = field(default_factory=list)
    facts: dict[str, float] = field(default_factory=dict)
    memory_groups: bool = False
    refused: list[Refusal] = field(default_factory=list)

    @property
    def tables(self) -> tuple[Table, ...]:
        return self.execs, self.keeps, self.stops

    def refuse(self, who: str, attempt: str, reason: object) -> None:
        self.refused.append(Refusal(who, attempt, str(reason) or type(reason).__name__))

    def refusals(self) -> list[Refusal]:
        return [*self.refused, *(each for table in self.tables for each in table.refused)]

    def write(self, folder: Path) -> str:
        """As Results.write."""
        import kept_report  # which knows this module

        folder.mkdir(parents=True, exist_ok=True)
        (folder / "samples.json").write_text(json.dumps(self.samples(), indent=1))
        seconds = {name: rows for table in self.tables for name, rows in table.by_condition().items()}
        (folder / "hyperfine.json").write_text(json.dumps(summary.hyperfine(seconds), indent=1))
        self.execs.launches.write(folder / "steps.csv")
        if seconds:
            (folder / "picture.svg").write_text(picture(seconds, self.caption(), "Milliseconds of what is done to one"))
        text = kept_report.text(self)
        (folder / "table.txt").write_text(text + "\n")
        return text

    def samples(self) -> dict[str, object]:
        return {
            "machine": self.machine,
            "settings": self.settings,
            "notes": self.notes,
            "tables": {table.title: [asdict(start) for start in table.starts] for table in self.tables},
            "bursts": [asdict(burst) for burst in self.keeps.bursts],
            "grown": [asdict(each) for each in self.grown],
            "cycles": [asdict(each) for each in self.cycles],
            "facts": self.facts,
            "refused": [asdict(each) for each in self.refusals()],
        }

    def caption(self) -> Sequence[str]:
        return Results(machine=self.machine, settings=self.settings).caption()
