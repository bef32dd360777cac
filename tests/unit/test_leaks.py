"""The fixture that all tests run under sees each kind of thing that a test can leave behind."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import leaks
import pytest
from waiting import wait_until


@contextmanager
def descriptor() -> Iterator[None]:
    with Path("/etc/passwd").open():
        yield


@contextmanager
def thread() -> Iterator[None]:
    end = threading.Event()
    waiting = threading.Thread(target=end.wait)
    waiting.start()
    yield
    end.set()
    waiting.join()


@contextmanager
def process() -> Iterator[None]:
    with subprocess.Popen(["sleep", "100"]) as child:
        yield
        child.kill()


@contextmanager
def zombie() -> Iterator[None]:
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    yield
    child.wait()


@contextmanager
def orphan() -> Iterator[None]:
    """A process whose parent has ended and which has left our session."""
    shell = subprocess.run(["setsid", "sh", "-c", "sleep 100 >&- 2>&- & echo $!"], capture_output=True, check=True)
    yield
    os.kill(int(shell.stdout), 9)


@contextmanager
def namespace() -> Iterator[None]:
    with subprocess.Popen(["unshare", "--user", "--net", "sleep", "100"]) as child:
        own = Path("/proc/self/ns/net").readlink()
        wait_until(lambda: Path(f"/proc/{child.pid}/ns/net").readlink() != own, "a network namespace of its own")
        yield
        child.kill()


@contextmanager
def folder() -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="kernelbox-"):
        yield


@contextmanager
def mount() -> Iterator[None]:
    with tempfile.TemporaryDirectory() as place:
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=True)
        yield
        subprocess.run(["umount", place], check=True)


@contextmanager
def cgroup() -> Iterator[None]:
    rows = [line.split(" ") for line in Path("/proc/self/mountinfo").read_text().splitlines() if " - cgroup" in line]
    group = Path(rows[-1][4], "kernelbox-leak-test")
    group.mkdir()
    yield
    group.rmdir()


AS_ROOT = [
    pytest.param(mount, "mounts", marks=pytest.mark.root),
    pytest.param(cgroup, "cgroups", marks=pytest.mark.root),
]
AS_ANYBODY = [
    (descriptor, "descriptors"),
    (thread, "threads"),
    (process, "processes"),
    (zombie, "processes"),
    (orphan, "processes"),
    (namespace, "namespaces"),
    (folder, "folders"),
]


@pytest.mark.parametrize(("leak", "kind"), [*AS_ANYBODY, *AS_ROOT])
def test_each_kind_of_leak_is_seen_and_its_end_too(leak: Callable[[], AbstractContextManager[None]], kind: str) -> None:
    before = leaks.snapshot()
    with leak():
        left = leaks.snapshot().left_since(before)
        assert any(thing.startswith(f"{kind}: ") for thing in left), left
        assert not leaks.snapshot().left_since(before, excused=leaks.KINDS)
    wait_until(lambda: not leaks.snapshot().left_since(before), f"the {kind} to be gone")
