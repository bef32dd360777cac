"""Results as text: the table that is printed and kept."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

import budgets
from contenders import CONTENDERS, KERNELBOX, SHELL_COMMAND, WHOLE_ENGINES
from launches import costs, middle, short
from summary import Summary, after, ratio, summarise, table

if TYPE_CHECKING:
    from budgets import Budget
    from results import Results
    from starting import Launch

COLUMNS = 120
LONGEST = 9
"""How many steps of a launch are named."""


def text(results: Results) -> str:
    sections = (facts, starts, times, rates, figures, memory, promises, refusals, steps)
    return "\n\n".join(part for section in sections for part in section(results))


def heading(words: str) -> str:
    return f"{words}\n{'-' * len(words)}"


def facts(results: Results) -> Iterator[str]:
    found = {**results.machine, **results.settings}
    if found:
        width = max(map(len, found))
        yield "\n".join(f"{name.ljust(width)}  {value}" for name, value in found.items())
    if results.notes:
        yield "\n".join(f"note: {note}" for note in results.notes)


def starts(results: Results) -> Iterator[str]:
    for pause in results.pauses():
        yield f"{heading(f'Starts of `true` {after(pause)}')}\n{table(starts_table(results.rounds(pause)))}"


def starts_table(rounds: Mapping[str, Mapping[int, float]]) -> Iterator[Sequence[str]]:
    """Milliseconds for each contender, and how many times as long as ours it takes."""
    compared = {KERNELBOX: rounds.keys(), SHELL_COMMAND: rounds.keys() & set(WHOLE_ENGINES)}
    references = {name: rows for name, rows in compared.items() if name in rounds and rows}
    yield "", "median ms", "95 % interval", "least", "most", "starts", *(f"times {name}" for name in references)
    for name, samples in rounds.items():
        found = summarise(list(samples.values()), 1000)
        ratios = (
            ratio(samples, rounds[other]) if name in rows and name != other else None
            for other, rows in references.items()
        )
        yield name, *cells(found), *(each.text() if each else "" for each in ratios)


def cells(found: Summary) -> Sequence[str]:
    """Milliseconds."""
    return f"{found.median:.2f}", found.interval(2), f"{found.least:.2f}", f"{found.most:.2f}", str(found.count)


def times(results: Results) -> Iterator[str]:
    """What the rows of the tables mean."""
    measured = {start.contender for start in results.starts}
    if not measured:
        return
    width = max(map(len, measured)) + 2
    lines = [wrapped(each.name, each.time, width) for each in CONTENDERS if each.name in measured]
    between = (
        "After each of our starts the benchmark waits until what it left has been deleted. The kernel takes namespaces "
        "and control groups down in its own time, so right after another one a start pays for who came before, whoever "
        "that was. After a rest, as when somebody runs a cell, it does not, but finds processors that were idle and, "
        "where one process moves another into a control group, has the kernel wait for all processors first. "
        "Intervals are of the median, from the order of the samples and without an assumption about them; those of "
        "ratios are bootstrapped over the rounds."
    )
    yield "\n".join([heading("What is inside and outside of the times"), *lines, textwrap.fill(between, COLUMNS)])


def wrapped(name: str, words: str, width: int) -> str:
    return textwrap.fill(words, COLUMNS, initial_indent=name.ljust(width), subsequent_indent=" " * width)


def rates(results: Results) -> Iterator[str]:
    found = results.rates()
    if not found:
        return
    rows = [["", "median starts/s", "95 % interval", "samples", "of starts"]]
    for name, values in found.items():
        all_of_them = summarise(values)
        counts = sorted({burst.count for burst in results.bursts if burst.contender == name})
        rows.append(
            [
                name,
                f"{all_of_them.median:.1f}",
                all_of_them.interval(1),
                str(all_of_them.count),
                " or ".join(map(str, counts)),
            ]
        )
    title = heading(f"Starts per second from {results.settings.get('threads')} threads at once")
    explained = (
        "In rounds of random order, with everything else of the table still alive. Of programs: from threads of this "
        "benchmark; of kernelbox: from threads of one interpreter, and inside of the time also the deletion of the "
        "folders. Slow contenders get fewer samples; what these enclose the median with is then in brackets."
    )
    yield f"{title}\n{table(rows)}\n{textwrap.fill(explained, COLUMNS)}"


def figures(results: Results) -> Iterator[str]:
    if not results.figures:
        return
    rows: list[Sequence[str]] = [("", "median ms", "95 % interval", "least", "most", "times")]
    rows += [(name, *cells(summarise(values, 1000))) for name, values in results.figures.items()]
    explained = (
        "Imports: in fresh interpreters that are up, compiled files cached. Interrupt: SIGINT to an interpreter in "
        "box.run, whose program and its child ignore TERM, INT and HUP; seen from another process."
    )
    yield f"{heading('Other times')}\n{table(rows)}\n{textwrap.fill(explained, COLUMNS)}"


def memory(results: Results) -> Iterator[str]:
    if not results.memory:
        return
    counts = sorted({count for sizes in results.memory.values() for count in sizes})
    rows = [["", *(f"{count} idle" for count in counts), "per container"]]
    for what, sizes in results.memory.items():
        slope = budgets.per_container(sizes)
        cells = [f"{sizes[count] / 1e6:.2f} MB" if count in sizes else "" for count in counts]
        rows.append([what, *cells, "" if slope is None else f"{slope / 1000:.1f} kB"])
    yield f"{heading('Private memory with idle containers')}\n{table(rows)}"


def promises(results: Results) -> Iterator[str]:
    return verdicts(budgets.budgets(results))


def verdicts(found: Iterable[Budget]) -> Iterator[str]:
    rows: list[Sequence[str]] = [("", "budget", "measured", "")]
    rows += [(each.what, each.limit, each.measured, each.verdict) for each in found]
    yield f"{heading('Budgets')}\n{table(rows)}"


def refusals(results: Results) -> Iterator[str]:
    if not results.refused:
        return
    ordered = sorted(results.refused, key=lambda each: (each.who, each.reason))
    lines = []
    for (who, reason), group in groupby(ordered, lambda each: (each.who, each.reason)):
        attempts = [each.attempt for each in group]
        more = f" and {len(attempts) - 1} more" if len(attempts) > 1 else ""
        lines.append(wrapped(f"{who}: ", f"{attempts[0]}{more}: {reason}", 4))
    yield "\n".join([heading("Not measured"), *lines])


def steps(results: Results) -> Iterator[str]:
    conditions = results.launches.of(KERNELBOX)
    if not conditions:
        return
    yield heading(f"What takes the time of {KERNELBOX}: medians of the steps of its starts (all of them: steps.csv)")
    for condition, found in conditions.items():
        rows: list[Sequence[str]] = [(f"{condition}, {len(found)} starts", "where", "median us")]
        longest = costs(found)[:LONGEST]
        rows += [(textwrap.shorten(each.what, 80), each.where, f"{each.microseconds:.0f}") for each in longest]
        yield table(rows)
    condition, found = next(iter(conditions.items()))
    title = heading(f"The median one of those {condition}, as run.explain() draws it")
    yield f"{title}\n{timeline(middle(found))}"


def timeline(launch: Launch) -> str:
    from kernelbox.metrics.frame import trace_frame  # pandas, which is not needed before

    return str(trace_frame(replace(step, what=short(step.what)) for step in launch.steps).timeline())
