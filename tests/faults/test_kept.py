"""Containers that are kept, and kill -9 of their monitor, of an engine, or of both, at moments by chance.

After each: what was reported as created is there, what was reported as running runs or has ended with a reason, no line
that a program wrote is lost, and when all is removed nothing is left. KERNELBOX_SEEDS says how many moments are tried
(8)."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import leaks
import pytest
from faults.monitors import groups_of, monitors_of
from waiting import wait_until

from kernelbox import Engine
from kernelbox.engine.container import Container
from kernelbox.errors import Conflict, KernelBoxError

pytestmark = [pytest.mark.kernel, pytest.mark.root, pytest.mark.usefixtures("orphans")]

SEEDS = range(int(os.environ.get("KERNELBOX_SEEDS", "8")))

LINES = 'i=0; while :; do echo "line $i"; i=$((i+1)); sleep 0.001; done'

# Says what it begins and what it has done: what was begun alone may have been done or not.
LIVES = """
import random, sys
import kernelbox as kb
image, seed = sys.argv[1], int(sys.argv[2])
chance = random.Random(seed)
box = kb.Engine()
known = []
def say(*words): print(*words, flush=True)
say("ready")
while True:
    what = chance.choice(["create", "start", "start", "stop", "remove", "exec", "restart", "pause"])
    if what == "create" or not known:
        known.append(box.containers.create(image, ["sh", "-c", sys.argv[3]], restart=chance.choice(["no", "always"])))
        say("create", known[-1].id)
        continue
    one = chance.choice(known)
    say("begin", one.id)
    if what == "start":
        one.start()
    elif what == "stop":
        one.stop(0)
    elif what == "remove":
        one.remove(force=True)
        known.remove(one)
    elif what == "restart":
        one.restart(0)
    elif what == "pause" and one.reload().status == "running":
        one.pause(); one.unpause()
    elif what == "exec" and one.reload().status == "running":
        one.exec(["true"])
    say(what, one.id)
"""


AFTERWARDS = {
    "create": ("created",),
    "start": ("running",),
    "restart": ("running",),
    "stop": ("created", "exited"),
}
"""What was done to a container, and what it may be then, whoever was killed."""


@pytest.fixture
def image(busybox_rootfs: Path) -> str:
    return f"dir:{busybox_rootfs}"


def a_moment(chance: random.Random) -> None:
    for _ in range(chance.randrange(200_000)):
        pass


def kill_monitor(store: Path) -> int:
    """Its pid; 0 where there is none."""
    for pid in monitors_of(store):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            return pid
    return 0


def all_lines_are_there(container: Container) -> None:
    """Numbers go up by one; after a monitor was killed some may be there twice; each run begins with 0."""
    before = -1
    for line in container.logs().splitlines():
        number = int(line.removeprefix("line "))
        assert number <= before + 1, f"{before} and then {number}"
        before = number


def is_true(container: Container) -> bool:
    """Whether its state is what it says. One that runs does something too, and so has a monitor."""
    if container.reload().status == "paused":
        container.unpause()
    record, running = container.record, container.folder.running()
    alive = running is not None and running.alive()
    if record.status != "running":
        return record.status in ("created", "exited", "restarting") and not alive
    if running is None or not alive or (record.pid, record.process) != (running.pid, running.identity):
        return False
    with contextlib.suppress(Conflict):  # it has just ended
        return container.exec(["echo", "well"]).stdout == "well\n"
    return False


def is_whole(container: Container, said: str) -> None:
    """It is in one state, and that is true, at the latest when what was begun has come to its end: a process that was
    just being killed, a killed monitor that has its lock for a moment longer."""
    wait_until(lambda: is_true(container), "its state is true")
    record = container.record
    if record.status == "exited":
        assert record.exit_code is not None or record.error
    if said:
        assert record.status in AFTERWARDS[said], record
    all_lines_are_there(container)


@contextlib.contextmanager
def an_init() -> Iterator[None]:
    """What a machine's first process does: where a parent was killed its children come to us, and no pid namespace ends
    before somebody has waited for all who were in it."""
    over = threading.Event()

    def reap() -> None:
        while not over.wait(0.01):
            for each in leaks.processes():
                if (each.parent, each.state) == (os.getpid(), "Z") and is_in_container(each.pid):
                    with contextlib.suppress(ChildProcessError):
                        os.waitpid(each.pid, os.WNOHANG)

    thread = threading.Thread(target=reap)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def is_in_container(pid: int) -> bool:
    """Whether it has a number in a pid namespace below ours."""
    return any(line.startswith("NSpid:") and len(line.split()) > 2 for line in leaks.lines(f"/proc/{pid}/status"))


def is_clean(store: Path) -> None:
    """Everything is removed, and leaves nothing."""
    with an_init(), Engine(root=store) as box:
        for container in box.containers.list(all=True):
            container.remove(force=True)
        assert box.containers.list(all=True) == []
        wait_until(lambda: not groups_of(store), "no group is left")
        box.run("host", ["true"])
    wait_until(lambda: not monitors_of(store), "no monitor is left")
    assert not leaks.left_in_store(store)


def what_was_said(output: bytes) -> tuple[dict[str, str], set[str], str]:
    """The last thing that was done with each container, those that were removed, and with which one something was under
    way, if with any that is known."""
    last: dict[str, str] = {}
    gone = set()
    begun = ""
    for line in output.decode().splitlines()[1:]:
        what, identity = line.split()
        begun = identity if what == "begin" else ""
        if what == "remove":
            gone.add(identity)
            del last[identity]
        elif what not in ("begin", "exec", "pause"):
            last[identity] = what
    return last, gone, begun


def is_as_said(store: Path, output: bytes) -> None:
    said, gone, begun = what_was_said(output)
    with an_init(), Engine(root=store) as box:
        found = {container.id: container for container in box.containers.list(all=True)}
        assert not gone & set(found)
        half_done = set(found) - set(said)
        assert len(half_done) <= 1, "one may have been created that nobody was told of"
        assert set(said) - set(found) <= {begun}, "it was just being removed"
        for identity, container in found.items():
            is_whole(container, "" if identity == begun else said.get(identity, ""))


@contextlib.contextmanager
def lives(image: str, seed: int) -> Iterator[subprocess.Popen[bytes]]:
    """An engine in a process of its own that does all kinds of things; at the end it is killed."""
    command = [sys.executable, "-c", LIVES, image, str(seed), LINES]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()


def read_some(process: subprocess.Popen[bytes], chance: random.Random) -> bytes:
    assert process.stdout is not None
    seen = process.stdout.readline()
    assert seen == b"ready\n", process.stderr.read() if process.stderr else ""
    for _ in range(chance.randrange(1, 12)):
        seen += process.stdout.readline()
    a_moment(chance)
    return seen


def rest_of(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    rest = process.stdout.read()
    process.wait()
    return rest[: rest.rfind(b"\n") + 1]


@pytest.mark.parametrize("seed", SEEDS)
def test_an_engine_is_killed(store: Path, image: str, seed: int) -> None:
    chance = random.Random(seed)
    with lives(image, seed) as process:
        seen = read_some(process, chance)
        process.kill()
        seen += rest_of(process)
    is_as_said(store, seen)
    is_clean(store)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_engine_and_the_monitor_are_killed(store: Path, image: str, seed: int) -> None:
    chance = random.Random(1000 + seed)
    with lives(image, seed) as process:
        seen = read_some(process, chance)
        order = [process.kill, lambda: kill_monitor(store)]
        chance.shuffle(order)
        order[0]()
        a_moment(chance)
        order[1]()
        process.kill()
        seen += rest_of(process)
    is_as_said(store, seen)
    is_clean(store)


def do_something(box: Engine, image: str, chance: random.Random) -> None:
    containers = box.containers.list(all=True)
    if len(containers) < 2:
        box.containers.create(image, ["sh", "-c", LINES], restart=chance.choice(["no", "always"]))
        return
    one = chance.choice(containers)
    match chance.choice(["start", "start", "stop", "exec", "restart", "remove"]):
        case "start":
            one.start()
        case "stop":
            one.stop(0)
        case "exec" if one.status == "running":
            one.exec(["true"])
        case "restart":
            one.restart(0)
        case "remove":
            one.remove(force=True)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_monitor_is_killed(store: Path, image: str, seed: int) -> None:
    """Under an engine that goes on: what it does then may fail, with a sentence; the next thing works."""
    chance = random.Random(2000 + seed)
    stop = threading.Event()

    def kill_on() -> None:
        other = random.Random(seed)
        while not stop.is_set():
            a_moment(other)
            kill_monitor(store)

    with an_init(), Engine(root=store) as box:
        box.containers.run(image, ["sh", "-c", LINES], name="steady")
        thread = threading.Thread(target=kill_on)
        thread.start()
        try:
            for _ in range(8):
                with contextlib.suppress(KernelBoxError):
                    do_something(box, image, chance)
        finally:
            stop.set()
            thread.join()
        for each in box.containers.list(all=True):
            is_whole(each, "")
    is_clean(store)
