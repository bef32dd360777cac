"""Which process is a kept container's first one, as its own folder says: written by the process itself before it does
anything else, removed by the monitor after its end. Over crashes and reboots this tells who still runs."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Running", "is_running", "named", "read_running"]

NAME = "running"
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Running:
    """`started` is its start in clock ticks since boot, `boot` which boot that was: together they name one process.
    `restarts` is how often it has been started again."""

    pid: int
    started: str
    restarts: int
    boot: str

    @property
    def identity(self) -> str:
        return f"{self.pid} {self.started} {self.boot}"

    def alive(self, proc: Path = _PROC) -> bool:
        """Whether that very process exists; one that has ended and waits to be reaped does not."""
        if _boot_id(proc) != self.boot:
            return False
        try:
            with open(f"{proc}/{self.pid}/stat", "rb", buffering=0) as file:
                fields = file.read(4096).rpartition(b")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return False
        return fields[19].decode() == self.started and fields[0] not in (b"Z", b"X")


@functools.cache
def _boot_id(proc: Path) -> str:
    return (proc / "sys/kernel/random/boot_id").read_text().strip()


def named(identity: str) -> Running | None:
    """The process of that `identity`, as a record has it; None where it names none."""
    words = identity.split()
    if len(words) != 3 or not words[0].isdigit():
        return None
    return Running(int(words[0]), words[1], 0, words[2])


def read_running(folder: Path | str) -> Running | None:
    """None where the container does not run, or its process has not come so far yet."""
    try:
        with open(os.path.join(folder, NAME), encoding="ascii", errors="replace") as file:
            words = file.read(256).split()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if len(words) != 4 or not (words[0].isdigit() and words[2].isdigit()):
        return None
    return Running(int(words[0]), words[1], int(words[2]), words[3])


def is_running(folder: Path | str) -> bool:
    """Whether the first process of the container in this folder lives."""
    found = read_running(folder)
    return found is not None and found.alive()
