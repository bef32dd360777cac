"""How long after an interrupt a program that ignores polite signals is gone, seen from outside of the engine."""

from __future__ import annotations

import itertools
import os
import select
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import machine
from ours import OurProcess
from starting import CannotStart

LONGEST = 20.0
MARKS = itertools.count(10_000_000 + 1000 * os.getpid())
"""Numbers that no other command line of this machine contains: seconds that the program's child sleeps."""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """Seconds since the signal was sent: when no process and no control group was left, and when the caller of
    `box.run` had its exception."""

    gone: float
    returned: float


def interrupt_once(process: OurProcess) -> Interrupted:
    """Raises CannotStart where there is nothing to interrupt or it does not end."""
    mark = str(next(MARKS))
    process.say(do="interrupt", mark=mark)
    process.listen()
    pids = marked(mark)
    groups = [group for pid in pids for group in control_groups(pid)]
    descriptors = [os.pidfd_open(pid) for pid in pids]
    try:
        if len(pids) < 2:
            raise CannotStart("the program to interrupt was not found among the processes")
        begun = time.perf_counter()
        process.interrupt()
        wait_gone(descriptors, groups)
        gone = time.perf_counter() - begun
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    returned = process.listen()["returned"]
    assert isinstance(returned, float)
    return Interrupted(gone, returned - begun)


def marked(mark: str) -> list[int]:
    """The processes that have it in their command line."""
    found = []
    for process in Path("/proc").iterdir():
        with suppress(OSError):
            if process.name.isdigit() and mark.encode() in (process / "cmdline").read_bytes():
                found.append(int(process.name))
    return found


def control_groups(pid: int) -> list[Path]:
    """The folders of those that were made for its container; an ordinary user may have none."""
    paths = {line.split(":", 2)[2] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()}
    folders = [mount / path[1:] for mount in machine.cgroup_mounts() for path in paths if "kernelbox" in path]
    return [folder for folder in folders if folder.exists()]


def wait_gone(descriptors: list[int], groups: list[Path]) -> None:
    end = time.monotonic() + LONGEST
    for descriptor in descriptors:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if not poll.poll(max(0, end - time.monotonic()) * 1000):
            raise CannotStart(f"the program was still there {LONGEST:g} s after the interrupt")
    while any(group.exists() for group in groups):
        if time.monotonic() > end:
            raise CannotStart(f"its control group was still there {LONGEST:g} s after the interrupt")
        time.sleep(0.0001)
