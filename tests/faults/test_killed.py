"""kill -9 of whoever takes part, at moments by chance: the next engine finds and leaves a clean store."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import leaks
import pytest
from faults.monitors import groups_of, monitors_of, processes_in
from waiting import wait_until

from kernelbox import Engine
from kernelbox.engine.job import Job
from kernelbox.engine.options import RunOptions
from kernelbox.errors import MonitorError

pytestmark = [pytest.mark.kernel, pytest.mark.root, pytest.mark.usefixtures("orphans")]

LOOP = """
import sys
import kernelbox as kb
image = sys.argv[1]
box = kb.Engine()
jobs = [box.start(image, ["sleep", "infinity"]) for _ in range(2)]
while True:
    box.run(image, ["sh", "-c", "mkdir -p /a/b/c; echo content > /a/b/c/file"], volumes=["/tmp:/data:ro"])
    print("done", flush=True)
"""


@pytest.fixture
def image(busybox_rootfs: Path) -> str:
    return f"dir:{busybox_rootfs}"


def a_moment(chance: random.Random) -> None:
    """Up to some milliseconds of work: what is killed then is somewhere in the middle of a run."""
    for _ in range(chance.randrange(150_000)):
        pass


def start_waiting(box: Engine, store: Path, image: str) -> Job:
    """A container that has started and will not end."""
    job = box.start(image, ["sleep", "infinity"])
    wait_until(lambda: ["sleep"] in [leaks.lines(f"/proc/{pid}/comm") for pid in processes_in(groups_of(store))])
    return job


def sweepers_of(monitor: int) -> list[int]:
    return [p.pid for p in leaks.processes() if p.parent == monitor and p.name == "kb-sweeper"]


def works_and_is_clean(store: Path, image: str) -> None:
    with Engine(root=store) as box:
        run = box.run(image, ["echo", "well"])
        assert (run.exit_code, run.stdout) == (0, "well\n")
        box.run(image, ["true"])
        wait_until(lambda: not groups_of(store), "the groups of what was killed are removed")
    assert not leaks.left_in_store(store)


@pytest.mark.parametrize("seed", range(6))
def test_an_engine_is_killed(store: Path, image: str, seed: int) -> None:
    chance = random.Random(seed)
    with subprocess.Popen([sys.executable, "-c", LOOP, image], stdout=subprocess.PIPE) as engine:
        assert engine.stdout is not None
        for _ in range(chance.randrange(1, 5)):
            assert engine.stdout.readline() == b"done\n"
        a_moment(chance)
        engine.kill()
    wait_until(lambda: not monitors_of(store), "the monitor ends with what was leased to the engine")
    assert not groups_of(store)
    assert not leaks.left_in_store(store)
    works_and_is_clean(store, image)


def test_an_engine_is_killed_before_it_has_run_anything(store: Path, image: str) -> None:
    code = "import os, kernelbox as kb; box = kb.Engine(); box._open().take(); os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    wait_until(lambda: not monitors_of(store))
    works_and_is_clean(store, image)


@pytest.mark.parametrize("seed", range(6))
def test_the_monitor_is_killed(store: Path, image: str, seed: int) -> None:
    """Its containers end with it; the engine that is still there starts another one."""
    chance = random.Random(seed)
    outcomes: list[str] = []
    with Engine(root=store) as box:
        waiting = start_waiting(box, store, image)
        (monitor,) = monitors_of(store)
        stop = threading.Event()

        def run_on() -> None:
            while not stop.is_set():
                try:
                    outcomes.append(box.run(image, ["echo", "well"]).stdout)
                except MonitorError as error:
                    outcomes.append(type(error).__name__)

        thread = threading.Thread(target=run_on)
        thread.start()
        count = chance.randrange(1, 6)
        wait_until(lambda: len(outcomes) >= count)
        a_moment(chance)
        os.kill(monitor, signal.SIGKILL)
        wait_until(lambda: outcomes[-1] == "well\n" and monitors_of(store) not in ([], [monitor]))
        stop.set()
        thread.join()
        with pytest.raises(MonitorError, match="the monitor ended while the container ran"):
            waiting.wait(10)
        assert set(outcomes) <= {"well\n", "MonitorError"}
        wait_until(lambda: not processes_in(groups_of(store)))
    assert not leaks.left_in_store(store)
    works_and_is_clean(store, image)


def test_the_monitor_is_killed_and_its_engine_closed(store: Path, image: str) -> None:
    box = Engine(root=store)
    box.run(image, ["true"])
    job = start_waiting(box, store, image)
    os.kill(*monitors_of(store), signal.SIGKILL)
    with pytest.raises(MonitorError, match="the monitor ended while the container ran"):
        job.wait(10)
    box.close()
    assert box.closed
    wait_until(lambda: not monitors_of(store))
    works_and_is_clean(store, image)


def test_the_sweeper_is_killed(store: Path, image: str) -> None:
    with Engine(root=store) as box:
        box.run(image, ["true"])
        (monitor,) = monitors_of(store)
        for _ in range(3):
            (sweeper,) = wait_until(lambda: sweepers_of(monitor))
            os.kill(sweeper, signal.SIGKILL)
            wait_until(lambda dead=sweeper: not Path(f"/proc/{dead}").exists(), "the monitor reaps its sweeper")
            box.run(image, ["sh", "-c", "echo content > /file"])
        assert monitors_of(store) == [monitor]
    assert not leaks.left_in_store(store)


STEP = """
import sys
import kernelbox as kb
box = kb.Engine()
for line in sys.stdin:
    box.run(sys.argv[1], ["true"])
    print("done", flush=True)
"""


def test_the_sweeper_is_killed_after_the_engine(store: Path, image: str) -> None:
    """The monitor then has nothing to stay for, and something in the trash."""
    command = [sys.executable, "-c", STEP, image]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as engine:
        assert engine.stdin is not None
        assert engine.stdout is not None

        def run_one() -> None:
            engine.stdin.write(b"\n")
            engine.stdin.flush()
            assert engine.stdout.readline() == b"done\n"

        run_one()
        (monitor,) = monitors_of(store)
        (sweeper,) = wait_until(lambda: sweepers_of(monitor))
        os.kill(sweeper, signal.SIGSTOP)
        run_one()
        assert leaks.left_in_store(store)
        os.kill(monitor, signal.SIGSTOP)
        engine.kill()
        engine.wait()
        os.kill(sweeper, signal.SIGKILL)
        os.kill(monitor, signal.SIGCONT)
    wait_until(lambda: not monitors_of(store))
    assert not leaks.left_in_store(store)


def test_everybody_is_killed(store: Path, image: str) -> None:
    with subprocess.Popen([sys.executable, "-c", LOOP, image], stdout=subprocess.PIPE) as engine:
        assert engine.stdout is not None
        engine.stdout.readline()
        os.kill(*monitors_of(store), signal.SIGSTOP)
        wait_until(lambda: processes_in(groups_of(store)))
        (monitor,) = monitors_of(store)
        for pid in (monitor, *sweepers_of(monitor), engine.pid):
            os.kill(pid, signal.SIGKILL)
    works_and_is_clean(store, image)


def test_what_a_killed_monitor_has_not_read_is_not_begun_anew_to_be_ended(store: Path, image: str) -> None:
    with Engine(root=store) as box:
        box.run(image, ["true"])
        (monitor,) = monitors_of(store)
        run = box.begin(image, ["sleep", "infinity"], RunOptions.make())
        os.kill(monitor, signal.SIGSTOP)
        run.launch.send()
        os.kill(monitor, signal.SIGKILL)
        with pytest.raises(KeyboardInterrupt), run.starting():
            raise KeyboardInterrupt
        assert run.launch.ended
        wait_until(lambda: monitor not in monitors_of(store))
        assert not monitors_of(store), "there was no need for another one"
    works_and_is_clean(store, image)
