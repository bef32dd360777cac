"""How long a container takes to start, run `true` and be gone: this engine against every other one on the machine.

    python benchmarks/start_latency.py [--rounds N] [--pauses MS ...] [--only NAME ...] [--output FOLDER]

One busybox root file system for all; after a warm-up, every round starts each contender in a new random order, once
right after another one and once after a rest. All raw samples are kept, also where something fails or the benchmark is
interrupted. A contender that does not work here is listed with its own words. As root the whole benchmark runs in its
own mount namespace, so that what it mounts goes with it.
"""

from __future__ import annotations

import argparse
import random
import shlex
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import machine
import measuring
import program
import surroundings
from contenders import CONTENDERS, KERNELBOX
from measuring import Measuring, Settings, progress
from program import RESULTS, natural, whole
from results import Results


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=natural, default=40, help="measured starts of each contender (default 40)")
    parser.add_argument(
        "--rates",
        type=natural,
        default=6,
        help="samples of the starts per second (default 6, the fewest that give a 95 %% interval)",
    )
    parser.add_argument(
        "--pauses",
        type=whole,
        nargs="+",
        default=[0, 50],
        metavar="MS",
        help="milliseconds of rest before a start; all starts are measured with each (default 0 50)",
    )
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="of the random order")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[c.name for c in CONTENDERS], help="measure these")
    parser.add_argument("--output", type=Path, default=RESULTS / time.strftime("%Y-%m-%d-%H%M%S"))
    return parser.parse_args()


def run(options: argparse.Namespace, scratch: Path, results: Results) -> None:
    """Fills `results`; what raises here ends the measuring, and nothing that is there already."""
    chosen = [contender for contender in CONTENDERS if not options.only or contender.name in options.only]
    settings = Settings(options.rounds, options.rates, tuple(sorted(set(options.pauses))), options.seed)
    versions = {each.name: each.version for each in chosen if not each.missing()}
    results.machine.update(machine.facts(scratch, versions))
    results.settings.update(settings.facts(), command=shlex.join(sys.argv))
    rootfs = program.rootfs(scratch)
    program.keep_compiled(scratch / "compiled")
    stolen = machine.StolenTime()
    with ExitStack() as stack:
        surroundings.prepare(stack, results.notes.append)
        measurement = Measuring(settings, results)
        measurement.make_ready(chosen, rootfs, scratch, stack)
        measurement.starts()
        measurement.bursts()
        results.machine.update({"load after": machine.load(), "stolen by the hypervisor": stolen.text()})
    progress("imports")
    measuring.imports(settings, results)
    if any(contender.name == KERNELBOX for contender in chosen):
        measuring.ask_ourselves(settings, rootfs, scratch / "ourselves", results)


if __name__ == "__main__":
    program.measure(arguments(), Results(), run)
