"""The measurements of containers that are kept, besides those that are made of contenders."""

from __future__ import annotations

import itertools
from pathlib import Path

from contenders import KERNELBOX
from kept_contenders import PROGRAM
from kept_results import Cycles, Grown, LifeResults
from measuring import THREADS, progress
from ours import OurProcess, our_process
from starting import FAILURES, CannotStart

BATCHES = 10
"""In how many parts the idle containers are started, and the cycles made: numbers are taken in between."""
LAUNCHES = 15
LISTS = 7
KINDS = ("kept", "run")


def many(count: int, rootfs: Path, folder: Path, results: LifeResults) -> None:
    """`count` idle containers, more and more of them; what does not work is noted."""
    folder.mkdir()
    try:
        with our_process(rootfs, folder, program=PROGRAM) as process:
            process.ask(do="run")
            grow(process, count, results)
    except FAILURES as reason:
        results.refuse(KERNELBOX, f"{count} idle containers", reason)


def grow(process: OurProcess, count: int, results: LifeResults) -> None:
    look(process, 0, 0, 0.0, results)
    sizes = [count * part // BATCHES for part in range(BATCHES + 1)]
    for before, after in itertools.pairwise(sizes):
        if after == before:
            continue
        progress(f"idle containers: {after} of {count}")
        seconds = number(process.ask(do="idle", threads=THREADS, count=after - before), "seconds")
        look(process, after, after - before, seconds, results)
    answer = process.ask(do="superblocks")
    results.facts["superblocks of its own, per container"] = number(answer, "own")
    results.facts["mounts in a container"] = number(answer, "mounts")
    results.memory_groups = bool(answer["memory groups"])
    progress(f"ending {count} containers")
    ended = process.ask(do="end", threads=THREADS)
    for what in ("stop", "remove", "swept"):
        results.facts[f"{what} all, seconds"] = number(ended, what)


def look(process: OurProcess, running: int, started: int, seconds: float, results: LifeResults) -> None:
    """What it costs that so many run: what a run takes, a list of them, memory and descriptors."""
    launches = [number(process.ask(do="run"), "seconds") for _ in range(LAUNCHES)]
    lists = []
    for _ in range(LISTS):
        answer = process.ask(do="list")
        if answer["found"] != running:
            raise CannotStart(f"{answer['found']} containers were listed where {running} run")
        lists.append(number(answer, "seconds"))
    results.grown.append(Grown(running, started, seconds, launches, lists, counted(process)))


def cycles(count: int, rootfs: Path, folder: Path, results: LifeResults) -> None:
    """`count` containers of each kind, one after another; what does not work is noted."""
    for kind in KINDS:
        try:
            with our_process(rootfs, new_folder(folder, kind), program=PROGRAM) as process:
                results.cycles.append(Cycles(kind))
                go_round(process, count, results.cycles[-1])
        except FAILURES as reason:
            results.refuse(KERNELBOX, f"{count} cycles ({kind})", reason)


def new_folder(folder: Path, kind: str) -> Path:
    made = folder / kind
    made.mkdir(parents=True)
    return made


def go_round(process: OurProcess, count: int, found: Cycles) -> None:
    """The first part warms up: pools and caches are filled then."""
    part = max(1, count // BATCHES)
    for number_of_part in range(-1, -(-count // part)):
        progress(f"cycles ({found.kind}): {max(number_of_part, 0) * part} of {count}")
        answer = process.ask(do="cycles", kind=found.kind, count=part)
        seconds = answer["seconds"]
        assert isinstance(seconds, list)
        if number_of_part >= 0:
            found.seconds += seconds
        found.numbers[(number_of_part + 1) * part] = counted(process)


def counted(process: OurProcess) -> dict[str, int]:
    return {name: value for name, value in process.ask(do="numbers").items() if isinstance(value, int)}


def number(answer: dict[str, object], name: str) -> float:
    value = answer[name]
    assert isinstance(value, int | float)
    return float(value)
