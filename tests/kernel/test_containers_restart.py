"""Restart policies, and what is changed on a container that exists: the monitor does the first, nobody else needs to
be there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from waiting import wait_until

from kernelbox import Engine
from kernelbox.engine.container import Container
from kernelbox.engine.containers import Containers
from kernelbox.errors import ContainerNotFound, InvalidOption
from kernelbox.runtime.connection import Answer

pytestmark = [pytest.mark.kernel, pytest.mark.root]


def runs(container: Container) -> int:
    return container.logs().count("run\n")


def status_is(container: Container, status: str) -> None:
    wait_until(lambda: container.reload().status == status, f"{container.name} is {status}")


def last_word(container: Container, condition: Callable[[Answer], bool]) -> Answer:
    """The exit record, once it is so."""

    def found() -> Answer | None:
        ended = container.folder.exit()
        return ended if ended and condition(ended) else None

    answer = wait_until(found, "its exit record")
    assert answer
    return answer


def test_no_policy(containers: Containers, busybox_image: str) -> None:
    container = containers.run(busybox_image, ["sh", "-c", "echo run; exit 1"])
    assert container.wait(10) == 1
    assert container.folder.exit().again_ms == 0  # type: ignore[union-attr]
    assert runs(container) == 1


def test_on_failure(containers: Containers, busybox_image: str) -> None:
    container = containers.run(busybox_image, ["sh", "-c", "echo run; exit 4"], restart="on-failure:2")
    assert container.wait(10) == 4
    assert (container.status, container.record.restart_count, runs(container)) == ("exited", 2, 3)


def test_on_failure_until_it_succeeds(containers: Containers, busybox_image: str) -> None:
    script = "echo run; echo >> /file; [ $(wc -l < /file) = 2 ]"
    container = containers.run(busybox_image, ["sh", "-c", script], restart="on-failure")
    assert container.wait(10) == 0
    assert (container.record.restart_count, runs(container)) == (1, 2)


def test_a_signal_is_a_failure(containers: Containers, busybox_image: str) -> None:
    container = containers.run(busybox_image, ["sleep", "infinity"], restart="on-failure:1", name="killed")
    first = container.record.process
    os.kill(container.record.pid, 9)
    wait_until(lambda: container.reload().status == "running" and container.record.process != first)
    assert container.record.restart_count == 1


def test_pauses_double(containers: Containers, busybox_image: str) -> None:
    container = containers.run(busybox_image, ["sh", "-c", "exit 1"], restart="on-failure:3")
    pauses = [last_word(container, lambda ended, n=n: ended.restarts >= n).again_ms for n in range(3)]
    assert pauses == [100, 200, 400]
    assert last_word(container, lambda ended: ended.restarts == 3).again_ms == 0


def test_always_and_stopped(containers: Containers, busybox_image: str) -> None:
    container = containers.run(busybox_image, ["sh", "-c", "echo run; exit 0"], restart="always")
    wait_until(lambda: runs(container) >= 2)
    container.stop(0)
    assert container.status == "exited"
    assert container.record.stopped_by_user
    done = runs(container)
    assert container.folder.exit().again_ms == 0  # type: ignore[union-attr]
    assert container.start().status in ("running", "restarting")
    wait_until(lambda: runs(container) >= done + 2, "after another start the policy is in force again")


@pytest.mark.parametrize("policy", ["always", "unless-stopped"])
def test_killed_it_stays_so(containers: Containers, busybox_image: str, policy: str) -> None:
    container = containers.run(busybox_image, ["sleep", "infinity"], restart=policy)
    container.kill()
    assert container.wait(10) == 137
    assert container.status == "exited"
    assert container.folder.exit().again_ms == 0  # type: ignore[union-attr]


def test_waiting_to_be_started_again(containers: Containers, busybox_image: str) -> None:
    """It counts as running, has no process, and what ends it ends the waiting."""
    ends: list[Callable[[Container], object]] = [
        lambda each: each.stop(), lambda each: each.kill(), lambda each: each.remove(force=True),
    ]  # fmt: skip
    for end in ends:
        container = containers.run(busybox_image, ["sh", "-c", "exit 3"], restart="always")
        last_word(container, lambda ended: ended.again_ms >= 1600)
        status_is(container, "restarting")
        assert (container.record.pid, container.exit_code) == (0, None)
        assert containers.list()[0] == container
        end(container)
        if end is ends[-1]:
            with pytest.raises(ContainerNotFound):
                container.reload()
        else:
            status_is(container, "exited")
            assert container.exit_code == 3
            container.remove()


def test_next_exit(containers: Containers, busybox_image: str) -> None:
    container = containers.run(busybox_image, ["sh", "-c", "sleep 0.1; exit 5"], restart="always")
    for _ in range(2):
        assert container.wait(10, "next-exit") == 5
    with pytest.raises(TimeoutError):
        container.wait(0.3, "not-running")
    with pytest.raises(InvalidOption, match="there are: not-running, next-exit, removed"):
        container.wait(1, "sometime")


def test_next_exit_of_one_that_does_not_run(containers: Containers, store: Path, busybox_image: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    container = containers.create(busybox_image, ["sh", "-c", "exit 6"])
    for _ in range(2):
        with pytest.raises(TimeoutError):
            container.wait(0.1, "next-exit")
        with Engine(root=store) as second, ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(second.containers.get(container.id).wait, 20, "next-exit")
            wait_until(lambda waiting=waiting: waiting.running())
            container.start()
            assert waiting.result() == 6


def test_a_program_that_is_gone_at_the_next_start(containers: Containers, busybox_image: str) -> None:
    container = containers.run(busybox_image, ["sh", "-c", "echo run; rm /bin/sh; exit 1"], restart="on-failure:2")
    status_is(container, "exited")
    assert (container.exit_code, container.record.restart_count, runs(container)) == (127, 2, 1)
    assert container.record.error == "it could not be started again: no such file or directory"


def test_every_run_of_it_is_clean(containers: Containers, busybox_image: str) -> None:
    """Its groups, terminal and network are new each time, its files are the same."""
    script = "tty; grep -vc ':/$' /proc/self/cgroup; echo $$; ls /tmp; touch /tmp/file; exit 1"
    container = containers.run(busybox_image, ["sh", "-c", script], tty=True, restart="on-failure:2", memory="64m")
    container.wait(10)
    runs = container.logs().replace("\r", "").split("/dev/pts/0\n")
    assert runs == ["", "0\n1\n", "0\n1\nfile\n", "0\n1\nfile\n"]


def test_update_of_limits(containers: Containers, busybox_image: str) -> None:
    container = containers.run(busybox_image, ["sleep", "infinity"], memory="64m", memory_swap="64m")
    assert container.update(memory="128m", memory_swap="128m", pids_limit=7) == ()
    assert container.record.options["memory"] == "128m"
    full = container.exec(["sh", "-c", "i=0; while [ $i -lt 9 ]; do sleep 9 >/dev/null 2>&1 & i=$((i+1)); done"])
    assert "can't fork" in full.stderr
    container.restart(0)
    assert container.attrs["HostConfig"]["Memory"] == 128 << 20  # type: ignore[index]
    assert (
        "can't fork"
        in container.exec(["sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 9 >/dev/null 2>&1 & done"]).stderr
    )


def test_update_of_what_does_not_run(containers: Containers, busybox_image: str) -> None:
    script = "grep -h . /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null"
    container = containers.create(busybox_image, ["sh", "-c", script], pids_limit=10)
    container.update(pids_limit=33)
    container.start().wait(10)
    assert container.record.options["pids_limit"] == 33


def test_update_of_the_policy(containers: Containers, busybox_image: str) -> None:
    container = containers.run(busybox_image, ["sh", "-c", "echo run; exit 1"], restart="always")
    container.update(restart="no")
    status_is(container, "exited")
    other = containers.run(busybox_image, ["sleep", "infinity"])
    assert other.update(restart="always") == ("the new restart policy is in force from the next start on",)


@pytest.mark.parametrize(
    "wrong", [{}, {"hostname": "x"}, {"memory": "much"}, {"restart": "often"}, {"pids_limit": "x"}]
)
def test_updates_that_cannot_be_meant(containers: Containers, busybox_image: str, wrong: dict[str, object]) -> None:
    container = containers.create(busybox_image, ["true"], memory="64m")
    before = container.record
    with pytest.raises(InvalidOption):
        container.update(**wrong)
    assert container.reload().record == before


def test_it_outlives_its_engine(store: Path, busybox_image: str) -> None:
    with Engine(root=store) as first:
        record = first.containers.run(busybox_image, ["sleep", "infinity"]).record
    with Engine(root=store) as second:
        again = second.containers.get(record.id)
        assert (again.status, again.record.process) == ("running", record.process)
        again.remove(force=True)
