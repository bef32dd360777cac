"""What Docker's API says of an exec, while it runs and after its end, and of those that run in a container."""

from __future__ import annotations

import contextlib
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from waiting import wait_until

from kernelbox.engine.container import Container
from kernelbox.engine.executing import ExecOptions
from kernelbox.errors import CommandNotFound

pytestmark = [pytest.mark.kernel, pytest.mark.root, pytest.mark.outside]

SLEEP = ["sleep", "infinity"]


def words_of(pid: object) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]


def test_while_it_runs_and_after_its_end(sleeper: Container) -> None:
    execution = sleeper.begin_exec(["sh", "-c", "read line; exit 3"], ExecOptions(user="1000:5"), input=b"word")
    before = execution.inspect()
    assert (before["Running"], before["Pid"], before["ExitCode"]) == (False, 0, None)
    result = execution.wait()
    expected = {
        "ID": execution.id,
        "Running": False,
        "ExitCode": 3,
        "ProcessConfig": {
            "tty": False,
            "entrypoint": "sh",
            "arguments": ["-c", "read line; exit 3"],
            "privileged": False,
            "user": "1000:5",
        },
        "OpenStdin": True,
        "OpenStdout": True,
        "OpenStderr": True,
        "CanRemove": False,
        "ContainerID": sleeper.id,
        "DetachKeys": "",
        "Pid": execution.launch.pid,
    }
    assert execution.launch.pid > 0
    assert execution.inspect() == expected
    assert result.inspect() == expected


def test_its_pid_is_the_machine_s(sleeper: Container) -> None:
    execution = sleeper.begin_exec(SLEEP, ExecOptions(tty=True, privileged=True))
    execution.wait_started()
    shown = execution.inspect()
    assert (shown["Running"], shown["ExitCode"], shown["OpenStdin"]) == (True, None, False)
    assert shown["ProcessConfig"] == {
        "tty": True, "entrypoint": "sleep", "arguments": ["infinity"], "privileged": True, "user": "",
    }  # fmt: skip
    assert words_of(shown["Pid"]) == SLEEP
    os.kill(execution.launch.pid, signal.SIGKILL)
    assert execution.wait(10).exit_code == 137
    assert execution.inspect() == {**shown, "Running": False, "ExitCode": 137}


def test_somebody_else_looks_while_one_waits(sleeper: Container) -> None:
    execution = sleeper.begin_exec(SLEEP, ExecOptions())
    with ThreadPoolExecutor(1) as pool, contextlib.ExitStack() as stack:
        stack.callback(execution.launch.kill)
        waiting = pool.submit(execution.wait)
        wait_until(lambda: execution.inspect()["Running"])
        pid = execution.inspect()["Pid"]
        assert words_of(pid) == SLEEP
        assert sleeper.attrs["ExecIDs"] == [execution.id]
        execution.launch.kill()
        assert waiting.result(10).exit_code == 137
    assert (execution.inspect()["Pid"], execution.inspect()["ExitCode"]) == (pid, 137)
    assert sleeper.attrs["ExecIDs"] is None


def test_one_that_nobody_waits_for(sleeper: Container) -> None:
    execution = sleeper.begin_exec(SLEEP, ExecOptions(), detach=True)
    execution.wait_started()
    name, shown = execution.id, execution.inspect()
    assert (shown["Running"], shown["OpenStdout"], shown["OpenStderr"]) == (True, False, False)
    execution.detach()
    del execution
    assert sleeper.attrs["ExecIDs"] == [name]
    os.kill(int(str(shown["Pid"])), signal.SIGKILL)
    wait_until(lambda: sleeper.attrs["ExecIDs"] is None)


def test_one_that_cannot_be_started(sleeper: Container) -> None:
    execution = sleeper.begin_exec(["no-such-program"], ExecOptions())
    with pytest.raises(CommandNotFound):
        execution.wait()
    shown = execution.inspect()
    assert (shown["Running"], shown["ExitCode"], shown["Pid"]) == (False, 127, 0)


def test_those_of_one_container_that_run(sleeper: Container, busybox_image: str) -> None:
    containers = sleeper.box.containers
    other = containers.run(busybox_image, SLEEP)
    executions = [each.begin_exec(SLEEP, ExecOptions()) for each in (sleeper, sleeper, other)]
    for each in executions:
        each.wait_started()
    sleeper.exec(["true"])
    assert sorted(sleeper.attrs["ExecIDs"]) == sorted(each.id for each in executions[:2])  # type: ignore[call-overload]
    assert other.attrs["ExecIDs"] == [executions[2].id]
    sleeper.kill()
    for each in executions[:2]:
        assert each.wait(10).exit_code == 137
    assert sleeper.attrs["ExecIDs"] is None
    executions[2].launch.end()


def test_many_that_nobody_waits_for_are_forgotten(sleeper: Container) -> None:
    known = sleeper.box.containers.executions
    for _ in range(200):
        execution = sleeper.begin_exec(["true"], ExecOptions(), detach=True)
        execution.wait_started()
        execution.detach()
    assert len(known._detached) < 150
    wait_until(lambda: not known.running(sleeper.id))
    assert not known._detached
