"""How commands end that are interrupted, that nobody listens to, or that find a machine which is closed to them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
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
from kernelbox.cli.deadline import Deadline
from kernelbox.cli.session import Session
from kernelbox.linux import pty
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


# -- streams ---------------------------------------------------------------------------------------------------------


@contextmanager
def started(*words: str, **streams: Any) -> Iterator[subprocess.Popen[str]]:
    """A command that is left running until the end of the block."""
    given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    with subprocess.Popen([*COMMAND, *words], text=True, **given) as process:
        try:
            yield process
        finally:
            process.kill()


def shell(line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", "-c", line], stdin=subprocess.DEVNULL, capture_output=True, text=True)


@pytest.fixture
def life(tmp_path: Path) -> Path:
    """A FIFO in a folder for the container: whoever reads it comes to its end when no process writes to it any more."""
    folder = tmp_path / "life"
    folder.mkdir()
    folder.chmod(0o777)
    os.mkfifo(folder / "fifo")
    (folder / "fifo").chmod(0o666)
    return folder / "fifo"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("flags", [[], ["-t"]])
def test_a_reader_that_stands_still_does_not_hold_up_the_timeout(flags: list[str], image: str, life: Path) -> None:
    script = ["sh", "-c", "exec 9>/life/fifo; exec yes"]
    with started("run", "--rm", *flags, "--timeout", "0.5", "-v", f"{life.parent}:/life", image, *script) as process:
        assert life.read_bytes() == b""
        assert process.stdout is not None
        assert process.stdout.readline() == "y\n"
        _, said = process.communicate()
        assert process.returncode == 137
        assert said.startswith("kernelbox: sh was killed: its timeout passed")


def test_what_ended_by_itself_did_not_time_out(engine: Engine, image: str) -> None:
    asked = request.read("run", [image, "sh", "-c", "exit 3"], request.RUN_OPTIONS)
    assert asked is not None
    run = engine.begin(image, asked.command, asked.options)
    run.launch.wait()
    with Deadline(run.launch, 0.0) as deadline:
        wait_until(lambda: deadline.passed)
    result = deadline.judged(run.wait(None))
    assert (result.exit_code, result.timed_out) == (3, False)


def test_a_timeout_of_centuries(image: str) -> None:
    done = shell(f"exec {' '.join(COMMAND)} run --rm --timeout 9300000000 {image} sh -c 'echo said; exit 4'")
    assert (done.returncode, done.stdout, done.stderr) == (4, "said\n", "")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("script", ["exec yes", "exec <&- >&- 2>&-; exec sleep 1000"])
def test_the_timeout_holds_with_a_terminal(script: str, image: str) -> None:
    with started(
        "run", "--rm", "-t", "--timeout", "0.3", image, "sh", "-c", script, stdout=subprocess.DEVNULL
    ) as process:
        _, said = process.communicate()
    assert process.returncode == 137
    assert "was killed: its timeout passed" in said


def test_explain_with_a_terminal_keeps_the_output_apart(image: str) -> None:
    done = shell(f"exec {' '.join(COMMAND)} explain -t --json {image} echo hello")
    assert json.loads(done.stdout)[0]["number"] == 1
    assert (done.returncode, done.stderr) == (0, "hello\n")


@pytest.mark.parametrize("words", ["explain IMAGE true", "explain --plan --json IMAGE true"])
def test_explain_with_nobody_to_explain_to(words: str, image: str) -> None:
    done = shell(f"exec {' '.join(COMMAND)} {words.replace('IMAGE', image)} >&-")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_run_that_explains_itself_with_nobody_to_explain_to(image: str) -> None:
    done = shell(f"exec {' '.join(COMMAND)} run --rm --explain {image} sh -c 'echo said; exit 6' 2>&-")
    assert (done.returncode, done.stdout) == (6, "said\n")


def test_input_that_does_not_block_is_waited_for(image: str) -> None:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    with ours, theirs, started("run", "--rm", "-i", image, "sh", "-c", "echo ready; cat", stdin=theirs) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        ours.sendall(b"a line\n")
        ours.shutdown(socket.SHUT_WR)
        assert process.communicate() == ("a line\n", "")
        assert process.returncode == 0


@pytest.mark.timeout(60)
@pytest.mark.parametrize("ignored", [False, True])
def test_a_terminal_that_hangs_up_ends_the_container(ignored: bool, image: str, life: Path) -> None:
    script = ["sh", "-c", "trap '' HUP; exec 9>/life/fifo; while :; do echo; sleep 0.1; done"]
    shell = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh"] if ignored else []
    command = ["setsid", "--ctty", *shell, *COMMAND, "run", "--rm", "-it", "-v", f"{life.parent}:/life", image, *script]
    with pty.open_pair() as pair:
        end = pair.terminal.fileno()
        with subprocess.Popen(command, stdin=end, stdout=end, stderr=end) as process:
            try:
                with life.open("rb") as alive:
                    pair.close()
                    assert alive.read() == b""
                assert process.wait() in (125, 129)
            finally:
                process.kill()


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
