"""Results about containers that are kept, as text: the table that is printed and kept."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import kept_budgets
import report
from contenders import KERNELBOX
from kept_budgets import FLAT, slope
from launches import AROUND, costs
from summary import after, summarise, table

if TYPE_CHECKING:
    from kept_results import Cycles, Grown, LifeResults, Table
    from results import Results

RUNS = "(the program itself, Python, the socket, waking up)"
NUMBERS = ("monitor bytes", "monitor descriptors", "engine bytes", "engine descriptors", "control groups", "folders")


def text(results: LifeResults) -> str:
    sections = (facts, tables, rates, grown, whole, cycles, promises, refusals, steps)
    return "\n\n".join(part for section in sections for part in section(results))


def plain(results: LifeResults) -> Results:
    """What is said the same way of every benchmark."""
    from results import Results

    return Results(machine=results.machine, settings=results.settings, notes=results.notes, refused=results.refusals())


def facts(results: LifeResults) -> Iterator[str]:
    return report.facts(plain(results))


def refusals(results: LifeResults) -> Iterator[str]:
    return report.refusals(plain(results))


def tables(results: LifeResults) -> Iterator[str]:
    for each in results.tables:
        for pause in each.pauses():
            title = report.heading(f"{each.title[0].upper()}{each.title[1:]}, {after(pause)}")
            yield f"{title}\n{table(report.starts_table(each.rounds(pause)))}"
        yield from times(each)


def times(one: Table) -> Iterator[str]:
    measured = {start.contender for start in one.starts}
    if measured:
        width = max(map(len, measured)) + 2
        yield "\n".join(report.wrapped(each.name, each.time, width) for each in one.rows if each.name in measured)


def rates(results: LifeResults) -> Iterator[str]:
    found = results.keeps.rates()
    if not found:
        return
    rows: list[Sequence[str]] = [("", "median starts/s", "95 % interval", "samples")]
    for name, values in found.items():
        middle = summarise(values)
        rows.append((name, f"{middle.median:.1f}", middle.interval(1), str(middle.count)))
    yield f"{report.heading('Starts per second of containers that are kept, from threads at once')}\n{table(rows)}"


def grown(results: LifeResults) -> Iterator[str]:
    if not results.grown:
        return
    rows: list[Sequence[str]] = [
        ("running", "starts/s", "a run, ms", "95 % interval", "list, ms", "monitor kB", "engine kB", "descriptors")
    ]
    rows += [grown_row(each) for each in results.grown]
    words = (
        "Starts per second: of the containers that were added, made and started from threads of one interpreter. A "
        "run: one temporary container more, while so many run. List: box.containers.list(). Monitor and engine: "
        "private memory of the processes. Descriptors: the monitor's. crun and runc leave no process beside a "
        "container; their memory is nothing, and so is what they know of it."
    )
    yield f"{report.heading('With idle containers')}\n{table(rows)}\n{textwrap.fill(words, report.COLUMNS)}"


def grown_row(each: Grown) -> Sequence[str]:
    runs, lists = summarise(each.runs, 1000), summarise(each.lists, 1000)
    kilobytes = (
        f"{each.numbers[n] / 1000:.0f}" if n in each.numbers else "" for n in ("monitor bytes", "engine bytes")
    )
    return (
        str(each.running),
        f"{each.started / each.seconds:.0f}" if each.seconds else "",
        f"{runs.median:.2f}",
        runs.interval(2),
        f"{lists.median:.2f}",
        *kilobytes,
        str(each.numbers.get("monitor descriptors", "")),
    )


def whole(results: LifeResults) -> Iterator[str]:
    rows: list[Sequence[str]] = [("", "")]
    for name, words in FLAT.items():
        found = slope(results, name)
        if found is not None:
            rows.append((f"{words} per container", f"{found:.2f}"))
    rows += [(name, f"{value:.2f}") for name, value in results.facts.items()]
    if len(rows) > 1:
        yield f"{report.heading('Each idle container, and all together')}\n{table(rows)}"


def cycles(results: LifeResults) -> Iterator[str]:
    for each in results.cycles:
        if len(each.numbers) > 1 and each.seconds:
            yield cycles_table(each)


def cycles_table(each: Cycles) -> str:
    kinds = {"kept": "create, start, wait and remove", "run": "box.run"}
    counts = sorted(each.numbers)
    found = summarise(each.seconds, 1000)
    rows: list[Sequence[str]] = [("", "before", "after", "most", "per 1000")]
    for name in NUMBERS:
        values = [each.numbers[count][name] for count in counts if name in each.numbers[count]]
        if len(values) == len(counts):
            grows = statistics.linear_regression(counts, values).slope
            rows.append((name, str(values[0]), str(values[-1]), str(max(values)), f"{1000 * grows:.1f}"))
    title = report.heading(f"{counts[-1] - counts[0]} cycles of {kinds[each.kind]}, after some that warm up")
    return f"{title}\n{table(rows)}\na cycle: {found.median:.2f} ms (95 %: {found.interval(2)})"


def promises(results: LifeResults) -> Iterator[str]:
    return report.verdicts(kept_budgets.budgets(results))


def steps(results: LifeResults) -> Iterator[str]:
    for condition, found in results.execs.launches.of(KERNELBOX).items():
        rows: list[Sequence[str]] = [(f"{condition}, {len(found)} times", "where", "median us")]
        rows += [
            (textwrap.shorten(RUNS if each.what == AROUND else each.what, 80), each.where, f"{each.microseconds:.0f}")
            for each in costs(found)[: report.LONGEST]
        ]
        yield f"{report.heading(f'What takes the time of exec ({KERNELBOX})')}\n{table(rows)}"
