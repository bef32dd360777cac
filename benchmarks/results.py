"""Everything one benchmark found, and the files it is kept in."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path

import summary
from contenders import KERNELBOX


@dataclass(slots=True)
class Results:
    """`seconds`, `rates` (starts per second) and `refused` (why it was not measured) are by contender; `memory` is the
    monitor's private bytes by the number of idle containers; `imports` are seconds."""

    machine: dict[str, object]
    refused: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    rates: dict[str, list[float]] = field(default_factory=dict)
    imports: list[float] = field(default_factory=list)
    memory: dict[int, float] = field(default_factory=dict)
    launch: str = ""

    def text(self) -> str:
        parts = ["\n".join(f"{name}: {value}" for name, value in self.machine.items() if name != "versions")]
        parts.append(summary.starts_table(self.seconds, KERNELBOX))
        rates = ((name, f"{statistics.median(values):.1f}") for name, values in self.rates.items())
        parts.append(summary.table([("two threads at once", "starts/s"), *rates]))
        imports = summary.summarise([1000 * value for value in self.imports])
        parts.append(f"import kernelbox: {imports.median:.1f} ms ({imports.low:.1f} to {imports.high:.1f})")
        if self.memory:
            parts += [self.memory_text(), "One launch, step by step (run.explain()):\n" + self.launch]
        parts += [f"{name}: not measured: {reason}" for name, reason in self.refused.items()]
        return "\n\n".join(parts)

    def memory_text(self) -> str:
        least, most = min(self.memory), max(self.memory)
        each = (self.memory[most] - self.memory[least]) / (most - least)
        return f"monitor: {self.memory[least] / 1e6:.2f} MB private memory, and {each / 1000:.1f} kB per idle container"

    def caption(self) -> str:
        found = self.machine
        return f"{found['cpu']}, {found['cores']} cores, Linux {found['kernel']}, cgroups {found['cgroups']}"

    def write(self, folder: Path) -> str:
        """Keep the raw samples, the table and the picture in `folder`; returns the table."""
        folder.mkdir(parents=True, exist_ok=True)
        text = self.text()
        (folder / "samples.json").write_text(json.dumps(asdict(self), indent=1))
        (folder / "hyperfine.json").write_text(json.dumps(summary.hyperfine(self.seconds), indent=1))
        (folder / "table.txt").write_text(text + "\n")
        (folder / "picture.svg").write_text(summary.picture(self.seconds, self.caption()))
        return text
