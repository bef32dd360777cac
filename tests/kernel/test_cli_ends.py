"""How commands end that are interrupted, that nobody listens to, or that find a machine which is closed to them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import leaks
import pytest
from ordinary_user import User
from waiting import wait_until

from kernelbox import Engine
from kernelbox.cli import request
from kernelbox.cli.session import Session
from kernelbox.runtime.connection import Connection
from kernelbox.runtime.launch import Launch

pytestmark = [pytest.mark.kernel, pytest.mark.root, pytest.mark.usefixtures("store")]

COMMAND = [sys.executable, "-m", "kernelbox.cli"]


@pytest.fixture
def image(busybox_rootfs: Path) -> str:
    return f"dir:{busybox_rootfs}"


# -- interrupted at the start ----------------------------------------------------------------------------------------


@contextmanager
def interrupted(function: Callable[..., Any], event: str) -> Iterator[None]:
    """Ctrl-C at the first call of the function, or when that returns."""

    def trace(frame: FrameType, what: str, _: object) -> Any:
        if frame.f_code is not function.__code__:
            return None
        if what == event:
            raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        sys.settrace(before)


def session(*words: str) -> Callable[[Engine, str], object]:
    def run(box: Engine, image: str) -> object:
        asked = request.read("run", ["--name", "one", *words, image, "sleep", "infinity"], request.RUN_OPTIONS)
        assert asked is not None
        return Session(box, asked).run()

    return run


STARTS: dict[str, Callable[[Engine, str], object]] = {
    "run": lambda box, image: box.run(image, ["sleep", "infinity"], name="one"),
    "job": lambda box, image: box.start(image, ["sleep", "infinity"], name="one"),
    "terminal": lambda box, image: box.open_terminal(image, ["sleep", "infinity"], name="one"),
    "command": session(),
    "command with a terminal": session("-t"),
}
FIRST: dict[str, Callable[..., Any]] = {"run": Launch.wait, "job": Launch.send}
MOMENTS = [
    (start, function, event)
    for start in STARTS
    for function in (FIRST.get(start, Launch.wait_started), Connection.converse)
    for event in ("call", "return")
    if (function, event) != (Launch.wait, "return")  # it would wait for ever
]


@pytest.mark.parametrize(("start", "function", "event"), MOMENTS)
def test_an_interrupted_start_leaves_no_container(
    start: str, function: Callable[..., Any], event: str, engine: Engine, image: str, store: Path
) -> None:
    engine.run(image, ["true"])
    with interrupted(function, event):
        STARTS[start](engine, image)
    assert engine.run(image, ["true"], name="one").exit_code == 0
    wait_until(lambda: not leaks.left_in_store(store))


# -- the doctor ------------------------------------------------------------------------------------------------------


def doctor(user: User, root: Path) -> dict[str, dict[str, str]]:
    done = user.run([*COMMAND, "doctor", "--json"], env={"KERNELBOX_ROOT": str(root)})
    assert done.returncode == 0, done.stderr
    return {row["name"]: row for row in json.loads(done.stdout)}


def test_the_doctor_finds_that_the_store_is_below_a_closed_folder(ordinary_user: User) -> None:
    closed = ordinary_user.home / "closed"
    closed.mkdir(mode=0o700)
    checks = doctor(ordinary_user, closed / "store")
    assert checks["store"]["detail"] == f"{closed}/store cannot be written: permission denied"
    assert checks["a container"]["state"] == "missing"
    assert checks["a container"]["detail"].endswith("permission denied")
    assert checks["user namespace"]["state"] == "works"


def test_the_doctor_tries_a_container_where_the_store_is(ordinary_user: User) -> None:
    kept = ordinary_user.home / "kept"
    store = kept / "store"
    store.mkdir(parents=True)
    os.chown(store, ordinary_user.uid, ordinary_user.gid)  # the folder around it is root's
    checks = doctor(ordinary_user, store)
    assert checks["store"]["state"] == "works"
    assert checks["a container"]["state"] == "works"
    assert list(store.iterdir()) == []
