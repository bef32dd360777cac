"""A system call of an engine fails once: every write, every fsync and every change of a folder of the life of a kept
container in turn, SQLite's own among them.

What was reported done is there when the store is opened next, what failed is said in a sentence, nothing half-made
shows, the next try works, and when all is removed nothing is left. KERNELBOX_SEEDS says how many moments of each kind
are tried, spread over all that there are (4)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import leaks
import pytest
from faults.injecting import injected
from faults.monitors import groups_of, monitors_of
from faults.test_kept import an_init
from waiting import wait_until

from kernelbox import Engine
from kernelbox.engine.container import Container

pytestmark = [pytest.mark.kernel, pytest.mark.root]

MOST = int(os.environ.get("KERNELBOX_SEEDS", "4"))

CALLS = {
    "fsync": "EIO",
    "fdatasync": "EIO",
    "write": "ENOSPC",
    "pwrite64": "ENOSPC",
    "ftruncate": "ENOSPC",
    "mkdir": "ENOSPC",
    "rename": "ENOSPC",
    "unlink": "EIO",
}

# One life after another, each in an engine of its own. What it says goes through a call that does not fail.
LIVES = """
import json, socket, sys
import kernelbox as kb
channel, image = socket.socket(fileno=int(sys.argv[1])), sys.argv[2]

def say(*words):
    channel.sendall(json.dumps(words).encode() + b"\\n")

def live(box):
    def create():
        nonlocal one
        one = box.containers.create(image, ["sleep", "infinity"], name="one")

    one = None
    for what, work in {
        "create": create,
        "start": lambda: one.start(),
        "update": lambda: one.update(restart="on-failure"),
        "rename": lambda: one.rename("two"),
        "exec": lambda: one.exec(["true"]),
        "stop": lambda: one.stop(0),
        "remove": lambda: one.remove(),
    }.items():
        try:
            work()
        except kb.errors.KernelBoxError as error:
            return say(what, "failed", str(error))
        except Exception as error:
            return say(what, "no sentence", repr(error))
        say(what, "done", "")
    say("all", "done", "")

say("ready", "", "")
while channel.recv(1):
    box = kb.Engine()
    live(box)
    try:
        box.close()
    except kb.errors.KernelBoxError as error:
        pass
    say("over", "", "")
"""


class Lives:
    """The other process."""

    def __init__(self, channel: socket.socket, pid: int) -> None:
        self._channel = channel
        self._lines = channel.makefile()
        self.pid = pid

    def close(self) -> None:
        self._lines.close()

    def until(self, last: str) -> list[tuple[str, str, str]]:
        said = []
        while not said or said[-1][0] != last:
            said.append(tuple(json.loads(self._lines.readline())))
        return said

    def live(self) -> list[tuple[str, str, str]]:
        """One life: what was done, how that went, and what was said."""
        self._channel.send(b"x")
        return self.until("over")[:-1]


@pytest.fixture
def lives(store: Path, busybox_rootfs: Path) -> Iterator[Lives]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [sys.executable, "-c", LIVES, str(theirs.fileno()), f"dir:{busybox_rootfs}"]
        with subprocess.Popen(command, pass_fds=[theirs.fileno()]) as process:
            theirs.close()
            ours.settimeout(60)
            found = Lives(ours, process.pid)
            found.until("ready")
            yield found
            ours.shutdown(socket.SHUT_RDWR)
            found.close()


BEFORE = {"start": "created", "update": "running", "rename": "running", "exec": "running", "stop": "running"}
AFTER = {"create": "created", "start": "running", "stop": "exited"}
"""The statuses before and after something is done."""


def is_as_said(box: Engine, said: list[tuple[str, str, str]]) -> None:
    """`said` ends with what failed."""
    done = [what for what, how, _ in said if how == "done"]
    failed = said[-1][0] if said[-1][1] != "done" else ""
    found = box.containers.list(all=True)
    if "remove" in done or failed == "create":
        assert not found
        return
    if failed == "remove" and not found:
        return
    (container,) = found
    assert container.name == ("two" if "rename" in done else "one")
    restart = container.record.options.get("restart", "no")
    assert restart == ("on-failure" if "update" in done else "no") or failed == "update"
    wait_until(lambda: status_of(container) in expected(done, failed), f"its status is one of {expected(done, failed)}")


def status_of(container: Container) -> str:
    return container.reload().status


def expected(done: list[str], failed: str) -> set[str]:
    latest = [AFTER[what] for what in done if what in AFTER][-1]
    return {latest, AFTER["stop"]} if failed == "stop" else {latest}


def next_try_works(box: Engine) -> None:
    for container in box.containers.list(all=True):
        container.start()
        assert container.exec(["echo", "well"]).stdout == "well\n"
        container.stop(0)
        container.remove()
    box.containers.create("host", ["true"], name="one").remove()


@pytest.mark.parametrize("call", CALLS)
def test_each_call_fails_once(store: Path, tmp_path: Path, lives: Lives, call: str) -> None:
    with injected(lives.pid, call, "EIO", "65535", tmp_path) as counting:
        assert lives.live()[-1] == ("all", "done", "")
    if not counting.seen:
        pytest.skip(f"no {call} is made in it")
    for number in range(1, counting.seen + 1, -(-counting.seen // MOST)):
        with injected(lives.pid, call, CALLS[call], str(number), tmp_path):
            said = lives.live()
        print(call, number, said[-1])
        assert "no sentence" not in said[-1]
        with an_init(), Engine(root=store) as box:
            is_as_said(box, said)
            next_try_works(box)
            wait_until(lambda: not groups_of(store), "no group is left")
        wait_until(lambda: not monitors_of(store), "no monitor is left")
        assert not leaks.left_in_store(store)
