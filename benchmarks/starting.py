"""What it means to start something and to time it: the words that all contenders share."""

from __future__ import annotations

import os
import select
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import machine

from kernelbox.runtime.trace import TraceRow

LONGEST = 60.0
"""Seconds after which a program that has not ended is killed, and counts as failed."""


class CannotStart(Exception):
    """The contender does not work on this machine, or did not this time; the message is its own."""


FAILURES = (CannotStart, OSError)


@dataclass(frozen=True, slots=True)
class Launch:
    """A start of an engine that says what it did, step by step."""

    seconds: float
    steps: tuple[TraceRow, ...]


@dataclass(frozen=True, slots=True)
class Timed:
    """How long one start took, or many together; `launches` is for who can explain (some of) them."""

    seconds: float
    launches: tuple[Launch, ...] = ()


class Ready(Protocol):
    """Something that can be started again and again."""

    def start(self) -> Timed:
        """One start. What it leaves to be done later is done when this returns, outside of the time."""

    def burst(self, threads: int, count: int) -> Timed:
        """`count` starts from so many threads at once."""


@dataclass(frozen=True, slots=True)
class Contender:
    """`open(rootfs, folder)` makes it ready; `version` is a command that says its own; `time` says what is inside and
    outside of the time of a start; with `rated` its starts per second are measured too."""

    name: str
    open: Callable[[Path, Path], AbstractContextManager[Ready]]
    time: str
    version: tuple[str, ...] = ()
    rated: bool = True

    def missing(self) -> str:
        """Why it cannot be tried here; empty where it can."""
        found = not self.version or machine.program(self.version[0])
        return "" if found else f"{self.version[0]} is not installed"


def nothing() -> None:
    """What most programs leave to be done later."""


@dataclass(frozen=True, slots=True)
class Command:
    """A program that starts a container, and ends with it. `settle` returns when what it left has gone."""

    words: Callable[[], Sequence[str]]
    env: Mapping[str, str] | None = None
    settle: Callable[[], None] = nothing

    def start(self) -> Timed:
        seconds = timed(self.words(), self.env)
        self.settle()
        return Timed(seconds)

    def burst(self, threads: int, count: int) -> Timed:
        with ThreadPoolExecutor(threads) as pool:
            begun = time.perf_counter()
            list(pool.map(lambda _: timed(self.words(), self.env), range(count)))
            seconds = time.perf_counter() - begun
        self.settle()
        return Timed(seconds)


def timed(command: Sequence[str], env: Mapping[str, str] | None = None) -> float:
    """Seconds of one run of a command. Raises CannotStart with its last words where it fails."""
    with tempfile.TemporaryFile() as said:
        begun = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=env)
        ended = wait_for(process, LONGEST)
        seconds = time.perf_counter() - begun
        if not ended:
            raise CannotStart(f"{command[0]}: it had not ended after {LONGEST:g} s")
        if process.returncode:
            raise CannotStart(f"{command[0]}: {last_line(said) or f'exit status {process.returncode}'}")
    return seconds


def wait_for(process: subprocess.Popen[bytes], longest: float) -> bool:
    """False where it had to be killed. Popen.wait with a time-out would look again and again, with pauses in between
    that would be measured."""
    try:
        descriptor = os.pidfd_open(process.pid)
        try:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            ended = bool(poll.poll(longest * 1000))
        finally:
            os.close(descriptor)
    except BaseException:
        process.kill()
        process.wait()
        raise
    if not ended:
        process.kill()
    process.wait()
    return ended


def last_line(file: BinaryIO) -> str:
    file.seek(0)
    lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else ""
