"""What containers that are kept cost: exec, start, stop, a thousand that idle, and thousands that come and go.

    python benchmarks/lifecycle.py [--rounds N] [--idle N] [--cycles N] [--output FOLDER]

As start_latency.py: one busybox root file system for all; every round asks each contender in a new random order; all
raw samples are kept, also where something fails or the benchmark is interrupted. As root it runs in its own mount
namespace.
"""

from __future__ import annotations

import argparse
import random
import shlex
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import kept_measuring
import machine
import program
import surroundings
from kept_results import LifeResults, Table
from measuring import Measuring, Settings, progress
from program import RESULTS, natural, whole


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=natural, default=20, help="samples of each contender (default 20)")
    parser.add_argument("--rates", type=natural, default=6, help="samples of the starts per second (default 6)")
    parser.add_argument(
        "--pauses",
        type=whole,
        nargs="+",
        default=[0, 50],
        metavar="MS",
        help="milliseconds of rest before each; all are measured with each (default 0 50)",
    )
    parser.add_argument("--idle", type=whole, default=1000, help="idle containers at once (default 1000; 0: none)")
    parser.add_argument("--cycles", type=whole, default=500, help="containers that come and go (default 500; 0: none)")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="of the random order")
    parser.add_argument("--output", type=Path, default=RESULTS / time.strftime("%Y-%m-%d-%H%M%S-lifecycle"))
    return parser.parse_args()


def compare(table: Table, settings: Settings, rootfs: Path, scratch: Path, *, rated: bool) -> None:
    """One thing that several can do, all of them alive at the same time."""
    scratch.mkdir()
    with ExitStack() as stack:
        measurement = Measuring(settings, table)
        measurement.make_ready(table.rows, rootfs, scratch, stack)
        measurement.starts()
        if rated:
            measurement.bursts()


def run(options: argparse.Namespace, scratch: Path, results: LifeResults) -> None:
    """Fills `results`; what raises here ends the measuring, and nothing that is there already."""
    settings = Settings(options.rounds, options.rates, tuple(sorted(set(options.pauses))), options.seed)
    found = {each.name: each.version for table in results.tables for each in table.rows if not each.missing()}
    results.machine.update(machine.facts(scratch, found))
    results.settings.update(settings.facts(), command=shlex.join(sys.argv))
    rootfs = program.rootfs(scratch)
    program.keep_compiled(scratch / "compiled")
    stolen = machine.StolenTime()
    with ExitStack() as stack:
        surroundings.prepare(stack, results.notes.append)
        for number, table in enumerate(results.tables):
            progress(table.title)
            compare(table, settings, rootfs, scratch / f"table-{number}", rated=table is results.keeps)
        if options.idle:
            kept_measuring.many(options.idle, rootfs, scratch / "idle", results)
        if options.cycles:
            kept_measuring.cycles(options.cycles, rootfs, scratch / "cycles", results)
        results.machine.update({"load after": machine.load(), "stolen by the hypervisor": stolen.text()})


if __name__ == "__main__":
    program.measure(arguments(), LifeResults(), run)
