"""`kernelbox explain`: of a launch, of a plan, and of a container that is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import as_a_process, printed, refused

pytestmark = [pytest.mark.kernel, pytest.mark.root, pytest.mark.usefixtures("store")]


@pytest.fixture
def image(busybox_rootfs: Path) -> str:
    return f"dir:{busybox_rootfs}"


@pytest.fixture
def sleeper(image: str) -> Iterator[str]:
    """The name of a container that runs until it is killed."""
    printed("create", "--name", "sleeper", image, "sleep", "1000")
    printed("start", "sleeper")
    yield "sleeper"
    printed("rm", "-f", "sleeper")


def test_explain_shows_each_step(image: str) -> None:
    done = as_a_process("explain", image, "sh", "-c", "echo hello; exit 3")
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (3, "hello\n")
    assert lines[0].startswith("started in ")
    assert any("mount an overlay of 1 layer" in line and "fsmount" in line for line in lines)
    assert any(" inside  run sh" in line and "execve" in line for line in lines)
    assert any(line.strip().startswith("the command runs for ") for line in lines)


def test_explain_as_json(image: str) -> None:
    rows = json.loads(as_a_process("explain", "--json", image, "true").stdout)
    assert [row["number"] for row in rows] == list(range(1, len(rows) + 1))
    assert set(rows[0]) == {"number", "step", "where", "what", "syscall", "start_us", "duration_us", "errno"}
    assert {"outside", "inside", "after"} == {row["where"] for row in rows}


def test_explain_a_launch_that_fails(image: str) -> None:
    done = as_a_process("explain", image, "nosuch")
    assert done.returncode == 127
    assert done.stdout.splitlines()[-1].endswith("failed: no such file or directory")
    assert done.stderr.startswith("kernelbox: could not run nosuch: not found")


def test_a_plan_is_shown_and_not_run(image: str, store: Path) -> None:
    done = as_a_process("explain", "--plan", "--memory", "64m", image, "true")
    assert done.returncode == 0
    assert any(" group with " in line and "memory." in line for line in done.stdout.splitlines())
    rows = json.loads(as_a_process("explain", "--plan", "--json", image, "true").stdout)
    assert set(rows[0]) == {"number", "step", "where", "what", "syscall"}
    assert not list((store / "runs").iterdir())


def test_run_can_explain_itself(image: str) -> None:
    done = as_a_process("run", "--rm", "--explain", image, "echo", "hello")
    assert (done.returncode, done.stdout) == (0, "hello\n")
    assert done.stderr.startswith("started in ")


def test_a_container_that_is_kept_is_explained(sleeper: str) -> None:
    started = printed("explain", sleeper).splitlines()
    assert started[0].startswith("started in ")
    assert any(" inside  run sleep" in line for line in started)
    printed("kill", sleeper)
    printed("wait", sleeper)
    rows = json.loads(printed("explain", "--json", sleeper))
    assert {"outside", "inside", "after"} == {row["where"] for row in rows}


def test_a_container_is_explained_by_its_name_alone(sleeper: str) -> None:
    for words in (("sleeper", "true"), ("--memory", "64m", "sleeper")):
        assert refused("explain", *words, code=125) == "no image is called 'sleeper'"


def test_what_was_never_started_has_no_steps(image: str) -> None:
    printed("create", "--name", "never", image, "true")
    assert "how the container never was started: it is created" in refused("explain", "never")
    printed("rm", "never")
