"""The measurements: what fails is written down, and costs nothing else its samples."""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from contenders import KERNELBOX
from figures import AT_ONCE, GONE, IMPORT, IMPORT_ENGINE, INTERPRETER, MONITOR, RETURNED
from interrupt import interrupt_once
from ours import OurProcess, our_process
from results import Burst, Results, Start
from starting import FAILURES, CannotStart, Contender, Ready, Timed
from summary import after

T = TypeVar("T")

WARM_UP = 3
THREADS = 2
"""From how many threads at once the starts per second are measured."""
RATE_SECONDS = 1.0
"""About how long each sample of the starts per second takes."""
FEWEST_STARTS = 8
SLOW = 0.1
"""Seconds of a start from which on a contender gets fewer samples of its starts per second."""
SLOW_SAMPLES = 3
MOST_FAILURES = 3
"""After so many failed starts a contender is not tried any more."""
IDLE_CONTAINERS = (0, 50, 100)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a measurement depends on besides the machine."""

    rounds: int
    rate_samples: int
    pauses: tuple[int, ...]
    """Milliseconds of rest before a start, from the shortest on."""
    seed: int

    def facts(self) -> dict[str, object]:
        return {
            "rounds": f"{self.rounds} rounds after {WARM_UP} warm-up starts",
            "rest before a start": f"{' or '.join(map(str, self.pauses))} ms",
            "threads": THREADS,
            "seed of the order": self.seed,
        }

    def rest(self) -> None:
        """The longest of the pauses."""
        time.sleep(self.pauses[-1] / 1000)


class Measuring:
    """Contenders that are ready, by name. One that fails again and again is dropped."""

    def __init__(self, settings: Settings, results: Results) -> None:
        self.settings = settings
        self.results = results
        self.ready: dict[str, Ready] = {}
        self.rated: set[str] = set()
        self.failures: dict[str, int] = {}
        self.chance = random.Random(settings.seed)

    def make_ready(self, chosen: Sequence[Contender], rootfs: Path, scratch: Path, stack: ExitStack) -> None:
        """Those that start, warmed up. `stack` ends them; one that does not start has ended already."""
        for number, contender in enumerate(chosen):
            if reason := contender.missing():
                self.results.refuse(contender.name, "all", reason)
                continue
            progress(f"making ready: {contender.name}")
            folder = scratch / str(number)
            folder.mkdir()
            try:
                with ExitStack() as opened:
                    ready = opened.enter_context(contender.open(rootfs, folder))
                    for _ in range(WARM_UP):
                        ready.start()
                    stack.push(opened.pop_all())
            except FAILURES as reason:
                self.results.refuse(contender.name, "all", reason)
            else:
                self.ready[contender.name] = ready
                self.rated |= {contender.name} if contender.rated else set()

    def starts(self) -> None:
        """In every round a start of each after each of the pauses, in random order."""
        for number in range(1, self.settings.rounds + 1):
            progress(f"starts: round {number} of {self.settings.rounds}")
            for pause in self.settings.pauses:
                for name in self.in_turn():
                    time.sleep(pause / 1000)
                    found = self.attempt(name, f"round {number}, after {pause} ms", self.ready[name].start)
                    if found is not None:
                        self.results.starts.append(Start(number, pause, name, found.seconds))
                        self.results.launches.explain(name, after(pause), found.launches)

    def bursts(self) -> None:
        """Starts per second, in rounds of random order."""
        seconds = self.results.seconds(self.settings.pauses[0])
        typical = {name: statistics.median(seconds[name]) for name in self.rated & seconds.keys()}
        for number in range(1, self.settings.rate_samples + 1):
            progress(f"starts per second: round {number} of {self.settings.rate_samples}")
            for name in self.in_turn():
                if name in typical and (typical[name] <= SLOW or number <= SLOW_SAMPLES):
                    self.settings.rest()
                    count = max(FEWEST_STARTS, int(RATE_SECONDS * THREADS / typical[name]))
                    found = self.attempt(name, f"starts per second {number}", self.burst(name, count))
                    if found is not None:
                        self.results.bursts.append(Burst(number, name, count, found.seconds))
                        self.results.launches.explain(name, AT_ONCE, found.launches)

    def burst(self, name: str, count: int) -> Callable[[], Timed]:
        return lambda: self.ready[name].burst(THREADS, count)

    def in_turn(self) -> list[str]:
        """Who is left, in a new random order."""
        return self.chance.sample(list(self.ready), len(self.ready))

    def attempt(self, name: str, what: str, work: Callable[[], T]) -> T | None:
        try:
            return work()
        except FAILURES as reason:
            self.results.refuse(name, what, reason)
            self.failures[name] = self.failures.get(name, 0) + 1
            if self.failures[name] >= MOST_FAILURES:
                del self.ready[name]
            return None


def ask_ourselves(settings: Settings, rootfs: Path, folder: Path, results: Results) -> None:
    """What only this engine is asked, each by an interpreter of its own, memory last."""
    folder.mkdir()
    for name, question in (("interrupts", interrupts), ("memory", memory)):
        progress(name)
        try:
            with our_process(rootfs, folder) as process:
                process.ask(do="run")
                question(process, settings, results)
        except FAILURES as reason:
            results.refuse(KERNELBOX, name, reason)


def interrupts(process: OurProcess, settings: Settings, results: Results) -> None:
    for _ in range(max(2, settings.rounds // 2)):
        settings.rest()
        found = interrupt_once(process)
        results.figures.setdefault(GONE, []).append(found.gone)
        results.figures.setdefault(RETURNED, []).append(found.returned)


def memory(process: OurProcess, settings: Settings, results: Results) -> None:
    """The interpreter's own may always be read; the monitor's only by root."""
    for count in IDLE_CONTAINERS:
        answer = process.ask(do="memory", containers=count)
        for key, name in (("monitor", MONITOR), ("interpreter", INTERPRETER)):
            if isinstance(size := answer[key], int):
                results.memory.setdefault(name, {})[count] = size
    if MONITOR not in results.memory:
        raise CannotStart("the monitor is closed to its own user too (it is not dumpable): as root this can be read")


def imports(settings: Settings, results: Results) -> None:
    """In fresh interpreters, as they measure it themselves; the first of each only fills the cache of compiled
    files."""
    for number in range(max(2, settings.rounds // 2) + 1):
        for statement in (IMPORT, IMPORT_ENGINE):
            try:
                seconds = import_seconds(statement)
            except CannotStart as reason:
                results.refuse(statement, f"round {number}", reason)
            else:
                if number:
                    results.figures.setdefault(statement, []).append(seconds)


def import_seconds(statement: str) -> float:
    code = f"import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if done.returncode:
        raise CannotStart((done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1])
    return float(done.stdout)


def progress(words: str) -> None:
    """For somebody who watches."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{words}")
        sys.stderr.flush()
