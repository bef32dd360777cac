"""A container's own file system in user space (FUSE), which answers falsely or never: it cannot get at the monitor's
descriptors, and holds up nobody else."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults.monitors import monitors_of
from security import fuse_server
from sources import SOURCES
from waiting import wait_until

from kernelbox import Engine
from kernelbox.engine.container import Container
from kernelbox.engine.executing import ExecOptions
from kernelbox.errors import KernelBoxError, StartError

pytestmark = [pytest.mark.kernel, pytest.mark.root]

Keep = Callable[..., Container]
Serve = Callable[..., Container]
MACHINES_IDS = {"userns": "host"}
"""With ids of its own a container's file system is closed to the monitor; with these it is not."""


@pytest.fixture
def serve(keep: Keep, tmp_path: Path) -> Serve:
    """A container with such a file system at `place`; its first process does not serve it itself."""
    device = tmp_path / "fuse"
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        pytest.skip(f"this machine has no FUSE: {error.strerror}")
    os.mknod(device, stat.S_IFCHR | 0o666, os.stat("/dev/fuse").st_rdev)
    device.chmod(0o666)
    program = (SOURCES / "tests/security/fuse_server.py").read_text()

    def start(place: str, kind: str, silent: int = 0, **options: Any) -> Container:
        script = f'mkdir -p {place}; python3 -c "$0" {place} {kind} {silent} & wait'
        options |= {"privileged": True, "devices": [f"{device}:/dev/fuse"]}
        container = keep(["sh", "-c", script, program], "host", **options)
        wait_until(lambda: "mounted" in container.logs(), container.logs())
        return container

    return start


@pytest.fixture
def unharmed(engine: Engine, busybox_image: str) -> Callable[[], None]:
    """Checks that the monitor is the one that was there, with the files that it had, and serves others."""
    engine.run(busybox_image, ["true"])
    (before,) = monitors_of(engine.paths.root)

    def check() -> None:
        assert engine.run(busybox_image, ["echo", "served"]).stdout == "served\n"
        assert monitors_of(engine.paths.root) == [before]

    return check


def files_of(engine: Engine) -> int:
    (monitor,) = monitors_of(engine.paths.root)
    return len(os.listdir(f"/proc/{monitor}/fd"))


@pytest.mark.parametrize("kind", ["file", "fifo", "terminal"])
@pytest.mark.parametrize("options", [{}, MACHINES_IDS], ids=["own ids", "machine's ids"])
def test_something_else_in_the_place_of_terminals(
    engine: Engine, serve: Serve, unharmed: Callable[[], None], options: dict[str, Any], kind: str
) -> None:
    """A file is not even opened; a device with the right number that lies elsewhere makes no terminals."""
    container = serve("/dev/pts", kind, **options)
    before = files_of(engine)
    for _ in range(3):
        with pytest.raises(KernelBoxError, match="open a terminal"):
            container.exec(["true"], tty=True)
    assert files_of(engine) == before
    assert f"asked {fuse_server.OPEN}" not in container.logs()
    assert f"asked {fuse_server.IOCTL}" not in container.logs()
    assert container.exec(["echo", "well"]).stdout == "well\n"
    unharmed()


@pytest.mark.parametrize("options", [{}, {"pid": "host"}], ids=["own processes", "machine's processes"])
def test_terminals_that_never_answer(
    engine: Engine, serve: Serve, unharmed: Callable[[], None], options: dict[str, Any]
) -> None:
    """Who has asked such a file system cannot be killed: the container is, also where its server is no descendant in a
    pid namespace of its first process."""
    container = serve("/dev/pts", "file", fuse_server.LOOKUP, **MACHINES_IDS, **options)
    before = files_of(engine)
    with pytest.raises(StartError, match="did not answer"):
        container.exec(["true"], tty=True)
    assert container.wait() == 137
    assert files_of(engine) <= before
    unharmed()


def test_a_program_that_never_answers(serve: Serve, unharmed: Callable[[], None]) -> None:
    container = serve("/own", "file", fuse_server.OPEN)
    with pytest.raises(StartError, match="it did not come so far"):
        container.exec(["/own/program"])
    unharmed()


def test_a_folder_that_never_answers(serve: Serve, unharmed: Callable[[], None]) -> None:
    container = serve("/own", "file", fuse_server.LOOKUP, **MACHINES_IDS)
    with pytest.raises(StartError, match="it did not come so far"):
        container.exec(["true"], workdir="/own/folder")
    unharmed()


def test_a_shared_memory_that_never_answers(
    keep: Keep, serve: Serve, busybox_image: str, unharmed: Callable[[], None]
) -> None:
    """Who would join it is told so; the container that has such a thing is not there any more."""
    container = serve("/dev/shm", "file", fuse_server.STATFS, ipc="shareable", **MACHINES_IDS)
    with pytest.raises(StartError, match="share the memory"):
        keep(image=busybox_image, name="joins", ipc=f"container:{container.name}")
    assert container.wait() == 137
    container.box.containers.get("joins").remove()
    unharmed()


def test_a_program_that_answers(serve: Serve, unharmed: Callable[[], None]) -> None:
    """Who means well has no trouble."""
    container = serve("/own", "file")
    assert container.exec(["/own/program"]).stdout == "ran\n"
    assert container.status == "running"
    unharmed()


def test_an_end_that_never_comes(serve: Serve, unharmed: Callable[[], None]) -> None:
    """A process of an exec that stays, for a file that it had open cannot be closed."""
    container = serve("/own", "file", fuse_server.FLUSH)
    execution = container.begin_exec(["/own/program"], ExecOptions.make(), detach=True)
    execution.wait_started()
    execution.detach()
    wait_until(lambda: f"asked {fuse_server.FLUSH}" in container.logs())
    unharmed()
    container.kill()
    assert container.wait() == 137
    unharmed()
