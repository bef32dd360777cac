"""Who starts containers that are kept, and runs more in them, holds nothing of that afterwards, interrupted or not."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from interrupts import interrupted_everywhere
from waiting import wait_until

from kernelbox.engine import executing, kept_run
from kernelbox.engine.executing import ExecOptions
from kernelbox.linux.cgroups.live import processes
from kernelbox.runtime import connection, launch, monitor
from kernelbox.runtime.launch import Launch

if TYPE_CHECKING:
    from kernelbox import Engine
    from kernelbox.engine.container import Container
    from kernelbox.engine.containers import Containers


def sockets() -> int:
    """Open ones of this process."""
    return sum(link.startswith("socket:") for link in descriptors())


def descriptors() -> list[str]:
    """What this process has open."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the folder's own
            found.append(os.readlink(link))  # "socket:[1]" is no path
    return found


def test_a_start_gives_its_connection_back(engine: Engine, busybox_image: str) -> None:
    with ExitStack() as stack:

        def start() -> None:
            container = engine.containers.run(busybox_image, ["sleep", "infinity"])
            stack.callback(container.remove, force=True)

        start()
        before = sockets()
        for _ in range(3):
            start()
        assert sockets() == before


def alone(container: Container) -> bool:
    """Whether nothing but its first process runs in it."""
    return len(processes(container.folder.start_notes().groups)) == 1


@pytest.mark.timeout(120)
def test_an_exec_that_is_interrupted_leaves_nothing(sleeper: Container) -> None:
    def run() -> None:
        sleeper.exec(["sleep", "infinity"], timeout=0)

    run()
    assert sleeper.exec(["true"]).exit_code == 0
    before = len(descriptors())
    for place in interrupted_everywhere(run, executing, launch, connection, monitor):
        wait_until(lambda: alone(sleeper), f"interrupted at {place}, it goes on")
        assert sleeper.exec(["true"]).exit_code == 0, place  # which takes a connection, and gives it back
        assert len(descriptors()) <= before, f"interrupted at {place}"


def test_an_exec_that_nobody_waits_for_ends(sleeper: Container) -> None:
    """That was leased; and none of them is connected any more."""
    before = len(descriptors())
    for _ in range(3):
        sleeper.begin_exec(["sleep", "infinity"], ExecOptions()).wait_started()
        sleeper.begin_exec(["sleep", "infinity"], ExecOptions())
    wait_until(lambda: alone(sleeper))
    assert len(descriptors()) <= before


def test_a_detached_exec_is_not_connected(sleeper: Container) -> None:
    before = sockets()
    for _ in range(3):
        execution = sleeper.begin_exec(["sleep", "infinity"], ExecOptions(), detach=True)
        execution.wait_started()
        execution.detach()
        execution.detach()
        assert sockets() <= before
    assert len(processes(sleeper.folder.start_notes().groups)) == 4, "they go on"


@pytest.mark.timeout(120)
def test_an_attached_run_that_is_interrupted_leaves_nothing(containers: Containers, busybox_image: str) -> None:
    container = containers.create(busybox_image, ["sleep", "infinity"])

    def run() -> None:
        kept_run.wait_attached(container, timeout=0)

    run()
    run()
    before = len(descriptors())
    for place in interrupted_everywhere(run, kept_run, Launch.begin, Launch.wait_started):
        assert container.reload().status == "exited", place
        assert len(descriptors()) <= before, f"interrupted at {place}"


# -- what is only shown ----------------------------------------------------------------------------------------------


def test_what_an_attached_start_shows_is_not_kept(containers: Containers, busybox_image: str) -> None:
    container, shown = containers.create(busybox_image, ["seq", "100000"]), []
    begun = container.begin_start(attach=True, on_output=lambda _, chunk: shown.append(len(chunk)))
    assert begun is not None
    begun.wait()
    assert sum(shown) == 588895
    assert begun.outcome.out == []
    begun.detach()


def test_what_an_exec_shows_is_not_kept(sleeper: Container) -> None:
    shown: list[int] = []
    execution = sleeper.begin_exec(
        ["seq", "100000"], ExecOptions(), on_output=lambda _, chunk: shown.append(len(chunk)), capture=False
    )
    assert execution.wait().stdout_bytes == b""
    assert sum(shown) == 588895


def test_an_attached_run_gives_its_output_back(containers: Containers, busybox_image: str) -> None:
    container = containers.create(busybox_image, ["sh", "-c", "seq 100000; echo err >&2"])
    result = kept_run.wait_attached(container)
    assert (len(result.stdout_bytes), result.stderr) == (588895, "err\n")
