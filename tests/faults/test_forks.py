"""No process can be made, wherever one is needed: a sentence says so, nothing is left, and the next try works."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import leaks
import pytest
from faults.forks import full_group, no_process_allowed
from faults.kept_plans import nothing_runs
from faults.monitors import groups_of, monitors_of, processes_in
from ordinary_user import User
from waiting import wait_until

from kernelbox import Engine
from kernelbox.engine.container import Container
from kernelbox.errors import StartError

pytestmark = [pytest.mark.kernel, pytest.mark.root]

REASON = "resource temporarily unavailable"
SLEEP = ["sleep", "infinity"]


@pytest.fixture
def image(busybox_rootfs: Path) -> str:
    return f"dir:{busybox_rootfs}"


@pytest.fixture
def box(engine: Engine) -> Iterator[Engine]:
    """One whose monitor is there."""
    engine.run("host", ["true"])
    yield engine
    for container in engine.containers.list(all=True):
        container.remove(force=True)


def works(box: Engine, image: str) -> None:
    run = box.run(image, ["echo", "well"])
    assert (run.exit_code, run.stdout) == (0, "well\n")


def test_a_run(box: Engine, image: str) -> None:
    with no_process_allowed(box):
        with pytest.raises(StartError, match=f"could not start a process in new namespaces: .*: {REASON}"):
            box.run(image, ["true"])
        assert not groups_of(box.paths.root)
    works(box, image)


def test_a_start(box: Engine, image: str) -> None:
    container = box.containers.create(image, SLEEP)
    with no_process_allowed(box):
        with pytest.raises(StartError, match=f"could not start a process in new namespaces: .*{REASON}"):
            container.start()
        nothing_runs(container)
        assert REASON in container.record.error
    assert container.start().exec(["echo", "well"]).stdout == "well\n"


@pytest.mark.parametrize("tty", [False, True])
def test_an_exec(box: Engine, image: str, tty: bool) -> None:
    container = box.containers.run(image, SLEEP)
    with no_process_allowed(box):
        with pytest.raises(StartError, match=REASON):
            container.exec(["true"], tty=tty)
        assert container.reload().status == "running"
    assert container.exec(["true"], tty=tty).exit_code == 0


def end(container: Container) -> None:
    os.kill(container.record.pid, 9)
    wait_until(lambda: container.folder.exit() is not None)


def error_of(container: Container) -> str:
    return container.reload().record.error


def test_a_restart_is_tried_again(box: Engine, image: str) -> None:
    container = box.containers.run(image, ["sh", "-c", "echo run; sleep infinity"], restart="always")
    wait_until(lambda: container.logs() == "run\n")
    with no_process_allowed(box):
        end(container)
        wait_until(lambda: REASON in error_of(container))
        assert container.status == "restarting"
        assert container.record.error == f"it could not be started again: {REASON}"
        assert container.folder.running() is None
    wait_until(lambda: container.logs() == "run\nrun\n")
    wait_until(lambda: container.reload().status == "running")
    assert not container.record.error


def test_the_last_restart(box: Engine, image: str) -> None:
    container = box.containers.run(image, SLEEP, restart="on-failure:1")
    with no_process_allowed(box):
        end(container)
        wait_until(lambda: container.reload().status == "exited")
        assert (container.exit_code, error_of(container)) == (127, f"it could not be started again: {REASON}")
        wait_until(lambda: not groups_of(box.paths.root))
    assert container.start().status == "running"


def test_a_health_check(box: Engine, image: str) -> None:
    options = {"health_cmd": "true", "health_interval": 0.05, "health_retries": 1}
    container = box.containers.run(image, SLEEP, **options)

    def health(word: str) -> bool:
        return container.reload().record.health == word

    wait_until(lambda: health("healthy"))
    with no_process_allowed(box):
        wait_until(lambda: health("unhealthy"))
        assert "the check could not be started: Resource temporarily unavailable" in str(container.attrs["State"])
    wait_until(lambda: health("healthy"))


def test_what_a_container_leaves_is_deleted_later(engine: Engine, image: str) -> None:
    """The process that deletes is made when it is first needed."""
    job = engine.start(image, ["sh", "-c", "echo content > /file; sleep infinity"])
    wait_until(lambda: processes_in(groups_of(engine.paths.root)))
    with no_process_allowed(engine):
        job.kill()
        assert job.wait(10).exit_code == 137
        assert not list(engine.paths.runs.iterdir())
        engine._open().wait_swept()
    engine._open().wait_swept()
    assert not leaks.left_in_store(engine.paths.root)


def test_it_is_never_deleted_by_another_process(store: Path, image: str) -> None:
    """The monitor does so itself, as the last thing."""
    with Engine(root=store) as box:
        job = box.start(image, SLEEP)
        wait_until(lambda: processes_in(groups_of(store)))
        with no_process_allowed(box):
            job.kill()
            job.wait(10)
            box.close()
            wait_until(lambda: not monitors_of(store))
            assert not leaks.left_in_store(store)


START = """
import sys
from pathlib import Path
import kernelbox as kb
from kernelbox.errors import KernelBoxError
monitor = kb.Engine()._open()
Path(sys.argv[1], "cgroup.procs").write_text("0")
try:
    monitor.take()
except KernelBoxError as error:
    print(error.message)
"""


@pytest.mark.parametrize(
    ("room", "sentence"),
    [
        (1, f"could not start the monitor: {REASON}"),
        (2, f"the monitor could not be started: could not fork: {REASON}"),
    ],
)
def test_a_monitor(engine: Engine, image: str, room: int, sentence: str) -> None:
    with full_group(room) as group:
        done = subprocess.run([sys.executable, "-c", START, group], capture_output=True, text=True)
    assert done.stdout == f"{sentence}\n", done.stderr
    assert not monitors_of(engine.paths.root)
    works(engine, image)


THREAD = """
import sys
from pathlib import Path
import kernelbox as kb
from kernelbox.errors import KernelError
box = kb.Engine()
box.run(sys.argv[2], ["true"])
Path(sys.argv[1], "cgroup.procs").write_text("0")
try:
    box.start(sys.argv[2], ["sleep", "infinity"])
except KernelError as error:
    print(error.message.partition(" that waits")[0], list(box.paths.runs.iterdir()))
box.close()
"""


def test_a_thread_of_the_engine(store: Path, image: str) -> None:
    with full_group(1) as group:
        done = subprocess.run([sys.executable, "-c", THREAD, group, image], capture_output=True, text=True)
    assert done.stdout == "could not start a thread []\n", done.stderr
    wait_until(lambda: not monitors_of(store))


ROOTLESS = """
import resource, sys
import kernelbox as kb
from kernelbox.errors import KernelBoxError

def attempt():
    try:
        print(box.run(sys.argv[1], ["echo", "well"]).stdout.strip())
    except KernelBoxError as error:
        print(error.message)

box = kb.Engine()
hard = resource.getrlimit(resource.RLIMIT_NPROC)
resource.setrlimit(resource.RLIMIT_NPROC, (0, hard[1]))
attempt()
resource.setrlimit(resource.RLIMIT_NPROC, hard)
attempt()
monitor = box._open()._pid
before = resource.prlimit(monitor, resource.RLIMIT_NPROC, (0, resource.prlimit(monitor, resource.RLIMIT_NPROC)[1]))
attempt()
resource.prlimit(monitor, resource.RLIMIT_NPROC, before)
attempt()
box.close()
"""


def test_an_ordinary_user_s_limit(container_user: User, own_busybox: str) -> None:
    done = container_user.python(ROOTLESS, own_busybox)
    assert done.returncode == 0, done.stderr
    first, second, third, fourth = done.stdout.splitlines()
    assert first == f"could not start the monitor: {REASON}"
    assert second == fourth == "well"
    assert "could not start a process in new namespaces" in third
    assert third.endswith(REASON)
