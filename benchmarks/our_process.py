"""An interpreter that starts containers when it is told to: `our_process.py ROOTFS STORE HEAP_MB BUSY`.

A line of JSON in, a line out, or {"error": why not}. {"do": "run"} gives the {"seconds"} of one `box.run`, and
{"do": "first"} of a fresh engine's first; {"do": "burst", "threads", "count"} those of that many; all three with the
steps of {"launches"}. {"do": "interrupt", "mark"} says {"ready": true}, waits for SIGINT and then gives {"returned"},
when it was over (CLOCK_MONOTONIC); {"do": "memory", "containers"} private bytes with so many idle containers.
"""

from __future__ import annotations

import json
import mmap
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kernelbox import Engine, RunResult
from kernelbox.engine.job import Job
from kernelbox.errors import RunInterrupted

STUBBORN = "trap '' TERM INT HUP; sleep {mark} & echo ready; while :; do wait; done"
IDLE = "echo ready; exec sleep 1000000"
MONITORS = ("kb-monitor", "kb-sweeper")
EXPLAINED = 20
"""Of how many starts of a burst the steps are told: of the last ones."""


class BusyThread:
    """A Python thread that computes while `gate` is open, and only then: the other contenders must not feel it."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.turns = 0
        threading.Thread(target=self.work, daemon=True).start()

    def work(self) -> None:
        while True:
            self.gate.wait()
            self.turns += 1

    def __enter__(self) -> None:
        before = self.turns
        self.gate.set()
        while self.turns == before:
            pass

    def __exit__(self, *_: object) -> None:
        self.gate.clear()


def private_bytes(process: Path) -> int:
    """What would be free if the process ended (proc_pid_smaps(5))."""
    rows = (line.split() for line in (process / "smaps_rollup").read_text().splitlines()[1:])
    return sum(int(row[1]) * 1024 for row in rows if row[0].startswith("Private_"))


def holds(process: Path, folder: Path) -> bool:
    """Whether the process has a file of `folder` open."""
    return any(link.readlink().is_relative_to(folder) for link in (process / "fd").iterdir())


def monitors(store: Path) -> list[Path]:
    """The monitor of `store` and its sweeper in /proc; none where they are closed to this user. Its watchdog shares
    the monitor's memory and descriptors, and is left out."""
    found = []
    for process in Path("/proc").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            if process.name.isdigit() and (process / "comm").read_text().strip() in MONITORS and holds(process, store):
                found.append(process)
    return found


def monitor_memory(store: Path) -> int | None:
    """Private bytes of the monitor of `store` and of its sweeper; None where they are closed to this user."""
    found = monitors(store)
    return sum(map(private_bytes, found)) if found else None


def heap_of(megabytes: int) -> mmap.mmap | None:
    """Private memory in small pages, all of them in use: a fork would have to copy the table of them."""
    if not megabytes:
        return None
    memory = mmap.mmap(-1, megabytes << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a kernel without huge pages
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    for at in range(0, len(memory), mmap.PAGESIZE):
        memory[at] = 1
    return memory


def say(answer: object) -> None:
    print(json.dumps(answer), flush=True)


class Interpreter:
    """What is asked of one interpreter. Its engine is made by the first question."""

    def __init__(self, rootfs: str, store: Path, busy: BusyThread | None) -> None:
        self.image = f"dir:{rootfs}"
        self.store = store
        self.busy = busy
        self.box: Engine | None = None

    def engine(self) -> Engine:
        if self.box is None:
            self.box = Engine(root=self.store)
        return self.box

    def close(self) -> None:
        if self.box is not None:
            self.box.close()

    def run_true(self) -> RunResult:
        return self.engine().run(self.image, ["true"], check=True)

    def wait_swept(self) -> None:
        """As Engine.close does: until everything that ended containers left has been deleted."""
        monitor = self.engine()._monitor
        if monitor is not None:
            monitor.wait_swept()

    def answer(self, question: dict[str, Any]) -> dict[str, object]:
        match question:
            case {"do": "run"}:
                with self.busy or nullcontext():
                    return self.one_run()
            case {"do": "first"}:
                assert self.box is None
                return self.one_run()
            case {"do": "burst", "threads": threads, "count": count}:
                return self.burst(threads, count)
            case {"do": "interrupt", "mark": mark}:
                return {"returned": self.interrupted(mark)}
            case {"do": "memory", "containers": containers}:
                return self.memory(containers)
        raise ValueError(f"cannot do {question}")

    def one_run(self) -> dict[str, object]:
        begun = time.perf_counter()
        run = self.run_true()
        seconds = time.perf_counter() - begun
        self.wait_swept()
        return {"seconds": seconds, "launches": [steps_of(seconds, run)]}

    def burst(self, threads: int, count: int) -> dict[str, object]:
        begun = time.perf_counter()
        with ThreadPoolExecutor(threads) as pool:
            runs = list(pool.map(lambda _: self.run_true(), range(count)))
        self.wait_swept()
        seconds = time.perf_counter() - begun
        return {"seconds": seconds, "launches": [steps_of(run.duration, run) for run in runs[-EXPLAINED:]]}

    def interrupted(self, mark: str) -> float:
        """When `box.run` gave up what it waited for: a program that is marked so and ignores polite signals."""
        command = ["sh", "-c", STUBBORN.format(mark=mark)]
        try:
            self.engine().run(self.image, command, on_output=lambda *_: say({"ready": True}))
        except RunInterrupted:
            return time.perf_counter()
        raise RuntimeError("the program ended before it was interrupted")

    def memory(self, containers: int) -> dict[str, object]:
        self.run_true()
        with ExitStack() as stack:
            for _ in range(containers):
                self.start_idle(stack)
            return {"monitor": monitor_memory(self.store), "interpreter": private_bytes(Path("/proc/self"))}

    def start_idle(self, stack: ExitStack) -> None:
        """A container that runs, and then sleeps until the end of the block."""
        ready = threading.Event()
        job = self.engine().start(self.image, ["sh", "-c", IDLE], on_output=lambda *_: ready.set())
        stack.callback(end, job)
        while not ready.wait(0.05):
            if job.done:
                job.wait()
                raise RuntimeError("an idle container ended")


def steps_of(seconds: float, run: RunResult) -> dict[str, object]:
    return {"seconds": seconds, "steps": [asdict(row) for row in run.trace]}


def end(job: Job) -> None:
    job.kill()
    job.wait()


def serve(kind: type[Interpreter]) -> None:
    """Answers the questions on standard input until its end."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it
    rootfs, store, heap, busy = sys.argv[1:]
    ballast = heap_of(int(heap))
    interpreter = kind(rootfs, Path(store), BusyThread() if busy == "1" else None)
    try:
        for line in sys.stdin:
            try:
                say(interpreter.answer(json.loads(line)))
            except Exception as error:  # whatever it is, the other questions can still be answered
                say({"error": f"{type(error).__name__}: {error}"})
    finally:
        interpreter.close()
    del ballast


if __name__ == "__main__":
    serve(Interpreter)
