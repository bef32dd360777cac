"""This engine as it is measured: from an interpreter that runs, from a new one, and as a shell command."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starting import CannotStart, Command, Launch, Ready, Timed, last_line

from kernelbox.runtime.trace import TraceRow
from kernelbox.store.paths import StorePaths

PROGRAM = Path(__file__).with_name("our_process.py")
GOING = 10.0
"""Seconds in which a monitor that nobody needs any more must have gone."""


class OurProcess:
    """A Python interpreter with an engine in it: see our_process.py, which says what may be asked."""

    def __init__(
        self, rootfs: Path, folder: Path, *, heap: int = 0, busy: bool = False, program: Path = PROGRAM
    ) -> None:
        command = [sys.executable, str(program), str(rootfs), str(folder / "store"), str(heap), str(int(busy))]
        self.errors = (folder / "errors").open("w+b")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors)

    def ask(self, **question: object) -> dict[str, object]:
        """One question, one answer. Raises CannotStart as `listen` does."""
        self.say(**question)
        return self.listen()

    def say(self, **question: object) -> None:
        assert self.process.stdin
        with suppress(BrokenPipeError):  # it has ended, and listen() says why
            self.process.stdin.write(json.dumps(question).encode() + b"\n")
            self.process.stdin.flush()

    def listen(self) -> dict[str, object]:
        """Raises CannotStart with what the interpreter says of its failure, or with its last words."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            raise CannotStart(last_line(self.errors) or f"exit status {self.process.returncode}")
        answer: dict[str, object] = json.loads(line)
        if "error" in answer:
            raise CannotStart(str(answer["error"]))
        return answer

    def time(self, **question: object) -> Timed:
        answer: dict[str, Any] = self.ask(**question)
        launches = (
            Launch(launch["seconds"], tuple(TraceRow(**row) for row in launch["steps"]))
            for launch in answer["launches"]
        )
        return Timed(answer["seconds"], tuple(launches))

    def interrupt(self) -> None:
        """As Ctrl-C or a notebook's stop button does."""
        os.kill(self.process.pid, signal.SIGINT)

    def close(self) -> None:
        assert self.process.stdin
        assert self.process.stdout
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.errors.close()


@contextmanager
def our_process(
    rootfs: Path, folder: Path, *, heap: int = 0, busy: bool = False, program: Path = PROGRAM
) -> Iterator[OurProcess]:
    process = OurProcess(rootfs, folder, heap=heap, busy=busy, program=program)
    try:
        yield process
    finally:
        process.close()


@dataclass(frozen=True, slots=True)
class Running:
    """`box.run` timed by its interpreter, whose engine and monitor are there."""

    process: OurProcess

    def start(self) -> Timed:
        return self.process.time(do="run")

    def burst(self, threads: int, count: int) -> Timed:
        return self.process.time(do="burst", threads=threads, count=count)


@dataclass(frozen=True, slots=True)
class First:
    """A fresh engine and its first run, timed by an interpreter of their own. There is no monitor before or after."""

    rootfs: Path
    folder: Path
    heap: int

    def start(self) -> Timed:
        with our_process(self.rootfs, self.folder, heap=self.heap) as process:
            found = process.time(do="first")
        wait_monitor_gone(self.folder / "store")
        return found

    def burst(self, threads: int, count: int) -> Timed:
        raise CannotStart("there is only one first start")


def running(*, heap: int = 0, busy: bool = False) -> Callable[[Path, Path], AbstractContextManager[Ready]]:
    """An interpreter whose heap holds `heap` MB and in which another thread may be `busy`."""

    @contextmanager
    def opened(rootfs: Path, folder: Path) -> Iterator[Ready]:
        with our_process(rootfs, folder, heap=heap, busy=busy) as process:
            yield Running(process)

    return opened


def first(*, heap: int = 0) -> Callable[[Path, Path], AbstractContextManager[Ready]]:
    @contextmanager
    def opened(rootfs: Path, folder: Path) -> Iterator[Ready]:
        yield First(rootfs, folder, heap)

    return opened


@contextmanager
def shell_command(rootfs: Path, folder: Path) -> Iterator[Ready]:
    """`kernelbox run`, each time with a monitor of its own."""
    store = folder / "store"
    command = [*command_line(), "run", f"dir:{rootfs}", "true"]
    yield Command(lambda: command, {**os.environ, "KERNELBOX_ROOT": str(store)}, lambda: wait_monitor_gone(store))


def command_line() -> list[str]:
    """The program `kernelbox` of this very Python."""
    installed = Path(sys.executable).with_name("kernelbox")
    return [str(installed)] if installed.exists() else [sys.executable, "-m", "kernelbox.cli"]


def wait_monitor_gone(store: Path) -> None:
    """A monitor holds the store's lock for as long as it lives."""
    end = time.monotonic() + GOING
    with StorePaths.of(store).lock.open("rb") as lock:
        while True:
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            if time.monotonic() > end:
                raise CannotStart(f"the monitor has not gone within {GOING:g} s")
            time.sleep(0.001)
