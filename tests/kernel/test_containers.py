"""The life of a container that is kept: created, started, stopped, renamed, found again, removed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from waiting import wait_until

from kernelbox import Engine
from kernelbox.engine.container import Container
from kernelbox.engine.containers import Containers
from kernelbox.engine.kept_folder import KeptFolder
from kernelbox.errors import (
    CommandNotExecutable,
    CommandNotFound,
    Conflict,
    ContainerNotFound,
    ImageNotFound,
    InvalidOption,
    NameInUse,
    NotSupported,
    StartError,
)

pytestmark = [pytest.mark.kernel, pytest.mark.root]

TRAP = 'trap "echo asked; exit 7" TERM; trap "echo user" USR1; echo ready; while :; do sleep 0.05; done'


def actions(containers: Containers) -> list[str]:
    return [event.action for event in containers.state.events()]


def says(container: Container, words: str) -> None:
    wait_until(lambda: words in container.logs(), f"{container.name} says {words}")


@pytest.fixture
def trapping(containers: Containers, busybox_image: str) -> Container:
    """Its program handles SIGTERM (it ends with 7) and SIGUSR1."""
    container = containers.run(busybox_image, ["sh", "-c", TRAP], name="trapping")
    says(container, "ready")
    return container


def test_a_whole_life(containers: Containers, busybox_image: str) -> None:
    container = containers.create(busybox_image, ["sh", "-c", "echo out; echo err >&2; exit 3"], name="one")
    assert (container.status, container.exit_code, container.record.pid) == ("created", 0, 0)
    assert container.start().wait(10) == 3
    assert (container.status, container.exit_code) == ("exited", 3)
    assert container.logs() == "out\nerr\n"
    assert container.logs(stdout=False) == "err\n"
    container.remove()
    with pytest.raises(ContainerNotFound, match="no such container: one"):
        containers.get("one")
    assert actions(containers) == ["create", "start", "die", "destroy"]


def test_a_container_that_runs(sleeper: Container, containers: Containers) -> None:
    assert (sleeper.status, sleeper.exit_code) == ("running", None)
    assert Path(f"/proc/{sleeper.record.pid}/comm").read_text() == "sleep\n"
    assert containers.list() == [sleeper]
    assert sleeper.start().record.pid == sleeper.record.pid, "starting it again does nothing"
    assert actions(containers) == ["create", "start"]


def test_what_it_wrote_is_there_at_the_next_start(containers: Containers, busybox_image: str) -> None:
    container = containers.create(busybox_image, ["sh", "-c", "echo more >> /file; cat /file; rm -rf /usr"])
    for count in range(1, 4):
        assert container.start().wait(10) == 0
        assert container.logs(tail=count) == "more\n" * count
    assert [(each.kind, each.path) for each in container.diff()] == [("A", "/file"), ("D", "/usr")]


def test_stop_asks_first(trapping: Container, containers: Containers) -> None:
    trapping.stop()
    assert (trapping.status, trapping.exit_code) == ("exited", 7)
    assert trapping.logs().endswith("asked\n")
    assert actions(containers) == ["create", "start", "kill", "die", "stop"]
    trapping.stop()
    assert actions(containers)[-1] == "stop", "stopping it again does nothing"


def test_stop_kills_what_does_not_listen(containers: Containers, busybox_image: str) -> None:
    container = containers.run(
        busybox_image, ["sh", "-c", 'trap "echo no" TERM; echo ready; while :; do sleep 1; done']
    )
    says(container, "ready")
    assert container.stop(0.2).exit_code == 137
    assert container.record.stopped_by_user


def test_stop_does_not_wait_for_nothing(sleeper: Container) -> None:
    """A first process without a handler never gets the signal: with the ten seconds of Docker this would time out."""
    assert sleeper.stop(3600).exit_code == 137


def test_the_signal_that_stops_it(containers: Containers, busybox_image: str) -> None:
    container = containers.run(busybox_image, ["sh", "-c", TRAP.replace("TERM", "INT")], stop_signal="SIGINT")
    says(container, "ready")
    assert container.stop().exit_code == 7


def test_signals(trapping: Container, containers: Containers) -> None:
    trapping.kill("USR1")
    says(trapping, "user")
    assert trapping.reload().status == "running"
    trapping.kill(signal.SIGTERM)
    assert trapping.wait(10) == 7
    assert not trapping.record.stopped_by_user
    with pytest.raises(Conflict, match="cannot kill the container trapping: it is exited"):
        trapping.kill()
    assert [event.attributes["signal"] for event in containers.state.events() if event.action == "kill"] == ["10", "15"]


@pytest.mark.parametrize("name", ["NONSENSE", "-1", "999", ""])
def test_what_is_no_signal(sleeper: Container, name: str) -> None:
    with pytest.raises(InvalidOption):
        sleeper.kill(name)
    assert sleeper.reload().status == "running"


@pytest.mark.parametrize("name", ["SEGV", "KILL", "ABRT"])
def test_a_program_that_is_ended_by_a_signal(containers: Containers, busybox_image: str, name: str) -> None:
    container = containers.run(busybox_image, ["sh", "-c", f"sh -c 'kill -{name} $$'; exit $?"])
    assert container.wait(10) == 128 + getattr(signal, f"SIG{name}")


def test_killed(sleeper: Container) -> None:
    sleeper.kill()
    assert sleeper.wait(10) == 137
    assert sleeper.record.stopped_by_user


def test_restart(sleeper: Container, containers: Containers) -> None:
    before = sleeper.record
    sleeper.restart(0)
    assert sleeper.status == "running"
    assert sleeper.record.process != before.process
    assert sleeper.record.restart_count == 0, "that counts what the policy does"
    assert actions(containers)[2:] == ["kill", "die", "stop", "restart", "start"]
    sleeper.stop(0)
    assert sleeper.restart().status == "running", "one that has ended is started"


def test_pause(containers: Containers, busybox_image: str) -> None:
    container = containers.run(busybox_image, ["sh", "-c", "while :; do echo tick; sleep 0.01; done"])
    says(container, "tick")
    assert container.pause().status == "paused"
    assert containers.get(container.id).status == "paused"
    assert containers.list() == [container]
    silent = container.logs()
    with pytest.raises(TimeoutError):
        container.wait(0.2)
    assert container.logs().removeprefix(silent).count("\n") <= 1, "what was in its pipe, and no more"
    quiet = container.logs()
    assert container.unpause().status == "running"
    wait_until(lambda: len(container.logs()) > len(quiet))


def test_one_that_is_paused(sleeper: Container) -> None:
    sleeper.pause()
    for wanted, call in {"start": sleeper.start, "exec in": lambda: sleeper.exec(["true"])}.items():
        with pytest.raises(Conflict, match=f"cannot {wanted} the container sleeper: it is paused") as caught:
            call()
        assert caught.value.status_found == "paused"
    with pytest.raises(Conflict, match="cannot pause"):
        sleeper.pause()
    assert sleeper.stop(1).status == "exited", "it is thawed, or it could not end"


def test_killing_what_is_paused(sleeper: Container) -> None:
    sleeper.pause().kill()
    assert sleeper.wait(10) == 137


def test_states_in_which_a_thing_cannot_be_done(containers: Containers, busybox_image: str) -> None:
    container = containers.create(busybox_image, ["true"], name="new")
    calls = {
        "pause": container.pause,
        "unpause": container.unpause,
        "kill": container.kill,
        "exec in": lambda: container.exec(["true"]),
        "list the processes of": container.top,
        "measure": container.sample,
    }
    for wanted, call in calls.items():
        with pytest.raises(Conflict, match=f"cannot {wanted} the container new: it is created"):
            call()
    assert container.stop().status == "created"
    assert container.wait(1) == 0
    container.start().wait(10)
    for wanted, call in calls.items():
        with pytest.raises(Conflict, match=f"cannot {wanted} the container new: it is exited"):
            call()


def test_remove(sleeper: Container, containers: Containers) -> None:
    with pytest.raises(Conflict, match=r"cannot remove the container sleeper: it is running \(hint: kernelbox stop"):
        sleeper.remove()
    pid, folder = sleeper.record.pid, sleeper.folder.path
    sleeper.remove(force=True)
    assert containers.list(all=True) == []
    assert not folder.exists()
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(ContainerNotFound):
        sleeper.reload()


def test_pruned(containers: Containers, sleeper: Container, busybox_image: str) -> None:
    made = containers.create(busybox_image, ["true"])
    ended = containers.run(busybox_image, ["true"])
    ended.wait(10)
    assert set(containers.prune()) == {made.id, ended.id}
    assert containers.list(all=True) == [sleeper]
    assert containers.prune() == []


def test_nothing_is_made_of_what_cannot_be(containers: Containers, busybox_image: str) -> None:
    for wrong in ({"memory": "nonsense"}, {"restart": "often"}, {"log_opt": {"max-file": "3"}}, {"memory": "1"}):
        with pytest.raises(InvalidOption):
            containers.create(busybox_image, ["true"], **wrong)
    with pytest.raises(NotSupported):
        containers.create(busybox_image, ["true"], log_driver="syslog")
    with pytest.raises(InvalidOption, match="cannot be started again"):
        containers.create(busybox_image, ["true"], auto_remove=True, restart="always")
    with pytest.raises(ImageNotFound):
        containers.create("nowhere", ["true"])
    assert containers.list(all=True) == []


@pytest.mark.parametrize(
    ("command", "kind", "code"), [("nosuch", CommandNotFound, 127), ("/etc/passwd", CommandNotExecutable, 126)]
)
def test_a_program_that_cannot_be_started(
    containers: Containers, busybox_image: str, command: str, kind: type[StartError], code: int
) -> None:
    container = containers.create(busybox_image, [command], name="wrong", restart="always")
    for _ in range(2):
        with pytest.raises(kind, match="could not run"):
            container.start()
        container.reload()
        assert (container.status, container.exit_code) == ("created", code)
        assert command in container.record.error
    assert containers.list() == []
    assert actions(containers) == ["create"]


def test_one_that_ran_and_cannot_be_started_any_more(containers: Containers, busybox_image: str) -> None:
    container = containers.create(busybox_image, ["sh", "-c", "rm /bin/sh; exit 4"])
    assert container.start().wait(10) == 4
    with pytest.raises(CommandNotFound):
        container.start()
    assert (container.reload().status, container.exit_code) == ("exited", 127)
    assert "could not run sh" in container.record.error


def test_run_keeps_what_could_not_be_started(containers: Containers, busybox_image: str) -> None:
    with pytest.raises(CommandNotFound):
        containers.run(busybox_image, ["nosuch"], name="kept")
    assert containers.get("kept").status == "created"
    with pytest.raises(CommandNotFound):
        containers.run(busybox_image, ["nosuch"], name="not", auto_remove=True)
    with pytest.raises(ContainerNotFound):
        containers.get("not")


def test_removed_at_its_end(containers: Containers, busybox_image: str) -> None:
    container = containers.run(busybox_image, ["sh", "-c", "sleep 0.2; exit 5"], auto_remove=True)
    with ThreadPoolExecutor(1) as pool:
        until_end = pool.submit(containers.get(container.id).wait, 10)
        assert container.wait(10, "removed") == 5
        assert until_end.result() == 5
    assert containers.list(all=True) == []
    assert actions(containers)[-1] == "destroy"


@pytest.mark.parametrize(
    "end", [lambda each: each.stop(0), lambda each: each.kill(), lambda each: each.remove(force=True)]
)
def test_ended_and_so_removed(containers: Containers, busybox_image: str, end: Callable[[Container], object]) -> None:
    container = containers.run(busybox_image, ["sleep", "infinity"], auto_remove=True)
    end(container)
    wait_until(lambda: containers.list(all=True) == [])
    with pytest.raises(ContainerNotFound):
        container.stop()


def test_removed_at_its_end_while_nobody_looks(containers: Containers, busybox_image: str) -> None:
    container = containers.run(busybox_image, ["true"], auto_remove=True)
    wait_until(lambda: not container.folder.path.exists())
    with pytest.raises(ContainerNotFound):
        containers.get(container.id)


def test_memory_runs_out(containers: Containers, busybox_image: str) -> None:
    container = containers.run(busybox_image, ["tail", "/dev/zero"], memory="16m", memory_swap="16m")
    assert container.wait(30) == 137
    assert container.record.oom_killed
    assert actions(containers)[-2:] == ["die", "oom"]
    assert container.start().wait(30) == 137, "and once more"


def test_what_it_cost(containers: Containers, busybox_image: str) -> None:
    container = containers.run(busybox_image, ["sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"])
    container.wait(30)
    usage = container.record.usage
    assert 0 < float(usage["cpu_usage_seconds"] or 0) < 30
    assert int(usage["memory_peak_bytes"] or 0) > 0


@pytest.mark.parametrize("ends", [False, True])
def test_somebody_looks_before_its_start_is_noted(
    containers: Containers, store: Path, busybox_image: str, monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    """And notes that it runs, and that it has ended: there is one event of each, and the last word is true."""
    container = containers.create(busybox_image, ["sleep", "infinity"])
    write_trace = KeptFolder.write_trace

    def and_look(folder: KeptFolder, traced: bytes) -> None:
        write_trace(folder, traced)
        with Engine(root=store) as second:
            running = second.containers.get(container.id)
            assert running.status == "running"
            if ends:
                os.kill(running.record.pid, signal.SIGKILL)
                wait_until(lambda: running.reload().status == "exited")

    monkeypatch.setattr(KeptFolder, "write_trace", and_look)
    container.start()
    assert (container.status, container.exit_code) == (("exited", 137) if ends else ("running", None))
    assert actions(containers) == ["create", "start", *(["die"] if ends else [])]


def test_one_that_ends_at_once_has_not_ended_before_it_began(containers: Containers, busybox_image: str) -> None:
    for _ in range(5):
        container = containers.run(busybox_image, ["true"])
        container.wait(10)
        seconds = container.record.usage["wall_seconds"]
        assert seconds is not None
        assert seconds > 0


def test_two_engines_at_once(containers: Containers, store: Path, sleeper: Container, busybox_image: str) -> None:
    """Each sees what the other does, also while it waits."""
    with Engine(root=store) as second, ThreadPoolExecutor(1) as pool:
        same = second.containers.get("sleeper")
        assert same.record == sleeper.record
        waiting = pool.submit(same.wait, 20)
        sleeper.pause()
        assert second.containers.get("sleeper").status == "paused"
        second.containers.get("sleeper").unpause().rename("renamed").stop(0)
        assert waiting.result() == 137
        assert (sleeper.reload().name, sleeper.status) == ("renamed", "exited")
        with pytest.raises(NameInUse):
            second.containers.create(busybox_image, ["true"], name="renamed")
        sleeper.remove()
        with pytest.raises(ContainerNotFound):
            same.start()


def test_many_starters_of_one_container(containers: Containers, store: Path, busybox_image: str) -> None:
    """One process runs, whoever was first."""
    container = containers.create(busybox_image, ["sleep", "infinity"])
    with Engine(root=store) as second, ThreadPoolExecutor(4) as pool:
        others = [second.containers.get(container.id), containers.get(container.id), container]
        started = [future.result() for future in [pool.submit(each.start) for each in others]]
        assert len({each.reload().record.pid for each in started}) == 1
    assert actions(containers) == ["create", "start"]
    assert os.path.exists(f"/proc/{container.record.pid}")
