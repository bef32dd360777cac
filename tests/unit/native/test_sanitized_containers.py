"""Ordinary containers under the sanitized monitor: nothing is reported, and all works as under the other one."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import leaks
import pytest
from faults.monitors import monitors_of
from waiting import wait_until

import kernelbox.runtime.monitor_program as monitor_module
from kernelbox import Engine
from kernelbox.errors import CommandNotFound, StartError
from kernelbox.runtime.plan import Fault
from kernelbox.runtime.steps.base import LAST

pytestmark = [pytest.mark.kernel, pytest.mark.root, pytest.mark.outside]


@pytest.fixture
def box(store: Path, sanitized_monitor: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """When it is closed, the monitor must have gone by itself, and have said nothing: then it removes its log."""
    monkeypatch.setattr(monitor_module, "MONITOR_PROGRAM", sanitized_monitor)
    with Engine(root=store) as engine:
        engine.run("host", ["true"])
        (pid,) = monitors_of(store)
        libraries = Path(f"/proc/{pid}/maps").read_text()
        assert "libasan" in libraries
        assert "libubsan" in libraries
        yield engine
        assert monitors_of(store) == [pid]
        assert not (engine.paths.runtime / "monitor.log").read_text()
    wait_until(lambda: not leaks.left_in_store(store))


@pytest.fixture
def image(busybox_rootfs: Path) -> str:
    return f"dir:{busybox_rootfs}"


def test_runs_of_all_kinds(box: Engine, image: str, tmp_path: Path) -> None:
    assert box.run(image, ["cat"], input=b"x" * 300_000).stdout == "x" * 300_000
    assert box.run(image, ["sh", "-c", "echo out; echo err >&2; exit 3"]).exit_code == 3
    assert box.run(image, ["tty"], tty=True).stdout == "/dev/pts/0\r\n"
    assert box.run(image, ["sleep", "infinity"], timeout=0.1).timed_out
    assert box.run(image, ["sh", "-c", "sh -c 'kill -SEGV $$'; exit $?"]).exit_code == 139
    assert box.run(image, ["ls", "/a/b"], volumes=[f"{tmp_path}:/a/b/c"], tmpfs=["/t"]).stdout == "c\n"
    assert box.run(image, ["true"], pid="host", userns="host", memory="32m", pids_limit=9).exit_code == 0
    assert box.run(image, ["true", "x" * 100_000, *["y"] * 2000]).exit_code == 0
    with pytest.raises(CommandNotFound):
        box.run(image, ["nonsense"])


def test_many_at_once(box: Engine, image: str) -> None:
    jobs = [box.start(image, ["sh", "-c", "read line; echo $line"], input=f"{n}\n") for n in range(20)]
    assert [job.wait(30).stdout for job in jobs] == [f"{n}\n" for n in range(20)]


def test_kept_ones_beside_each_other(box: Engine, image: str) -> None:
    one = box.containers.run(image, ["sleep", "infinity"], name="one", ipc="shareable")
    assert one.exec(["tty"], tty=True).stdout == "/dev/pts/0\r\n"
    two = box.containers.run(image, ["sh", "-c", "echo x > /dev/shm/file"], ipc="container:one")
    assert two.wait() == 0
    assert one.exec(["cat", "/dev/shm/file"]).stdout == "x\n"
    for container in (one, two):
        container.remove(force=True)


def test_a_deep_tree_and_many_files(box: Engine, image: str) -> None:
    script = "cd /tmp; mkdir a; for i in $(seq 200); do mkdir b && mv a b/a && mv b a && touch a/$i || exit 1; done"
    assert box.run(image, ["sh", "-c", script]).exit_code == 0


@pytest.mark.parametrize("links", [3, 8, 9, 12])
def test_a_mount_below_links_that_point_nowhere(box: Engine, busybox_rootfs: Path, tmp_path: Path, links: int) -> None:
    """An image's links decide how deep the resolution goes: not deeper than the launcher's stack."""
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    (root / "bin/busybox").hardlink_to(busybox_rootfs / "bin/busybox")
    for number in range(links):
        (root / f"link{number}").symlink_to(f"folder/../link{number + 1}" if number else f"link{number + 1}")
    (root / "folder").mkdir()
    (tmp_path / "given").mkdir()
    run = ["/bin/busybox", "ls", f"/link{links}"]
    if links <= 8:
        assert box.run(f"dir:{root}", run, volumes=[f"{tmp_path / 'given'}:/link0"]).exit_code == 0
        return
    with pytest.raises(StartError, match="too many levels of symbolic links"):
        box.run(f"dir:{root}", run, volumes=[f"{tmp_path / 'given'}:/link0"])


def test_every_third_step_fails(box: Engine, image: str) -> None:
    trace = box.run(image, ["true"]).trace
    steps = [row.number for row in trace if row.where != LAST][::3]
    assert len(steps) > 20
    for step in steps:
        with pytest.raises(StartError) as caught:
            box.run_with_fault(Fault(step, errno.ENOMEM), image, ["true"])
        assert caught.value.step == step
