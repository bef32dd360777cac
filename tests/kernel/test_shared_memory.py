"""/dev/shm of a container in whose IPC namespace others are: one memory, in which each sees the same ids."""

from __future__ import annotations

import dataclasses
import errno
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from faults.monitors import monitors_of
from waiting import wait_until

import kernelbox.engine.kernel as kernel
from kernelbox import Engine
from kernelbox.engine import starting
from kernelbox.engine.container import Container
from kernelbox.engine.containers import Containers
from kernelbox.engine.joining import NOT_SHARED_NOTE
from kernelbox.errors import Conflict, InvalidOption, StartError
from kernelbox.linux.features import probe
from kernelbox.runtime.plan import Fault

pytestmark = [pytest.mark.kernel, pytest.mark.root]

SLEEP = ["sleep", "infinity"]
IDS = ("auto", "host")
MOUNT = "grep ' /dev/shm ' /proc/mounts | cut -d ' ' -f 3,4 | cut -d , -f 1-4"


def says(container: Container, script: str) -> str:
    result = container.exec(["sh", "-c", script])
    assert result.exit_code == 0, result.stderr
    return result.stdout


@pytest.fixture
def maps_ids() -> None:
    """Files of one container's memory have the same owners in another one's since Linux 6.3 only."""
    if not probe().idmapped_tmpfs:
        pytest.skip("this kernel cannot map the ids of a tmpfs")


@pytest.fixture
def pair(containers: Containers, busybox_image: str) -> Any:
    """Starts one that shares its memory, and another with it."""

    def start(one: dict[str, Any] | None = None, two: dict[str, Any] | None = None) -> tuple[Container, Container]:
        first = containers.run(busybox_image, SLEEP, **{"name": "one", "ipc": "shareable", **(one or {})})
        return first, containers.run(busybox_image, SLEEP, **{"name": "two", "ipc": "container:one", **(two or {})})

    return start


@pytest.mark.usefixtures("maps_ids")
@pytest.mark.parametrize("theirs", IDS)
@pytest.mark.parametrize("own", IDS)
def test_the_same_files_with_the_same_owners(pair: Any, own: str, theirs: str) -> None:
    one, two = pair({"userns": own}, {"userns": theirs})
    says(one, "cd /dev/shm; echo one > root; echo 1 > alice; chown 1000:50 alice; mkdir -m 700 folder")
    assert says(two, "cd /dev/shm; stat -c '%u:%g %a %n' . *; cat root; rmdir folder") == (
        "0:0 1777 .\n1000:50 644 alice\n0:0 700 folder\n0:0 644 root\none\n"
    )
    says(two, "cd /dev/shm; echo two >> root; echo 2 > bob; chown 7:8 bob")
    assert says(one, "cd /dev/shm; cat root; stat -c '%u:%g %n' bob; ls") == "one\ntwo\n7:8 bob\nalice\nbob\nroot\n"
    assert says(two, MOUNT) == "tmpfs rw,nosuid,nodev,noexec\n"


def test_others_see_nothing_of_it(pair: Any, containers: Containers, busybox_image: str) -> None:
    one, _ = pair()
    says(one, "echo secret > /dev/shm/file")
    assert says(containers.run(busybox_image, SLEEP), "ls -A /dev/shm") == ""


@pytest.mark.usefixtures("maps_ids")
def test_one_that_is_not_kept(engine: Engine, pair: Any, busybox_image: str) -> None:
    one, _ = pair()
    script = "cat > /dev/shm/file; stat -c %u /dev/shm/file"
    run = engine.run(busybox_image, ["sh", "-c", script], ipc="container:one", input=b"sent", user="1000")
    assert (run.stdout, says(one, "cat /dev/shm/file; stat -c %u /dev/shm/file")) == ("1000\n", "sent1000\n")


@pytest.mark.usefixtures("maps_ids")
def test_a_third_one_by_the_second(pair: Any, containers: Containers, busybox_image: str) -> None:
    one, two = pair()
    three = containers.run(busybox_image, SLEEP, ipc="container:two")
    says(three, "echo third > /dev/shm/file; chown 9 /dev/shm/file")
    assert says(one, "cat /dev/shm/file; stat -c %u /dev/shm/file") == "third\n9\n"
    one.stop(0)
    with pytest.raises(Conflict, match="join the ipc namespace of the container one: it is exited"):
        containers.run(busybox_image, SLEEP, ipc="container:two")
    assert says(two, "cat /dev/shm/file") == "third\n", "the memory is there while somebody has it"


@pytest.mark.parametrize(
    ("mode", "hint"),
    [("private", "--ipc shareable"), (None, "--ipc shareable"), ("none", "--ipc shareable"), ("host", "--ipc host")],
)
def test_one_that_does_not_share(containers: Containers, busybox_image: str, mode: str | None, hint: str) -> None:
    containers.run(busybox_image, SLEEP, name="one", ipc=mode)
    two = containers.create(busybox_image, SLEEP, ipc="container:one")
    with pytest.raises(InvalidOption, match=f"container one: its IPC is {mode or 'private'}") as caught:
        two.start()
    assert hint in str(caught.value.hint)


@pytest.mark.parametrize("option", [{"tmpfs": ["/dev/shm:size=1m"]}, {"volumes": ["web:/dev/shm"]}])
def test_what_was_asked_for_takes_its_place(pair: Any, option: dict[str, Any]) -> None:
    one, two = pair({}, option)
    says(one, "touch /dev/shm/file")
    assert says(two, "ls /dev/shm; touch /dev/shm/own") == ""
    two.box.containers.get("two").remove(force=True)
    two.box.volumes.prune(all=True)


@pytest.mark.parametrize(
    "script",
    [
        "umount /dev/shm",
        "umount /dev/shm; rmdir /dev/shm; ln -s /tmp /dev/shm",
        "umount /dev/shm; rmdir /dev/shm; ln -s /proc/self/root/tmp /dev/shm",
        "mkdir /dev/shm/a; mount --bind /etc /dev/shm",
        "mount -t proc proc /dev/shm",
        "umount /dev/shm; rmdir /dev/shm; mkfifo /dev/shm",
    ],
)
@pytest.mark.usefixtures("maps_ids")
def test_something_else_in_its_place(engine: Engine, containers: Containers, busybox_image: str, script: str) -> None:
    """A container with rights over its mounts gives nothing away but its memory."""
    one = containers.run(busybox_image, SLEEP, name="one", ipc="shareable", cap_add=["SYS_ADMIN"], userns="host")
    says(one, script)
    with pytest.raises(StartError, match="share the memory"):
        containers.run(busybox_image, ["ls", "/dev/shm"], name="two", ipc="container:one")
    assert engine.run(busybox_image, ["echo", "served"]).stdout == "served\n"


@pytest.mark.usefixtures("maps_ids")
def test_devices_in_its_place_do_not_work(containers: Containers, busybox_image: str) -> None:
    """The other one's /dev is a tmpfs too."""
    one = containers.run(busybox_image, SLEEP, name="one", ipc="shareable", cap_add=["SYS_ADMIN"], userns="host")
    says(one, "mount --bind /dev /dev/shm")
    two = containers.run(busybox_image, SLEEP, ipc="container:one")
    assert two.exec(["sh", "-c", ": > /dev/shm/null"]).exit_code == 1
    assert says(two, "grep -c ' /dev/shm .*nosuid,nodev,noexec' /proc/mounts") == "1\n"


def test_a_kernel_that_cannot_map_its_ids(store: Path, busybox_image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    older = dataclasses.replace(probe(), idmapped_tmpfs=False)
    monkeypatch.setattr(kernel, "probe", lambda: older)
    with Engine(root=store) as box:
        one = box.containers.run(busybox_image, SLEEP, name="one", ipc="shareable")
        two = box.containers.run(busybox_image, SLEEP, ipc="container:one")
        says(one, "touch /dev/shm/file")
        assert says(two, "ls /dev/shm") == ""
        assert NOT_SHARED_NOTE in two.folder.start_notes().notes
        run = box.run(busybox_image, ["ls", "/dev/shm"], ipc="container:one")
        assert (run.stdout, NOT_SHARED_NOTE in run.limits.notes) == ("", True)
        with_theirs = [box.containers.run(busybox_image, SLEEP, name="host", ipc="shareable", userns="host")]
        with_theirs.append(box.containers.run(busybox_image, SLEEP, ipc="container:host", userns="host"))
        says(with_theirs[0], "touch /dev/shm/file")
        assert says(with_theirs[1], "ls /dev/shm") == "file\n", "where there are none to be mapped"
        for container in (one, two, *with_theirs):
            container.remove(force=True)


def kill_monitor(box: Engine) -> None:
    (monitor,) = monitors_of(box.paths.root)
    os.kill(monitor, signal.SIGKILL)
    wait_until(lambda: not box.containers.monitor.alive)


@pytest.mark.usefixtures("maps_ids")
@pytest.mark.usefixtures("orphans")
def test_after_another_monitor_has_taken_over(
    engine: Engine, pair: Any, containers: Containers, busybox_image: str
) -> None:
    one, two = pair()
    kill_monitor(engine)
    three = containers.run(busybox_image, SLEEP, ipc="container:one")
    says(three, "echo three > /dev/shm/file; chown 5 /dev/shm/file")
    for each in (one, two):
        assert says(each, "cat /dev/shm/file; stat -c %u /dev/shm/file") == "three\n5\n"


@pytest.mark.usefixtures("maps_ids")
@pytest.mark.usefixtures("orphans")
@pytest.mark.parametrize("killed", [False, True], ids=["one monitor", "another monitor"])
def test_with_the_other_one_s_ids_of_that_moment(engine: Engine, pair: Any, killed: bool) -> None:
    """It is started again by its monitor, when the other one has been started with another range of ids."""
    one, two = pair({}, {"restart": "always"})
    ids, process = one.record.id_range, two.record.pid
    one.stop(0)
    meanwhile = engine.start(one.record.image, SLEEP)  # who has its range now
    one.start()
    meanwhile.kill()
    meanwhile.wait()
    assert one.record.id_range != ids
    if killed:
        kill_monitor(engine)
        one.reload()
    says(one, "touch /dev/shm/file; chown 5 /dev/shm/file")
    os.kill(two.record.pid, signal.SIGKILL)
    wait_until(lambda: two.reload().record.pid not in (0, process) and two.status == "running")
    assert says(two, "stat -c %u:%n /dev/shm/*") == "5:/dev/shm/file\n"


@pytest.mark.usefixtures("maps_ids")
def test_it_is_explained_and_fails(containers: Containers, pair: Any, busybox_image: str) -> None:
    one, two = pair()
    (row,) = (row for row in two.trace("start") if row.what.startswith("share the memory"))
    assert row.what == f"share the memory (/dev/shm) of {one.id}"
    assert "open_tree" in row.syscall
    assert "ShareMemory" in set(two.explain("start")["step"])
    third = containers.create(busybox_image, SLEEP, ipc="container:one")
    with pytest.raises(StartError, match=r"could not share the memory .*: cannot allocate memory") as caught:
        starting.start(third.box, third.state, third.folder, third.record, fault=Fault(row.number, errno.ENOMEM))
    assert caught.value.step == row.number
