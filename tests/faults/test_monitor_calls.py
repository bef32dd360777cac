"""A system call of a monitor fails once: every one that writes, opens or renames in the life of a kept container in
turn: its groups, its log and what becomes of that when it is rotated, its exit record.

What the engine says then is a sentence or the truth, a log's lines are whole, nothing waits for ever, the next
container is as if nothing had been, and when all is removed nothing is left. KERNELBOX_SEEDS says how many moments of
each kind are tried, spread over all that there are (4)."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import leaks
import pytest
from faults.injecting import Injected, injected
from faults.monitors import groups_of, monitors_of
from waiting import wait_until

from kernelbox import Engine
from kernelbox.engine.container import Container
from kernelbox.errors import KernelBoxError

pytestmark = [pytest.mark.kernel, pytest.mark.root]

MOST = int(os.environ.get("KERNELBOX_SEEDS", "4"))

CALLS = {
    "write": "ENOSPC",
    "openat": "ENOSPC",
    "renameat": "ENOSPC",
    "unlinkat": "EIO",
    "ftruncate": "EIO",
    "fallocate": "ENOSPC",
    "mkdirat": "ENOSPC",
    "tee": "ENOMEM",
}

ENDS = 'for i in 1 2 3 4 5; do echo "a line that fills some of the file, number $i"; sleep 0.02; done; exit 5'
LOG = {"log_opt": {"max-size": "200", "max-file": "3"}}


@pytest.fixture
def image(busybox_rootfs: Path) -> str:
    return f"dir:{busybox_rootfs}"


@pytest.fixture
def box(store: Path, image: str) -> Iterator[Engine]:
    """One whose monitor is there, and has done everything once. What it could not do is done when the store is opened
    next."""
    with Engine(root=store) as engine:
        engine.run(image, ["true"])
        yield engine
        for container in engine.containers.list(all=True):
            container.remove(force=True)
    wait_until(lambda: not monitors_of(store), "no monitor is left")
    with Engine(root=store) as engine:
        engine.run(image, ["true"])
        assert not groups_of(store)


def lines_are_whole(container: Container) -> None:
    """Those of all files; the last one may be broken off, and another one begins behind that."""
    for path in container.folder.path.glob("log.json*"):
        for line in path.read_bytes().splitlines():
            if line.endswith(b"}"):
                assert json.loads(line)
    for line in container.logs().splitlines():
        assert line.startswith("a line that fills"), line


def lives(box: Engine, image: str) -> None:
    """One life; whatever is not done is said."""
    container = box.containers.create(image, ["sh", "-c", ENDS], **LOG)
    with contextlib.suppress(KernelBoxError):
        container.start()
        assert container.wait(20) in (5, None)
        lines_are_whole(container)
        assert container.status == "exited"
        assert container.exit_code == 5 or container.record.error
    with contextlib.suppress(KernelBoxError):
        container.remove(force=True)


def waits(box: Engine, image: str) -> None:
    """One that is started again and again, and is stopped while it waits for that."""
    container = box.containers.create(image, ["false"], restart="always")
    with contextlib.suppress(KernelBoxError):
        container.start()
        wait_until(lambda: container.reload().status in ("restarting", "exited"))
        container.stop(0)
        assert container.reload().status == "exited"
    with contextlib.suppress(KernelBoxError):
        container.remove(force=True)


def works(box: Engine, image: str) -> None:
    assert not box.containers.list(all=True), "what was half removed is gone for who looks next"
    container = box.containers.run(image, ["sh", "-c", ENDS], **LOG)
    assert container.wait(20) == 5
    assert container.logs().splitlines()[-1].endswith("number 5")
    container.remove()


Life = Callable[[Engine, str], None]


@pytest.mark.parametrize("life", [lives, waits])
@pytest.mark.parametrize("call", CALLS)
def test_each_call_fails_once(box: Engine, image: str, tmp_path: Path, call: str, life: Life) -> None:
    def live_with(when: int) -> Injected:
        (monitor,) = monitors_of(box.paths.root)
        with injected(monitor, call, CALLS[call], str(when), tmp_path) as result:
            life(box, image)
        return result

    seen = live_with(65535).seen
    if not seen:
        pytest.skip(f"no {call} is made in it")
    for number in range(1, seen + 1, -(-seen // MOST)):
        print(call, number, seen)
        live_with(number)
        works(box, image)
        box._open().wait_swept()
        assert not leaks.left_in_store(box.paths.root)


@pytest.mark.parametrize("times", ["1", "2..3"])
def test_the_groups_above_go_meanwhile(box: Engine, image: str, tmp_path: Path, times: str) -> None:
    """A monitor of another store removes them as the last thing it does, where nobody else has any in them."""
    (monitor,) = monitors_of(box.paths.root)
    with injected(monitor, "mkdirat", "ENOENT", times, tmp_path) as result, Engine(root=box.paths.root) as other:
        works(other, image)
    assert result.count
