"""Stores of containers in which something is damaged, missing or of somebody else: said in a sentence, nothing lost."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from pathlib import Path

import pytest
from waiting import wait_until

from kernelbox import Engine
from kernelbox.engine.container import Container
from kernelbox.engine.containers import Containers
from kernelbox.errors import ContainerNotFound, KernelBoxError, StoreError
from kernelbox.store.state import VERSION

pytestmark = [pytest.mark.kernel, pytest.mark.root]

DAMAGED = {
    "empty": b"", "half": b"{", "zeros": b"\0" * 100, "words": b'{"groups": 1}', "list": b"[]", "null": b"null",
    "no utf-8": b"\xf6", "noise": random.Random(1).randbytes(300),
}  # fmt: skip


@pytest.fixture
def ended(containers: Containers, busybox_image: str) -> Container:
    container = containers.run(busybox_image, ["sh", "-c", "echo words; exit 3"], name="ended")
    container.wait(10)
    return container


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
@pytest.mark.parametrize("name", ["start.json", "config.json", "exit", "running", "log.json", "trace"])
def test_a_file_that_is_damaged(containers: Containers, ended: Container, name: str, content: bytes) -> None:
    """The container is still listed; it can be started again, or at least removed."""
    (ended.folder.path / name).write_bytes(content)
    assert containers.list(all=True) == [ended]
    assert ended.reload().exit_code == 3
    if name == "config.json":
        with pytest.raises(StoreError, match=r"config.json is damaged: .*start the container again"):
            ended.folder.config()
    assert ended.start().wait(10) == 3
    assert ended.logs().endswith("words\n")
    ended.remove(force=True)
    assert containers.list(all=True) == []


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
@pytest.mark.parametrize("name", ["start.json", "config.json", "exit"])
def test_a_file_that_is_damaged_before_anybody_has_looked(
    containers: Containers, busybox_image: str, name: str, content: bytes
) -> None:
    container = containers.run(busybox_image, ["sh", "-c", "until [ -e /go ]; do sleep 0.01; done; exit 3"])
    container.exec(["touch", "/go"])
    wait_until(lambda: container.folder.exit() is not None)
    (container.folder.path / name).write_bytes(content)
    assert containers.list(all=True) == [container]
    assert containers.list() == []
    assert container.reload().exit_code == (None if name == "exit" else 3)
    container.remove()


@pytest.mark.parametrize("name", ["start.json", "config.json", "exit", "log.json", "upper", "rootfs", "lock"])
def test_a_file_that_has_gone(containers: Containers, ended: Container, name: str) -> None:
    path = ended.folder.path / name
    if path.is_dir():
        path.rename(ended.folder.path.parent / f".{name}-elsewhere")
    else:
        path.unlink()
    try:
        assert containers.get("ended").exit_code == 3
        assert ended.start().wait(10) == 3
    finally:
        for each in ended.folder.path.parent.glob(".*-elsewhere"):
            shutil.rmtree(each)


def test_a_folder_that_has_gone(containers: Containers, ended: Container) -> None:
    ended.folder.path.rename(containers.box.paths.root / "elsewhere")
    try:
        assert containers.get("ended").exit_code == 3
        assert containers.list(all=True) == [ended]
        with pytest.raises(StoreError, match=r"the folder of container .* cannot be used"):
            ended.start()
        ended.remove()
        with pytest.raises(ContainerNotFound):
            containers.get("ended")
    finally:
        shutil.rmtree(containers.box.paths.root / "elsewhere")


def test_a_folder_that_goes_while_it_runs(containers: Containers, sleeper: Container) -> None:
    moved = containers.box.paths.root / "elsewhere"
    sleeper.folder.path.rename(moved)
    os.kill(sleeper.record.pid, 9)
    sleeper.reload()
    moved.rename(sleeper.folder.path)
    sleeper.remove(force=True)


@pytest.mark.parametrize("damage", ["noise", "newer", "folder"])
def test_a_state_file_that_is_not_ours(store: Path, busybox_image: str, damage: str) -> None:
    """It is left as it is, byte for byte."""
    with Engine(root=store) as box:
        kept = box.containers.create(busybox_image, ["true"], name="kept")
        path = box.paths.state
    whole = path.read_bytes()
    match damage:
        case "noise":
            path.write_bytes(os.urandom(len(whole)))
        case "newer":
            with sqlite3.connect(path) as connection:
                connection.execute(f"PRAGMA user_version = {VERSION + 1}")
            connection.close()
        case "folder":
            path.unlink()
            path.mkdir()
    before = None if path.is_dir() else path.read_bytes()
    with Engine(root=store) as box:
        for call in (lambda: box.containers.list(all=True), lambda: box.containers.create(busybox_image, ["true"])):
            with pytest.raises(StoreError, match="state file") as caught:
                call()
            assert caught.value.hint
        assert box.run(busybox_image, ["echo", "well"]).stdout == "well\n", "runs do not need it"
    assert before is None or path.read_bytes() == before
    path.rmdir() if path.is_dir() else path.unlink()
    path.write_bytes(whole)
    with Engine(root=store) as box:
        assert box.containers.get("kept") == kept
        box.containers.prune()


def test_a_link_in_the_place_of_a_container(containers: Containers, ended: Container, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/file").touch()
    moved = containers.box.paths.trash / ended.id
    ended.folder.path.rename(moved)
    ended.folder.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KernelBoxError):
        ended.start()
    ended.remove(force=True)
    assert (tmp_path / "elsewhere/file").exists()
