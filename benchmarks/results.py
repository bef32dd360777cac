"""Everything one benchmark found, and the files it is kept in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import report
import summary
from contenders import CONTENDERS
from launches import Launches
from picture import picture
from starting import Contender


@dataclass(frozen=True, slots=True)
class Start:
    """One measured start, in the order in which they were made."""

    round: int
    rest_ms: int
    contender: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Burst:
    """`count` starts from several threads at once."""

    round: int
    contender: str
    count: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was not measured: `who` at which `attempt`, and why."""

    who: str
    attempt: str
    reason: str


@dataclass(slots=True)
class Results:
    """`figures` are seconds by what was measured; `memory` is private bytes of the monitor and of the interpreter, by
    the number of idle containers; `launches` are the steps of our starts, which have a file of their own; `notes` say
    what the machine would not do for the benchmark."""

    machine: dict[str, object] = field(default_factory=dict)
    settings: dict[str, object] = field(default_factory=dict)
    starts: list[Start] = field(default_factory=list)
    bursts: list[Burst] = field(default_factory=list)
    figures: dict[str, list[float]] = field(default_factory=dict)
    memory: dict[str, dict[int, int]] = field(default_factory=dict)
    launches: Launches = field(default_factory=Launches)
    refused: list[Refusal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def refuse(self, who: str, attempt: str, reason: object) -> None:
        self.refused.append(Refusal(who, attempt, str(reason) or type(reason).__name__))

    def contenders(self) -> Sequence[Contender]:
        """In the order of the table."""
        return CONTENDERS

    def pauses(self) -> list[int]:
        """After which milliseconds of rest there are starts, from the shortest on."""
        return sorted({start.rest_ms for start in self.starts})

    def rounds(self, pause: int) -> dict[str, dict[int, float]]:
        """Seconds of a start after such a rest, by contender in the order of the table, and by round."""
        found: dict[str, dict[int, float]] = {}
        chosen = [start for start in self.starts if start.rest_ms == pause]
        for contender in self.contenders():
            mine = {start.round: start.seconds for start in chosen if start.contender == contender.name}
            if mine:
                found[contender.name] = mine
        return found

    def seconds(self, pause: int) -> dict[str, list[float]]:
        return {name: list(rounds.values()) for name, rounds in self.rounds(pause).items()}

    def rates(self) -> dict[str, list[float]]:
        """Starts per second, by contender in the order of the table."""
        found: dict[str, list[float]] = {}
        for contender in self.contenders():
            mine = [burst.count / burst.seconds for burst in self.bursts if burst.contender == contender.name]
            if mine:
                found[contender.name] = mine
        return found

    def write(self, folder: Path) -> str:
        """Keep the raw samples, the table and the picture in `folder`; returns the table. The samples come first: they
        are kept whatever becomes of the rest."""
        folder.mkdir(parents=True, exist_ok=True)
        kept = asdict(replace(self, launches=Launches()))
        del kept["launches"]
        (folder / "samples.json").write_text(json.dumps(kept, indent=1))
        seconds = {summary.after(pause): self.seconds(pause) for pause in self.pauses()}
        (folder / "hyperfine.json").write_text(json.dumps(summary.hyperfine(seconds), indent=1))
        self.launches.write(folder / "steps.csv")
        if seconds:
            (folder / "picture.svg").write_text(picture(seconds, self.caption()))
        text = report.text(self)
        (folder / "table.txt").write_text(text + "\n")
        return text

    def caption(self) -> Sequence[str]:
        facts: Mapping[str, object] = {**self.machine, **self.settings}
        return (
            f"{facts.get('processor')}, {facts.get('processors')} processors, Linux {facts.get('kernel')}, "
            f"cgroups {facts.get('cgroups')}, stores on {facts.get('file system of the stores')}, "
            f"user {facts.get('user')}, Python {facts.get('python')}",
            f"{facts.get('measured')}, kernelbox {facts.get('kernelbox')}, {facts.get('rounds')} in random order",
        )
