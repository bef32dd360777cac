"""One store has one monitor, from wherever its engines expect the socket and however they spell the folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import ordinary_user
import pytest
from faults.monitors import monitors_of

import kernelbox.runtime.monitor as monitor
import kernelbox.runtime.plan as plan
from kernelbox import Engine
from kernelbox.errors import MonitorError, StoreError

pytestmark = pytest.mark.kernel

TWO = """
import os
import kernelbox as kb
from kernelbox.store.paths import StorePaths
with kb.Engine() as one:
    one.run("host", ["true"], check=True)
    os.environ["XDG_RUNTIME_DIR"] = os.environ["HOME"] + "/other"
    with kb.Engine() as two:
        assert two.paths.socket != one.paths.socket
        print(two.run("host", ["echo", "well"], check=True).stdout, end="")
        print(one._monitor._pid == two._monitor._pid)
    one.run("host", ["true"], check=True)
with kb.Engine() as two:
    print(two.run("host", ["echo", "again"], check=True).stdout, end="")
    print(two.paths.socket.exists(), one.paths.socket.exists())
"""


def elsewhere(store: Path, runtime: Path) -> Engine:
    """An engine that has another runtime folder, as without XDG_RUNTIME_DIR."""
    box = Engine(root=store)
    box.paths = dataclasses.replace(box.paths, runtime=runtime / box.paths.name)
    return box


@pytest.mark.root
def test_one_of_another_version(
    engine: Engine, store: Path, busybox_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it runs goes on, and whoever comes is told why nothing can be done with it."""
    job = engine.start(busybox_image, ["sleep", "infinity"])
    engine.run(busybox_image, ["true"])
    with monkeypatch.context() as patch, Engine(root=store) as other:
        patch.setattr(plan, "MAGIC", plan.MAGIC ^ 1)
        with pytest.raises(StoreError, match="by another version of kernelbox"):
            other.run(busybox_image, ["true"])
    job.kill()
    assert job.wait().exit_code == 137


@pytest.mark.root
def test_two_runtime_folders(engine: Engine, busybox_image: str, tmp_path: Path) -> None:
    job = engine.start(busybox_image, ["sleep", "infinity"])
    with elsewhere(engine.paths.root, tmp_path / "run") as other:
        assert other.run(busybox_image, ["echo", "well"]).stdout == "well\n"
        assert len(monitors_of(engine.paths.root)) == 1
        assert not other.paths.socket.exists()
        # What the monitor removes when it goes is its own folder, whoever spoke to it last: see `nothing_left`.
    job.kill()
    job.wait(60)


@pytest.mark.root
def test_the_next_monitor_is_found_where_it_is(engine: Engine, busybox_image: str, tmp_path: Path) -> None:
    with elsewhere(engine.paths.root, tmp_path / "run") as other:
        other.run(busybox_image, ["true"], check=True)
        assert engine.run(busybox_image, ["echo", "well"]).stdout == "well\n"
        assert not engine.paths.socket.exists()


@pytest.mark.root
def test_a_link_to_the_store(engine: Engine, busybox_image: str, tmp_path: Path) -> None:
    engine.run(busybox_image, ["true"], check=True)
    (tmp_path / "link").symlink_to(engine.paths.root)
    with Engine(root=tmp_path / "link") as other:
        assert other.run(busybox_image, ["echo", "well"]).stdout == "well\n"
        assert len(monitors_of(engine.paths.root)) == 1


@pytest.mark.root
def test_a_copy_of_a_store_is_not_the_store(engine: Engine, busybox_image: str, tmp_path: Path) -> None:
    engine.run(busybox_image, ["true"], check=True)
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy/monitor.lock").write_bytes(engine.paths.lock.read_bytes())
    with Engine(root=tmp_path / "copy") as other:
        other.run(busybox_image, ["true"], check=True)
        assert monitors_of(tmp_path / "copy") != monitors_of(engine.paths.root)


@pytest.mark.root
def test_a_monitor_that_cannot_be_seen(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    here = engine._open()
    socket = Path("/nonexistent", engine.paths.name, "monitor.sock")
    engine.paths.lock.write_text(str(socket))
    monkeypatch.setattr(monitor, "_PATIENCE_S", 0.0)
    with pytest.raises(MonitorError, match=f"does not answer .hint: its socket should be {socket}, which"):
        here.take()


def test_an_ordinary_user_with_two_environments(ordinary_user: ordinary_user.User) -> None:
    (ordinary_user.home / "other").mkdir(mode=0o755)
    (ordinary_user.home / "other").chmod(0o777)
    done = ordinary_user.python(TWO)
    assert done.stdout.split() == ["well", "True", "again", "True", "False"], done.stderr


def test_an_environment_of_somebody_else(ordinary_user: ordinary_user.User) -> None:
    done = ordinary_user.python("import kernelbox as kb; kb.Engine().run('host', ['true'])", XDG_RUNTIME_DIR="/var")
    last = done.stderr.splitlines()[-1]
    assert "could not make /var/kernelbox for the monitor's socket: permission denied (hint: set XDG_RUNTIME" in last
