"""Kept containers, and a monitor that is killed, a machine that goes down or a disk that is full, at chosen moments."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import leaks
import pytest
from faults.monitors import groups_of, monitors_of
from faults.small_disks import Mounted
from faults.test_kept import an_init
from waiting import wait_until

from kernelbox import Engine
from kernelbox.engine.container import Container
from kernelbox.engine.executing import ExecOptions
from kernelbox.errors import KernelBoxError, MonitorError, StoreError

pytestmark = [pytest.mark.kernel, pytest.mark.root, pytest.mark.usefixtures("orphans")]


NO_BOOT = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def image(busybox_rootfs: Path) -> str:
    return f"dir:{busybox_rootfs}"


@pytest.fixture
def box(store: Path) -> Iterator[Engine]:
    with an_init(), Engine(root=store) as engine:
        yield engine
        for container in engine.containers.list(all=True):
            container.remove(force=True)
        wait_until(lambda: not groups_of(store))
    wait_until(lambda: not monitors_of(store))
    assert not leaks.left_in_store(store)


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder that containers see too."""
    folder = tmp_path / "shared"
    folder.mkdir()
    return folder


def kill_monitor(box: Engine, store: Path) -> None:
    """Returns once its lock is free: its watchdog, which has that too, ends after it."""
    (pid,) = monitors_of(store)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not box.containers.monitor.alive)


def machine_goes_down(box: Engine, store: Path) -> None:
    """All processes end at once, and what was noted of them is of another boot."""
    kill_monitor(box, store)
    for container in [Container(box.containers, each) for each in box.containers.state.all()]:
        running = container.folder.running()
        if running is None:
            continue
        os.kill(running.pid, signal.SIGKILL)
        wait_until(lambda running=running: not running.alive())
        note = container.folder.path / "running"
        note.write_text(note.read_text().replace(running.boot, NO_BOOT))


def test_it_ends_without_its_monitor(box: Engine, store: Path, image: str, shared: Path) -> None:
    script = "until [ -e /shared/go ]; do sleep 0.01; done; exit 7"
    container = box.containers.run(image, ["sh", "-c", script], volumes=[f"{shared}:/shared"])
    kill_monitor(box, store)
    (shared / "go").touch()
    wait_until(lambda: not container.folder.running().alive())  # type: ignore[union-attr]
    container.reload()
    assert (container.status, container.exit_code) == ("exited", None)
    assert "nobody was there" in container.record.error
    assert container.start().wait(10) == 7, "and once more"


def test_a_full_pipe_waits_for_the_next_monitor(box: Engine, store: Path, image: str, shared: Path) -> None:
    script = "echo begun; until [ -e /shared/go ]; do sleep 0.01; done; seq 0 19999"
    container = box.containers.run(image, ["sh", "-c", script], volumes=[f"{shared}:/shared"])
    wait_until(lambda: "begun" in container.logs())
    kill_monitor(box, store)
    (shared / "go").touch()
    assert container.wait(30) == 0
    assert container.logs() == "begun\n" + "".join(f"{number}\n" for number in range(20000))


@pytest.mark.parametrize("goes", ["it ends", "it is removed", "while nobody is there"])
def test_the_neighbour_has_gone_when_the_monitor_is_killed(box: Engine, store: Path, image: str, goes: str) -> None:
    """Whoever runs in the namespaces of another container runs on in them, and is the next monitor's."""
    other = box.containers.run(image, ["sleep", "infinity"], name="other", hostname="of-other", ipc="shareable")
    kinds = dict.fromkeys(("network", "ipc", "uts"), "container:other")
    script = "trap 'echo asked; exit 7' TERM; echo begun; while :; do sleep 0.01; done"
    container = box.containers.run(image, ["sh", "-c", script], **kinds)
    wait_until(lambda: "begun" in container.logs())
    if goes == "it ends":
        other.stop(0)
    elif goes == "it is removed":
        other.remove(force=True)
    kill_monitor(box, store)
    if goes == "while nobody is there":
        os.kill(other.record.pid, signal.SIGKILL)
        wait_until(lambda: not other.folder.running().alive())  # type: ignore[union-attr]
    assert (container.reload().status, container.record.error) == ("running", "")
    assert container.exec(["hostname"]).stdout == "of-other\n"
    assert container.stop().exit_code == 7
    assert container.logs() == "begun\nasked\n"


def test_it_is_not_started_again_without_its_neighbour(box: Engine, store: Path, image: str, shared: Path) -> None:
    """Rather not at all than in other namespaces than were asked for."""
    other = box.containers.run(image, ["sleep", "infinity"], name="other")
    script = "until [ -e /shared/go ]; do sleep 0.01; done; exit 7"
    volumes = [f"{shared}:/shared"]
    container = box.containers.run(
        image, ["sh", "-c", script], network="container:other", volumes=volumes, restart="on-failure:2"
    )
    other.remove(force=True)
    kill_monitor(box, store)
    assert container.reload().status == "running"
    (shared / "go").touch()
    wait_until(lambda: container.reload().status == "exited")
    assert "it could not be started again: no such process" in container.record.error


def test_its_monitor_is_killed_under_an_exec(box: Engine, store: Path, image: str) -> None:
    execution = box.containers.run(image, ["sleep", "infinity"]).begin_exec(["sleep", "infinity"], ExecOptions())
    execution.wait_started()
    pid = execution.launch.pid
    assert execution.inspect()["Running"]
    kill_monitor(box, store)
    with pytest.raises(MonitorError):
        execution.wait()
    shown = execution.inspect()
    assert (shown["Running"], shown["Pid"], shown["ExitCode"]) == (False, pid, None)


@pytest.mark.parametrize("policy", ["always", "on-failure"])
def test_the_monitor_is_killed_while_one_waits(box: Engine, store: Path, image: str, policy: str) -> None:
    container = box.containers.run(image, ["sh", "-c", "echo run; exit 1"], restart=policy)
    wait_until(lambda: (ended := container.folder.exit()) and ended.again_ms >= 800)
    before = container.logs().count("run")
    kill_monitor(box, store)
    assert container.reload().status in ("running", "restarting")
    wait_until(lambda: container.logs().count("run") >= before + 2, "the next one starts it again, and again")
    container.stop(0)
    assert container.status == "exited"


def test_one_that_was_stopped_while_it_waited_stays_so(box: Engine, store: Path, image: str) -> None:
    container = box.containers.run(image, ["sh", "-c", "echo run; exit 1"], restart="always")
    other = box.containers.run(image, ["sleep", "infinity"])
    wait_until(lambda: (ended := container.folder.exit()) and ended.again_ms >= 800)
    container.reload()
    box.containers.state.change(container.id, stopped_by_user=True)
    kill_monitor(box, store)
    other.reload()
    assert container.reload().status == "exited"
    assert container.reload().status == "exited"


@pytest.mark.parametrize(
    ("policy", "status"),
    [("no", "exited"), ("always", "running"), ("unless-stopped", "running"), ("on-failure", "running")],
)
def test_the_machine_goes_down(box: Engine, store: Path, image: str, policy: str, status: str) -> None:
    container = box.containers.run(image, ["sh", "-c", "echo run; sleep infinity"], restart=policy, name="one")
    wait_until(lambda: "run" in container.logs())
    stopped = box.containers.run(image, ["sleep", "infinity"], restart="always").stop(0)
    machine_goes_down(box, store)
    assert box.containers.get("one").status == status
    assert stopped.reload().status == "exited"
    if status == "exited":
        assert container.reload().exit_code is None
        assert "nobody was there" in container.record.error
    else:
        wait_until(lambda: container.logs() == "run\nrun\n")


def test_the_machine_goes_down_with_two_that_share(box: Engine, store: Path, image: str) -> None:
    """The one that is joined is there again before the one that joins it."""
    other = box.containers.run(image, ["sleep", "infinity"], name="other", restart="always")
    container = box.containers.run(image, ["sleep", "infinity"], network="container:other", restart="always")
    machine_goes_down(box, store)
    assert [each.reload().status for each in (container, other)] == ["running", "running"]
    networks = [os.readlink(f"/proc/{each.record.pid}/ns/net") for each in (container, other)]
    assert networks[0] == networks[1]


def test_a_number_that_has_become_somebody_else_s(box: Engine, store: Path, image: str) -> None:
    container = box.containers.run(image, ["sleep", "infinity"])
    kill_monitor(box, store)
    os.kill(container.record.pid, signal.SIGKILL)
    wait_until(lambda: not container.folder.running().alive())  # type: ignore[union-attr]
    words = (container.folder.path / "running").read_text().split()
    (container.folder.path / "running").write_text(" ".join([str(os.getpid()), *words[1:]]))
    assert container.reload().status == "exited"
    container.remove(force=True)


def test_the_disk_is_full_at_a_start(small_disk: Mounted, image: str) -> None:
    disk = small_disk("size=600k")
    with Engine(root=disk / "store") as box:
        container = box.containers.create(image, ["echo", "words"])
        (disk / "full").write_bytes(bytes(os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize))
        with pytest.raises(KernelBoxError, match=r"(?i)no space left"):
            container.start()
        (disk / "full").unlink()
        assert container.start().wait(10) == 0
        assert container.logs() == "words\n"
        container.remove()


def test_the_disk_is_full_while_it_writes(small_disk: Mounted, image: str, shared: Path) -> None:
    """The container goes on, what does not fit is lost, and what is written is whole."""
    disk = small_disk("size=1m")
    with Engine(root=disk / "store") as box:
        script = "i=0; while [ $i -lt 30000 ]; do echo line $i; i=$((i+1)); done; exit 5"
        script = f"until [ -e /shared/go ]; do sleep 0.01; done; {script}"
        container = box.containers.run(image, ["sh", "-c", script], volumes=[f"{shared}:/shared"])
        (shared / "go").touch()
        wait_until(lambda: not container.folder.running())
        with pytest.raises(StoreError, match=r"disk is full .*free some space"):
            container.reload()
        lines = container.logs().splitlines()
        assert 0 < len(lines) < 30000
        assert lines == [f"line {number}" for number in range(len(lines))]
        broken = container.folder.log.read_bytes().splitlines()[:-1]
        assert all(json.loads(line) for line in broken)
        container.folder.log.unlink()
        assert container.reload().status == "exited"
        assert container.exit_code == 5, "its record had its room from the start on"
        container.remove()


def test_a_log_that_cannot_be_rotated_grows_on(small_disk: Mounted, image: str, shared: Path) -> None:
    """Until there is room for another file."""
    disk = small_disk("size=4m,nr_inodes=200")
    lines = "for n in 1 2 3 4 5 6 7 8; do i=$((i+1)); echo line $i; sleep 0.01; done"
    script = f"i=0; for step in 1 2; do until [ -e /shared/$step ]; do sleep 0.01; done; {lines}; done"
    with Engine(root=disk / "store") as box:
        container = box.containers.run(
            image, ["sh", "-c", script], volumes=[f"{shared}:/shared"], log_opt={"max-size": "300", "max-file": "99"}
        )
        fillers = [disk / str(number) for number in range(200)]
        with contextlib.suppress(OSError):
            for filler in fillers:
                filler.touch()
        (shared / "1").touch()
        wait_until(lambda: "line 8\n" in container.logs())
        assert not container.folder.log.with_name("log.json.1").exists()
        for filler in fillers:
            filler.unlink(missing_ok=True)
        (shared / "2").touch()
        assert container.wait(10) == 0
        assert container.logs() == "".join(f"line {number}\n" for number in range(1, 17))
        assert container.folder.log.with_name("log.json.1").exists()
        container.remove()


def test_the_store_is_read_only(small_disk: Mounted, image: str) -> None:
    disk = small_disk("size=4m")
    with Engine(root=disk / "store") as box:
        box.containers.create(image, ["true"], name="one")
    os.system(f"mount -o remount,ro {disk}")
    try:
        with Engine(root=disk / "store") as box:
            for call in (lambda: box.containers.get("one").start(), lambda: box.containers.create(image, ["true"])):
                with pytest.raises(KernelBoxError):
                    call()
    finally:
        os.system(f"mount -o remount,rw {disk}")
    with Engine(root=disk / "store") as box:
        box.containers.get("one").remove()
