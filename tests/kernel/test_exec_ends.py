"""How an exec ends while processes that it has started go on, and hold what it writes to."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from waiting import wait_until

from kernelbox.engine.container import Container
from kernelbox.engine.executing import ExecOptions, ExecResult
from kernelbox.errors import RunInterrupted
from kernelbox.linux.cgroups.live import processes

pytestmark = [pytest.mark.kernel, pytest.mark.root, pytest.mark.outside, pytest.mark.timeout(60)]

HELD = "echo said; echo err >&2; sleep infinity & wait"
COMMAND = [sys.executable, "-m", "kernelbox.cli"]


def names_in(container: Container) -> list[str]:
    """The programs that run in it."""
    found = processes(container.folder.start_notes().groups)
    return [Path(f"/proc/{pid}/comm").read_text().strip() for pid in found]


def timed_out(container: Container, script: str) -> ExecResult:
    """An exec that its timeout ended, after the script has written: on a slow machine with a longer timeout."""
    for seconds in (0.1, 1, 10):
        done = container.exec(["sh", "-c", script], timeout=seconds)
        assert done.timed_out
        if done.stdout and done.stderr:
            return done
    raise AssertionError(f"nothing was written in time: {script}")


def test_a_timeout(sleeper: Container) -> None:
    done = timed_out(sleeper, HELD)
    assert (done.exit_code, done.signal, done.stdout, done.stderr) == (137, 9, "said\n", "err\n")
    assert "sh" not in names_in(sleeper)
    assert names_in(sleeper).count("sleep") > 1, "only its first process was killed"
    assert sleeper.exec(["echo", "well"]).stdout == "well\n"


def test_a_timeout_while_others_write_on(sleeper: Container) -> None:
    assert timed_out(sleeper, "yes & echo err >&2; wait").stdout.startswith("y\n")


def test_an_interrupt(sleeper: Container) -> None:
    def interrupt(_: int, __: bytes) -> None:
        wait_until(lambda: names_in(sleeper).count("sleep") == 2)
        raise KeyboardInterrupt

    with pytest.raises(RunInterrupted, match="sh was killed; the container sleeper goes on") as caught:
        sleeper.exec(["sh", "-c", HELD], on_output=interrupt)
    result = caught.value.result
    assert isinstance(result, ExecResult)
    assert (result.exit_code, result.stdout, result.stderr) == (137, "said\n", "err\n")
    assert sleeper.reload().status == "running"


def test_an_interrupt_before_it_has_begun(sleeper: Container) -> None:
    execution = sleeper.begin_exec(["touch", "/begun"], ExecOptions())
    execution.launch.end()
    assert execution.launch.ended
    assert sleeper.exec(["ls", "/begun"]).exit_code != 0


def test_on_output_that_fails(sleeper: Container) -> None:
    def fail(_: int, __: bytes) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        sleeper.exec(["sh", "-c", HELD], on_output=fail)
    assert "sh" not in names_in(sleeper)


FULL = """
import fcntl, subprocess, time
fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 1 << 20)
print("x" * 1_000_000, end="", flush=True)
subprocess.run(["sleep", "infinity"])
"""


def test_all_that_was_written_before_an_interrupt_comes(sleeper: Container) -> None:
    """Also where the pipe holds more than is read at once."""
    sleeper.remove(force=True)
    container = sleeper.box.containers.run("host", ["sleep", "infinity"])

    def interrupt(_: int, __: bytes) -> None:
        wait_until(lambda: names_in(container).count("sleep") == 2)
        raise KeyboardInterrupt

    with pytest.raises(RunInterrupted) as caught:
        container.exec(["python3", "-c", FULL], on_output=interrupt)
    assert isinstance(caught.value.result, ExecResult)
    assert len(caught.value.result.stdout_bytes) == 1_000_000


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("sleep infinity & echo early; exit 3", "early\n"),
        ("(while [ -d /proc/$$ ]; do :; done; echo late) & echo early; exit 3", "early\nlate\n"),
        ("(sleep infinity; echo never) & seq 20000; exit 3", "".join(f"{n}\n" for n in range(1, 20001))),
    ],
)
def test_its_own_end(sleeper: Container, script: str, expected: str) -> None:
    """What others write just afterwards comes too."""
    done = sleeper.exec(["sh", "-c", script])
    assert (done.exit_code, done.stdout, done.timed_out) == (3, expected, False)


def test_its_own_end_while_others_write_on(sleeper: Container) -> None:
    done = sleeper.exec(["sh", "-c", "yes & exit 3"])
    assert (done.exit_code, done.timed_out) == (3, False)
    wait_until(lambda: "yes" not in names_in(sleeper), "nobody reads any more")


def test_a_timeout_that_passes_after_its_end(sleeper: Container) -> None:
    done = sleeper.exec(["sh", "-c", "sleep infinity & exit 3"], timeout=1)
    assert (done.exit_code, done.timed_out) == (3, False)


# -- the command line ------------------------------------------------------------------------------------------------


def finished(container: Container, script: str, act: Callable[[subprocess.Popen[str]], None]) -> int:
    """The exit code of `kernelbox exec`, once it has said a line and `act` was done to it."""
    command = [*COMMAND, "exec", container.name, "sh", "-c", script]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "said\n"
            act(process)
            return process.wait(30)
        finally:
            process.kill()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 137)])
def test_a_command_that_is_interrupted(sleeper: Container, number: int, code: int) -> None:
    """The shell ends itself by the one; for the other it has no handler, and is killed."""
    assert finished(sleeper, HELD, lambda process: process.send_signal(number)) == code
    assert "sh" not in names_in(sleeper)


def test_a_command_whose_output_nobody_takes(sleeper: Container) -> None:
    def close(process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        process.stdout.close()

    assert finished(sleeper, "trap '' PIPE; echo said; yes & wait", close) != 0
    assert "sh" not in names_in(sleeper)


def test_a_command_that_leaves_others_behind(sleeper: Container) -> None:
    assert finished(sleeper, "echo said; sleep infinity & exit 4", lambda _: None) == 4
