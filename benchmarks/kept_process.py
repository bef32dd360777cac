"""An interpreter that keeps containers when it is told to: `kept_process.py ROOTFS STORE HEAP_MB BUSY`.

It answers what our_process.py answers, and: {"do": "exec"}, {"do": "keep"} (a container is made and started; it is
removed outside of the time) and {"do": "stop"} (of one that handles its signal) give {"seconds"} and {"launches"};
{"do": "keep many", "threads", "count"} those of so many starts. {"do": "idle", "threads", "count"} starts that many
that stay, {"do": "end", "threads"} stops and removes them; {"do": "list"} lists them. {"do": "cycles", "kind", "count"}
makes, starts, waits for and removes ("kept") or runs ("run") so many containers. {"do": "numbers"} is counting.numbers,
{"do": "superblocks"} counting.superblocks.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

import counting
from our_process import Interpreter, serve

from kernelbox.engine.container import Container

IDLE = ["sleep", "1000000"]
HANDLES = "trap 'exit 0' TERM; echo ready; while :; do sleep 1000000 & wait; done"
PATIENCE = 20.0
"""Seconds in which a program must have said that it is ready."""


class KeptInterpreter(Interpreter):
    """With containers that are kept."""

    target: Container | None = None
    """The one that programs are run in."""

    def answer(self, question: dict[str, Any]) -> dict[str, object]:
        match question:
            case {"do": "exec"}:
                with self.busy or nullcontext():
                    return self.one_exec()
            case {"do": "keep"}:
                return self.one_kept()
            case {"do": "stop"}:
                return self.one_stop()
            case {"do": "keep many", "threads": threads, "count": count}:
                return self.many_kept(threads, count)
            case {"do": "idle", "threads": threads, "count": count}:
                seconds = self.each(threads, lambda _: self.keep(IDLE), range(count))
                return {"seconds": seconds}
            case {"do": "list"}:
                return self.listed()
            case {"do": "end", "threads": threads}:
                return self.end(threads)
            case {"do": "cycles", "kind": kind, "count": count}:
                return {"seconds": [self.cycle(kind) for _ in range(count)]}
            case {"do": "numbers"}:
                self.wait_swept()
                return {**counting.numbers(self.store)}
            case {"do": "superblocks"}:
                own, mounts = counting.superblocks(self.pids())
                return {"own": own, "mounts": mounts, "memory groups": self.memory_groups()}
        return super().answer(question)

    def keep(self, command: list[str]) -> Container:
        return self.engine().containers.run(self.image, command)

    def one_exec(self) -> dict[str, object]:
        if self.target is None:
            self.target = self.keep(IDLE)
        begun = time.perf_counter()
        done = self.target.exec(["true"])
        seconds = time.perf_counter() - begun
        if done.exit_code:
            raise RuntimeError(f"true ended with {done.exit_code}")
        return {"seconds": seconds, "launches": [{"seconds": seconds, "steps": [asdict(row) for row in done.trace]}]}

    def one_kept(self) -> dict[str, object]:
        begun = time.perf_counter()
        container = self.keep(IDLE)
        seconds = time.perf_counter() - begun
        self.remove(container)
        return {"seconds": seconds, "launches": []}

    def remove(self, container: Container) -> None:
        container.remove(force=True)
        self.wait_swept()

    def one_stop(self) -> dict[str, object]:
        container = self.keep(["sh", "-c", HANDLES])
        end = time.monotonic() + PATIENCE
        while "ready" not in container.logs():
            if time.monotonic() > end:
                raise RuntimeError("the program to stop did not get ready")
            time.sleep(0.001)
        begun = time.perf_counter()
        container.stop()
        seconds = time.perf_counter() - begun
        code = container.exit_code
        self.remove(container)
        if code != 0:
            raise RuntimeError(f"the program was killed, or failed: {code}")
        return {"seconds": seconds, "launches": []}

    def many_kept(self, threads: int, count: int) -> dict[str, object]:
        kept: list[Container] = []
        seconds = self.each(threads, lambda _: kept.append(self.keep(IDLE)), range(count))
        for container in kept:
            container.remove(force=True)
        self.wait_swept()
        return {"seconds": seconds, "launches": []}

    @staticmethod
    def each(threads: int, work: Callable[[Any], object], things: Iterable[object]) -> float:
        """Seconds of the work on all things, from so many threads at once; what they return is forgotten."""
        begun = time.perf_counter()
        with ThreadPoolExecutor(threads) as pool:
            for done in [pool.submit(work, thing) for thing in things]:
                done.result()
        return time.perf_counter() - begun

    def listed(self) -> dict[str, object]:
        begun = time.perf_counter()
        found = self.engine().containers.list()
        return {"seconds": time.perf_counter() - begun, "found": len(found)}

    def end(self, threads: int) -> dict[str, object]:
        """Asked to end without any patience, as their program handles no signal."""
        found = self.engine().containers.list(all=True)
        self.target = None
        stopped = self.each(threads, lambda container: container.stop(), found)
        removed = self.each(threads, lambda container: container.remove(), found)
        begun = time.perf_counter()
        self.wait_swept()
        return {
            "count": len(found),
            "stop": stopped,
            "remove": removed,
            "swept": time.perf_counter() - begun,
        }

    def cycle(self, kind: str) -> float:
        begun = time.perf_counter()
        if kind == "run":
            self.run_true()
        else:
            container = self.engine().containers.create(self.image, ["true"])
            if container.start().wait() != 0:
                raise RuntimeError(f"true ended with {container.exit_code}")
            container.remove()
        return time.perf_counter() - begun

    def pids(self) -> list[int]:
        return [container.record.pid for container in self.engine().containers.list()]

    def memory_groups(self) -> bool:
        """Whether its containers have memory control groups of their own."""
        found = self.engine().containers.list()
        groups = found[0].folder.start_notes().groups if found else ()
        return any("memory" in group.controllers for group in groups)

    def close(self) -> None:
        if self.box is not None and os.path.exists(self.store):
            self.end(1)
        super().close()


if __name__ == "__main__":
    serve(KeptInterpreter)
