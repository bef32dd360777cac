"""How a run is ended from outside: timeouts, interrupts, `kill`; and that nothing outlives it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import leaks
import pytest
from waiting import wait_until

import kernelbox as kb
from kernelbox import Engine, RunResult
from kernelbox.engine.job import Job
from kernelbox.errors import CommandNotFound, InvalidOption, KernelBoxError, RunTimeout

pytestmark = [pytest.mark.kernel, pytest.mark.root]

DEAF = "trap '' TERM INT HUP QUIT PIPE; "
TREES = {
    "one process": "echo begun; exec sleep infinity",
    "the shell waits": "echo begun; sleep infinity",
    "deaf": f"{DEAF} echo begun; while :; do sleep 1; done",
    "deaf grandchildren": f"sh -c \"{DEAF} sh -c 'sleep infinity & echo begun; sleep infinity'\"",
    "a daemon holds the streams": "setsid sh -c 'setsid sleep infinity & echo begun; sleep infinity' & wait",
    "the parent has gone": f'(setsid sh -c "{DEAF} echo begun; sleep infinity" &); sleep infinity',
    "stopped": "sh -c 'echo begun; kill -STOP $$'; true",
    "it forks on and on": "f() { while :; do sh -c ':' & done; }; f & echo begun; exec sleep infinity",
    "it writes": "yes begun",
}
"""Each says "begun" when its processes are there."""


def timed_out(box: Engine, image: str, script: str, **options: Any) -> RunResult:
    """A run that its timeout ended, after the script has said "begun": on a slow machine with a longer timeout."""
    for seconds in (0.1, 1, 10):
        run = box.run(image, ["sh", "-c", script], timeout=seconds, **options)
        assert run.timed_out
        if run.stdout.startswith("begun\n"):
            return run
    raise AssertionError(f"not begun in time: {script}")


@pytest.mark.parametrize("tree", TREES)
def test_a_timeout_ends_everything(box: Engine, busybox_image: str, tree: str) -> None:
    run = timed_out(box, busybox_image, TREES[tree], pids_limit=64)
    assert (run.exit_code, run.signal, run.oom_killed) == (137, 9, False)
    with pytest.raises(RunTimeout, match="its timeout passed"):
        run.check()


@pytest.mark.usefixtures("orphans")
def test_a_timeout_with_the_machines_processes_in_sight(box: Engine, busybox_image: str) -> None:
    """Without a pid namespace the first process's end ends nobody else: its group is."""
    script = "setsid sleep infinity & (setsid sleep infinity &); echo begun; sleep infinity"
    assert timed_out(box, busybox_image, script, pid="host").exit_code == 137


@pytest.mark.usefixtures("orphans")
def test_the_end_of_the_first_process_is_everybodys(sh: Callable[..., RunResult]) -> None:
    for pid in ("private", "host"):
        run = sh(f'(setsid sh -c "{DEAF} sleep infinity" &); setsid sleep infinity & echo gone', pid=pid)
        assert run.stdout == "gone\n"


@pytest.mark.parametrize("timeout", [3600, "1h", "1m30s", float("inf")])
def test_a_timeout_that_does_not_pass(box: Engine, busybox_image: str, timeout: float | str) -> None:
    run = box.run(busybox_image, ["echo", "in time"], timeout=timeout)
    assert (run.stdout, run.timed_out) == ("in time\n", False)


def test_what_was_said_before_a_timeout_is_kept(box: Engine, busybox_image: str) -> None:
    run = timed_out(box, busybox_image, "echo err >&2; echo begun; sleep infinity")
    assert (run.stdout, run.stderr) == ("begun\n", "err\n")


@pytest.mark.parametrize("timeout", [-1, float("nan"), "soon", "-1s"])
def test_a_timeout_that_is_none(box: Engine, busybox_image: str, timeout: float | str) -> None:
    with pytest.raises(InvalidOption, match="timeout"):
        box.run(busybox_image, ["true"], timeout=timeout)


def started(box: Engine, image: str, script: str, **options: Any) -> Job:
    """A job whose script has said something."""
    spoke = threading.Event()
    job = box.start(image, ["sh", "-c", script], on_output=lambda *_: spoke.set(), **options)
    assert spoke.wait(30)
    return job


def test_a_job(engine: Engine, busybox_image: str) -> None:
    job = started(engine, busybox_image, "echo begun; read line < /dev/zero", name="worker")
    assert (job.done, job.result, job.container.name) == (False, None, "worker")
    with pytest.raises(TimeoutError, match="worker has not ended within 0"):
        job.wait(0)
    job.kill()
    run = job.wait(30)
    assert (run.signal, run.stdout, run.timed_out) == (9, "begun\n", False)
    assert job.done
    assert job.result is run is job.wait() is kb.last
    job.kill()  # nothing to do any more


def test_a_jobs_signal_is_handled_inside(engine: Engine, busybox_image: str) -> None:
    job = started(engine, busybox_image, "trap 'echo bye; exit 7' TERM; echo; while :; do sleep 0.01; done")
    job.kill(signal.SIGTERM)
    assert job.wait(30).exit_code == 7


def test_a_job_ends_by_itself_or_by_its_timeout(engine: Engine, busybox_image: str) -> None:
    short = engine.start(busybox_image, ["sh", "-c", "cat; exit 3"], input="given")
    long = engine.start(busybox_image, ["sleep", "infinity"], timeout=0.1)
    assert (short.wait(30).exit_code, short.wait().stdout) == (3, "given")
    assert long.wait(30).timed_out


def test_a_job_that_cannot_start(engine: Engine, busybox_image: str) -> None:
    job = engine.start(busybox_image, ["nonesuch"])
    for _ in range(2):
        with pytest.raises(CommandNotFound, match="nonesuch"):
            job.wait(30)
    assert job.done
    assert job.result is None
    with pytest.raises(KernelBoxError, match="unknown option"):
        engine.start(busybox_image, ["true"], nonesuch=1)


def test_many_jobs_at_once(engine: Engine, busybox_image: str) -> None:
    jobs = [engine.start(busybox_image, ["sh", "-c", f"echo {n}; exit {n}"]) for n in range(12)]
    assert [(job.wait(60).exit_code, job.wait().stdout) for job in jobs] == [(n, f"{n}\n") for n in range(12)]


def test_an_error_in_a_jobs_on_output_is_raised_by_wait(engine: Engine, busybox_image: str) -> None:
    def fail(_: int, __: bytes) -> None:
        raise ZeroDivisionError

    job = engine.start(busybox_image, ["sh", "-c", "echo; sleep infinity"], on_output=fail)
    with pytest.raises(ZeroDivisionError):
        job.wait(30)


INTERRUPTED = """
import sys
import kernelbox as kb
from kernelbox.errors import RunInterrupted

with kb.Engine() as box:
    try:
        box.run(sys.argv[1], ["sh", "-c", sys.argv[2]], on_output=lambda _, chunk: print(chunk.decode(), flush=True))
    except KeyboardInterrupt as error:
        assert isinstance(error, RunInterrupted), error
        assert "interrupted: the container" in str(error), error
        assert error.result is kb.last
        assert error.result.stdout.startswith("begun\\n"), error.result.stdout
        print(error.result.signal, box.run(sys.argv[1], ["echo", "again"]).stdout, flush=True)
"""


def program(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("tree", ["the shell waits", "deaf", "deaf grandchildren", "a daemon holds the streams"])
def test_an_interrupt_ends_everything(store: Path, busybox_image: str, tree: str) -> None:
    with program(INTERRUPTED, busybox_image, TREES[tree]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        out = process.stdout.read()
    assert process.returncode == 0
    assert out.split() == ["9", "again"]


KILLED = """
import sys
import kernelbox as kb

box = kb.Engine()
box.start(sys.argv[1], ["sh", "-c", sys.argv[2]])
box.run(sys.argv[1], ["sh", "-c", sys.argv[2]], on_output=lambda *_: print("begun", flush=True))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_the_end_of_the_engines_process_ends_everything(store: Path, busybox_image: str, number: int) -> None:
    with program(KILLED, busybox_image, TREES["deaf grandchildren"]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(number)
    assert process.returncode == -number
    wait_until(lambda: not leaks.left_in_store(store))


FORGOTTEN = """
import sys
import kernelbox as kb

box = kb.Engine()
job = box.start(sys.argv[1], ["sleep", "infinity"])
print(box.run(sys.argv[1], ["echo", "done"]).stdout)
"""


def test_a_program_ends_though_a_job_runs_and_nothing_was_closed(store: Path, busybox_image: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORGOTTEN, busybox_image], capture_output=True, text=True, timeout=60, check=True
    )
    assert (done.stdout.split(), done.stderr) == (["done"], "")


def test_two_programs_use_one_store(store: Path, busybox_image: str) -> None:
    code = """
import sys
import kernelbox as kb

with kb.Engine() as box:
    print(*[box.run(sys.argv[1], ["echo", str(n)]).stdout.strip() for n in range(20)])
"""
    programs = [program(code, busybox_image) for _ in range(3)]
    for each in programs:
        with each:
            assert each.stdout is not None
            assert each.stdout.read().split() == [str(n) for n in range(20)]
        assert each.returncode == 0


def test_an_engine_closed_under_a_job(store: Path, busybox_image: str) -> None:
    """Closing ends what is idle; the job's container goes on until its own end."""
    box = Engine(root=store)
    job = started(box, busybox_image, "echo; sleep 0.2; exit 4")
    box.close()
    assert job.wait(30).exit_code == 4
    box.close()
