"""How long a container takes to start, run `true` and be gone: this engine against every other one on the machine.

    python benchmarks/start_latency.py [--rounds N] [--only NAME ...] [--output FOLDER]

One busybox root file system for all; after a warm-up, every round starts each contender once in a new random order. All
raw samples are kept. A contender that does not work here is listed with its own words. As root the whole benchmark
runs in its own mount namespace, so that what it mounts goes with it.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import contenders
import machine
from contenders import CONTENDERS, KERNELBOX, CannotStart, Contender, Start
from results import Results

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))  # the tests' root file system is measured

import busybox  # noqa: E402

WARM_UP = 3
THREADS = 2
"""From how many threads at once the starts per second are measured."""
RATE_SECONDS = 2.0
"""About how long each contender is driven for its starts per second."""
RATE_RUNS = 400
IDLE_CONTAINERS = (0, 50, 100)
PEER_GROUPS = ("docker", "libpod_parent")
"""Control groups that peers make and keep."""
HUGETLB = Path("/sys/fs/cgroup/hugetlb")


def own_mount_namespace() -> None:
    """Start over in a mount namespace of our own, as root."""
    if os.geteuid() == 0 and "KERNELBOX_BENCHMARK" not in os.environ:
        os.environ["KERNELBOX_BENCHMARK"] = "private"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv])


def mount_hugetlb(stack: ExitStack) -> None:
    """crun refuses a hybrid machine whose hugetlb controller is not mounted as v1. The folder is on a shared tmpfs."""
    if machine.cgroup_version() == "hybrid" and os.geteuid() == 0 and not HUGETLB.exists():
        HUGETLB.mkdir()
        stack.callback(HUGETLB.rmdir)
        subprocess.run(["mount", "-t", "cgroup", "-o", "hugetlb", "cgroup", str(HUGETLB)], check=True)
        stack.callback(subprocess.run, ["umount", str(HUGETLB)], check=True)


def clean_machine(stack: ExitStack) -> None:
    """As root: /run and the control groups are afterwards as they were."""
    if os.geteuid():
        return
    subprocess.run(["mount", "-t", "tmpfs", "run", "/run"], check=True)
    for mount in machine.cgroup_mounts():
        for name in PEER_GROUPS:
            if not (mount / name).exists():
                stack.callback(remove_groups, mount / name)


def remove_groups(group: Path) -> None:
    """The group and all below it, which are empty by now; it need not exist."""
    for folder, _, _ in os.walk(group, topdown=False):
        Path(folder).rmdir()


def make_ready(
    chosen: Sequence[Contender], rootfs: Path, scratch: Path, stack: ExitStack, refused: dict[str, str]
) -> dict[str, Start]:
    """Those that start, warmed up; `refused` gets why the others do not."""
    ready: dict[str, Start] = {}
    for number, contender in enumerate(chosen):
        if not contender.installed():
            refused[contender.name] = f"{contender.version[0]} is not installed"
            continue
        folder = scratch / str(number)
        folder.mkdir()
        try:
            start = stack.enter_context(contender.open(rootfs, folder))
            for _ in range(WARM_UP):
                start()
        except CannotStart as reason:
            refused[contender.name] = str(reason)
        else:
            ready[contender.name] = start
    return ready


def measure(ready: Mapping[str, Start], rounds: int) -> dict[str, list[float]]:
    """Seconds of every start, by name, in rounds of random order."""
    samples: dict[str, list[float]] = {name: [] for name in ready}
    for _ in range(rounds):
        for name in random.sample(list(ready), len(ready)):
            samples[name].append(ready[name]())
    return samples


def rates(ready: Mapping[str, Start], samples: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """Starts per second from THREADS threads at once, of the contenders that are programs."""
    found = {}
    for name, start in ready.items():
        if name.startswith(KERNELBOX):
            continue
        count = max(THREADS * 2, int(RATE_SECONDS * THREADS / statistics.median(samples[name])))
        with ThreadPoolExecutor(THREADS) as pool:
            begun = time.perf_counter()
            list(pool.map(lambda _, start=start: start(), range(count)))
            found[name] = [count / (time.perf_counter() - begun)]
    return found


def ask_ourselves(rootfs: Path, scratch: Path, results: Results) -> None:
    """What only this engine is asked: starts per second of one interpreter, the monitor's memory, a launch's steps."""
    with contenders.our_process(rootfs, scratch) as process:
        process.ask(do="run")
        seconds = [process.number("seconds", do="rate", threads=THREADS, count=RATE_RUNS) for _ in range(5)]
        results.rates[KERNELBOX] = [RATE_RUNS / value for value in seconds]
        for count in IDLE_CONTAINERS:
            results.memory[count] = process.number("bytes", do="memory", containers=count)
        results.launch = str(process.ask(do="explain")["text"])


def import_seconds(rounds: int) -> list[float]:
    """`import kernelbox` in fresh interpreters, as they measure it themselves."""
    code = "import time; t = time.perf_counter(); import kernelbox; print(time.perf_counter() - t)"
    command = [sys.executable, "-c", code]
    return [float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(rounds)]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40, help="measured starts of each contender (default 40)")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[c.name for c in CONTENDERS], help="measure these")
    parser.add_argument("--output", type=Path, default=HERE / "results" / time.strftime("%Y-%m-%d-%H%M%S"))
    return parser.parse_args()


def run(options: argparse.Namespace, scratch: Path) -> Results:
    chosen = [contender for contender in CONTENDERS if not options.only or contender.name in options.only]
    rootfs = busybox.build(scratch / "rootfs")
    versions = {contender.name: contender.version for contender in chosen if contender.installed()}
    results = Results(machine.facts(scratch, versions))
    with ExitStack() as stack:
        clean_machine(stack)
        mount_hugetlb(stack)
        ready = make_ready(chosen, rootfs, scratch, stack, results.refused)
        results.seconds = measure(ready, options.rounds)
        results.rates = rates(ready, results.seconds)
    if KERNELBOX in ready:
        ask_ourselves(rootfs, scratch, results)
    results.imports = import_seconds(max(5, options.rounds // 2))
    return results


def main() -> None:
    own_mount_namespace()
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="kernelbox-benchmark-") as scratch:
        results = run(options, Path(scratch))
    print(f"{results.write(options.output)}\n\nRaw samples, table and picture: {options.output}")


if __name__ == "__main__":
    main()
