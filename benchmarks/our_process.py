"""An interpreter that starts containers when it is told to: `our_process.py ROOTFS STORE HEAP_MB BUSY`.

A line of JSON in, a line out: {"do": "run"} gives {"seconds"} of one `box.run`; {"do": "rate", "threads", "count"} the
seconds for that many; {"do": "memory", "containers"} the monitor's private bytes with so many idle containers;
{"do": "explain"} the launch of one run as text.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import kernelbox


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


def once(box: kernelbox.Engine, image: str) -> kernelbox.RunResult:
    return box.run(image, ["true"], check=True)


def seconds_of(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def rate(box: kernelbox.Engine, image: str, threads: int, count: int) -> float:
    """Seconds for `count` runs from `threads` threads."""
    with ThreadPoolExecutor(threads) as pool:
        return seconds_of(lambda: list(pool.map(lambda _: once(box, image), range(count))))


def private_bytes(process: Path) -> int:
    """What would be free if the process ended (proc_pid_smaps(5))."""
    rows = (line.split() for line in (process / "smaps_rollup").read_text().splitlines()[1:])
    return sum(int(row[1]) * 1024 for row in rows if row[0].startswith("Private_"))


def holds(process: Path, folder: Path) -> bool:
    """Whether the process has a file of `folder` open."""
    return any(link.readlink().is_relative_to(folder) for link in (process / "fd").iterdir())


def monitor_memory(store: Path) -> int:
    """Private bytes of the monitor of `store`, with those of its helpers: the holders of its lock."""
    found = []
    for process in Path("/proc").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            if process.name.isdigit() and (process / "comm").read_text().startswith("kb-") and holds(process, store):
                found.append(private_bytes(process))
    if not found:
        raise SystemExit("there is no monitor whose memory this user may read")
    return sum(found)


def memory(box: kernelbox.Engine, image: str, store: Path, containers: int) -> int:
    once(box, image)
    jobs = [box.start(image, ["sleep", "100000"]) for _ in range(containers)]
    try:
        return monitor_memory(store)
    finally:
        for job in jobs:
            job.kill()
        for job in jobs:
            job.wait()


def answer(
    question: dict[str, Any], box: kernelbox.Engine, image: str, store: Path, busy: BusyThread | None
) -> dict[str, object]:
    match question:
        case {"do": "run"}:
            with busy or nullcontext():
                return {"seconds": seconds_of(lambda: once(box, image))}
        case {"do": "rate", "threads": threads, "count": count}:
            return {"seconds": rate(box, image, threads, count)}
        case {"do": "memory", "containers": containers}:
            return {"bytes": memory(box, image, store, containers)}
        case {"do": "explain"}:
            return {"text": once(box, image).explain().to_string()}
    raise SystemExit(f"cannot do {question}")


def main() -> None:
    rootfs, store, heap, busy = sys.argv[1:]
    ballast = b"\1" * (int(heap) << 20)
    busy_thread = BusyThread() if busy == "1" else None
    with kernelbox.Engine(root=store) as box:
        for line in sys.stdin:
            print(json.dumps(answer(json.loads(line), box, f"dir:{rootfs}", Path(store), busy_thread)), flush=True)
    del ballast


if __name__ == "__main__":
    main()
