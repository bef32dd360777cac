"""Containers that are not kept, as somebody else on the same store sees them while they run."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import COMMAND, kernelbox, printed, refused
from faults.monitors import monitors_of
from waiting import wait_until

from kernelbox import Engine
from kernelbox.engine.containers import Containers
from kernelbox.engine.executing import ExecOptions
from kernelbox.engine.job import Job
from kernelbox.engine.temporary import TemporaryContainer
from kernelbox.errors import Conflict, ContainerNotFound, MonitorError, NotSupported

pytestmark = [pytest.mark.kernel, pytest.mark.root]

SLEEP = ["sleep", "infinity"]


@pytest.fixture
def other(store: Path, engine: Engine) -> Iterator[Containers]:
    """What another engine on the same store sees."""
    with Engine(root=store) as box:
        yield box.containers


@pytest.fixture
def job(engine: Engine, busybox_image: str) -> Iterator[Job]:
    begun = engine.start(busybox_image, SLEEP, name="mine", labels={"a": "b"})
    wait_until(lambda: engine.containers.list())
    yield begun
    begun.kill()
    begun.wait()


def test_it_is_listed_while_it_runs(other: Containers, job: Job, busybox_image: str) -> None:
    (found,) = other.list()
    assert isinstance(found, TemporaryContainer)
    assert (found.name, found.record.image, found.record.command) == ("mine", busybox_image, tuple(SLEEP))
    assert (found.status, found.labels, found.exit_code) == ("running", {"a": "b"}, None)
    assert abs(found.record.created_at - Path(f"/proc/{found.record.pid}").stat().st_mtime) < 60
    assert Path(f"/proc/{found.record.pid}/comm").read_text() == "sleep\n"
    assert other.list(all=True) == other.list(filters={"name": ["mine"]}) == other.list(filters={"label": ["a=b"]})
    assert other.list(filters={"label": ["a=c"]}) == []
    assert other.get("mine") == other.get(found.id) == other.get(found.short_id) == found
    assert "mine" in str(other.list())
    job.kill()
    job.wait()
    assert other.list(all=True) == []
    with pytest.raises(ContainerNotFound, match="mine"):
        found.reload()
    with pytest.raises(ContainerNotFound):
        other.get("mine")


def test_among_those_that_are_kept(other: Containers, engine: Engine, job: Job, busybox_image: str) -> None:
    """By when they were made; and what exec adds to one is none."""
    kept = other.run(busybox_image, SLEEP, name="kept")
    later = engine.start(busybox_image, SLEEP)
    execution = kept.begin_exec(SLEEP, ExecOptions.make(), detach=True)
    execution.wait_started()
    execution.detach()
    wait_until(lambda: len(other.list()) == 3)
    names = [each.name for each in other.list()]
    assert names[1:] == ["kept", "mine"]
    assert names[0] == f"run-{other.list()[0].id[:8]}"
    later.kill()
    later.wait()
    kept.remove(force=True)


def test_nothing_is_written_for_it(engine: Engine, job: Job) -> None:
    (folder,) = engine.paths.runs.iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["upper", "work"]


def test_many(engine: Engine, other: Containers, busybox_image: str) -> None:
    """More than one answer of the monitor holds."""
    labels = {f"label{number}": "x" * 100 for number in range(15)}
    jobs = [engine.start(busybox_image, SLEEP, labels=labels) for _ in range(90)]
    wait_until(lambda: len(other.list()) == len(jobs))
    found = other.list()
    assert len({each.id for each in found}) == len(jobs)
    assert [each.record.created_at for each in found] == sorted((e.record.created_at for e in found), reverse=True)
    assert all(each.labels == labels for each in found)
    for each in jobs:
        each.kill()
    for each in jobs:
        each.wait()
    assert other.list() == []


@pytest.mark.parametrize(
    ("command", "labels", "shown"),
    [
        (["sh", "-c", "sleep 86400", "x" * 3000], {}, ("sh", "-c", "sleep 86400", "x" * 497 + "...")),
        (["sh", "-c", "sleep 86400", *["\u20ac"] * 2000], {}, ("sh",)),
        (["sh", "-c", "sleep 86400"], {"a": "x" * 3000}, ("sh",)),
    ],
    ids=["a long word", "many words", "long labels"],
)
def test_what_is_too_long(
    engine: Engine, busybox_image: str, command: list[str], labels: dict[str, str], shown: tuple[str, ...]
) -> None:
    job = engine.start(busybox_image, command, labels=labels)
    (found,) = wait_until(lambda: engine.containers.list())
    assert found.record.command[: len(shown)] == shown
    job.kill()
    job.wait()


def test_it_ends_as_others_ask(other: Containers, job: Job) -> None:
    (found,) = other.list()
    with pytest.raises(TimeoutError):
        found.wait(0.01)
    with pytest.raises(Conflict, match="it is running"):
        found.remove()
    found.kill("USR1")  # which the first process of a pid namespace ignores
    assert found.reload().status == "running"
    found.stop(timeout=0)
    assert job.wait().signal == signal.SIGKILL
    assert found.wait() is None
    for end in (found.kill, found.reload):
        with pytest.raises(ContainerNotFound):
            end()
    found.stop()
    found.remove(force=True)


def test_what_only_kept_ones_can(other: Containers, job: Job) -> None:
    (found,) = other.list()
    refusals = [
        lambda: found.exec(["true"]), found.pause, found.unpause, found.logs, found.attach, found.start, found.restart,
        lambda: found.rename("new"), lambda: found.update(memory="64m"), found.sample, found.explain, found.diff,
        lambda: found.get_archive("/"), lambda: found.put_archive("/", b""), lambda: list(found.export()),
        lambda: found.stat("/"),
    ]  # fmt: skip
    for refusal in refusals:
        with pytest.raises(NotSupported, match="list, stop or kill"):
            refusal()
    assert found.top()[1]
    assert found.attrs["Name"] == "/mine"
    assert other.prune() == []
    assert found.reload().status == "running"


@pytest.mark.usefixtures("orphans")
def test_a_monitor_that_was_killed_has_none(engine: Engine, other: Containers, busybox_image: str) -> None:
    job = engine.start(busybox_image, SLEEP)
    wait_until(lambda: other.list())
    (monitor,) = monitors_of(engine.paths.root)
    os.kill(monitor, signal.SIGKILL)
    with pytest.raises(MonitorError, match="ended with it"):
        job.wait()
    assert other.list(all=True) == []


def test_a_list_starts_no_monitor(store: Path) -> None:
    with Engine(root=store) as box:
        assert box.containers.list(all=True) == []
        assert monitors_of(store) == []


def test_as_a_shell_sees_it(store: Path, busybox_rootfs: Path) -> None:
    words = [*COMMAND, "run", "--rm", "--name", "mine", f"dir:{busybox_rootfs}", "sleep", "86400"]
    with subprocess.Popen(words) as running:
        try:
            wait_until(lambda: printed("ps", "--format", "{{.Names}} {{.Command}}") == 'mine "sleep 86400"\n')
            assert printed("ps", "-q", "--filter", "name=mine") == printed("ps", "-aq")
            assert "sleep 86400" in printed("top", "mine")
            assert refused("exec", "mine", "true", code=125).startswith("nothing but to list, stop or kill it can be")
            assert printed("stats", "--no-stream").count("\n") == 1
            assert printed("kill", "mine") == "mine\n"
            assert running.wait(30) == 137
        finally:
            running.kill()
    assert kernelbox("kill", "mine").returncode == 1
