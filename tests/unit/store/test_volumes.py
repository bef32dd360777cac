"""Volumes at rest: rows and folders, made and removed by several at once, and found again after a kill in between."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelbox.errors import Conflict, InvalidOption, NameInUse, StoreError, VolumeNotFound
from kernelbox.store import volume_rows as rows
from kernelbox.store.container_record import ContainerRecord
from kernelbox.store.paths import StorePaths
from kernelbox.store.state import _STEPS, VERSION, StateFile
from kernelbox.store.volume_names import USED_VOLUMES
from kernelbox.store.volume_rows import NEW, READY, REMOVING, VolumeRecord, VolumeUse
from kernelbox.store.volumes import VolumeStore


@pytest.fixture
def paths(tmp_path: Path) -> StorePaths:
    paths = StorePaths.of(tmp_path / "store")
    for folder in (paths.root, paths.runs, paths.trash):
        folder.mkdir()
    return paths


@pytest.fixture
def state(paths: StorePaths) -> Iterator[StateFile]:
    file = StateFile(paths.state)
    yield file
    file.close()


@pytest.fixture
def swept() -> list[str]:
    return []


@pytest.fixture
def volumes(state: StateFile, paths: StorePaths, swept: list[str]) -> VolumeStore:
    return VolumeStore(state, paths, swept.append)


def container(identity: str, name: str) -> ContainerRecord:
    return ContainerRecord(id=identity.ljust(64, "0"), name=name, image="host", created_at=1.0)


def use(of: ContainerRecord, volume: str, destination: str = "/data", *, anonymous: bool = False) -> VolumeUse:
    return VolumeUse(of.id, destination, volume, ("ro",), anonymous)


def test_made_found_and_removed(volumes: VolumeStore, paths: StorePaths, swept: list[str]) -> None:
    made = volumes.create("web", {"a": "b"})
    assert made == volumes.get("web") == VolumeRecord("web", made.created_at, {"a": "b"}, READY)
    assert volumes.create("web", {"other": ""}) == made, "the one that there is"
    (volumes.data("web") / "file").write_text("x")
    assert volumes.data("web").stat().st_mode & 0o777 == 0o755
    volumes.remove("web")
    assert volumes.all() == []
    assert os.listdir(paths.volumes) == []
    assert os.listdir(paths.trash) == swept
    assert len(swept[0]) == 64, "a name that the sweeper of the trash knows"
    assert (paths.trash / swept[0] / "_data/file").read_text() == "x"
    with pytest.raises(VolumeNotFound, match="no such volume: web"):
        volumes.remove("web")


def test_nothing_is_made_by_asking(volumes: VolumeStore, paths: StorePaths) -> None:
    assert volumes.all() == []
    assert volumes.used() == {}
    with pytest.raises(VolumeNotFound):
        volumes.get("web")
    volumes.finish()
    assert sorted(os.listdir(paths.root)) == ["runs", "trash"]


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "/etc", "a\0b"])
def test_names_lead_nowhere_else(volumes: VolumeStore, paths: StorePaths, name: str) -> None:
    with pytest.raises(InvalidOption, match="not a name for a volume"):
        volumes.create(name, {})
    with pytest.raises(VolumeNotFound):
        volumes.remove(name)
    assert not (paths.root / "volumes").exists() or not os.listdir(paths.volumes)


def test_a_container_keeps_its_volumes(volumes: VolumeStore, state: StateFile) -> None:
    volumes.create("web", {})
    first, second = container("a", "first"), container("b", "second")
    state.add(first, [use(first, "web"), use(first, "f" * 64, "/own", anonymous=True)])
    state.add(second, [use(second, "web")])
    assert [each.volume for each in volumes.uses_of(first.id)] == ["web", "f" * 64]
    assert volumes.used() == {"web": 2, "f" * 64: 1}
    with pytest.raises(Conflict, match="the volume web is in use by the containers first, second"):
        volumes.remove("web")
    state.remove(first.id)
    with pytest.raises(Conflict, match="the volume web is in use by the container second"):
        volumes.remove("web")
    state.remove(second.id, volumes=True)
    assert [each.name for each in volumes.all()] == ["f" * 64, "web"], "one has a name, the other was left"
    volumes.remove("web")


def test_what_was_made_for_a_container_goes_with_it(volumes: VolumeStore, state: StateFile, paths: StorePaths) -> None:
    own, other = container("a", "own"), container("b", "other")
    state.add(own, [use(own, "1" * 64, anonymous=True), use(own, "2" * 64, "/two", anonymous=True)])
    state.add(other, [use(other, "2" * 64)])
    for name in ("1" * 64, "2" * 64):
        volumes.make_folder(name)
    state.remove(own.id, volumes=True)
    assert [each.name for each in volumes.all()] == ["2" * 64], "somebody else has this one"
    volumes.finish()
    assert os.listdir(paths.volumes) == ["2" * 64]


def test_what_a_container_has_is_made_with_it_or_not_at_all(volumes: VolumeStore, state: StateFile) -> None:
    one, other = container("a", "one"), container("b", "one")
    place = VolumeUse(one.id, "/labelled", "labelled", labels={"a": "b"})
    state.add(one, [use(one, "web"), place])
    assert [(each.name, each.status, each.labels) for each in volumes.all()] == [
        ("labelled", NEW, {"a": "b"}),
        ("web", NEW, {}),
    ]
    with pytest.raises(NameInUse):
        state.add(other, [use(other, "more")])
    assert len(volumes.all()) == 2


def test_a_container_cannot_have_what_is_going(volumes: VolumeStore, state: StateFile) -> None:
    volumes.create("web", {})
    one = container("a", "one")
    with state.transaction() as cursor:
        rows.set_status(cursor, "web", REMOVING)
    with pytest.raises(Conflict, match="just being removed"):
        state.add(one, [use(one, "new", "/new"), use(one, "web")])
    assert (volumes.used(), volumes.all(), state.all()) == ({}, [], []), "all or nothing"


def test_rows_that_an_older_kernelbox_left(volumes: VolumeStore, state: StateFile) -> None:
    volumes.create("web", {})
    one = container("a", "one")
    state.add(one, [use(one, "web")])
    with state.transaction() as cursor:
        cursor.execute("DELETE FROM containers")
    assert volumes.used() == {}
    volumes.remove("web")


@pytest.mark.parametrize("how", ["used", "seen"])
@pytest.mark.parametrize("folder", ["", "volumes/web", "volumes/web/_data"])
def test_killed_while_it_was_made(
    volumes: VolumeStore, state: StateFile, paths: StorePaths, folder: str, how: str
) -> None:
    with state.transaction() as cursor:
        rows.insert(cursor, VolumeRecord("web", 1.0, {}, NEW))
    if folder:
        (paths.root / folder).mkdir(parents=True)
    if how == "used":
        volumes.make_folder("web")
    else:
        volumes.finish()
    assert volumes.get("web").status == READY
    assert volumes.data("web").is_dir()


@pytest.mark.parametrize("renamed", [False, True])
def test_killed_while_it_was_removed(
    volumes: VolumeStore, state: StateFile, paths: StorePaths, renamed: bool, swept: list[str]
) -> None:
    volumes.create("web", {})
    (volumes.data("web") / "old").touch()
    with state.transaction() as cursor:
        rows.set_status(cursor, "web", REMOVING)
    if renamed:
        volumes.folder("web").rename(paths.trash / "x")
    assert volumes.all() == []
    with pytest.raises(VolumeNotFound):
        volumes.get("web")
    volumes.create("web", {})
    assert os.listdir(volumes.data("web")) == [], "a new one"
    assert len(swept) == (0 if renamed else 1)


def test_a_folder_that_nobody_knows_of_is_kept(volumes: VolumeStore, paths: StorePaths) -> None:
    (paths.volumes / "web/_data").mkdir(parents=True)
    (paths.volumes / "web/_data/precious").touch()
    volumes.create("web", {})
    assert os.listdir(volumes.data("web")) == ["precious"]


def test_a_folder_that_has_gone_is_said(volumes: VolumeStore) -> None:
    volumes.create("web", {})
    volumes.data("web").rmdir()
    with pytest.raises(StoreError, match="has lost its folder"):
        volumes.make_folder("web")
    volumes.remove("web")


def test_a_link_in_the_place_of_the_folder(volumes: VolumeStore, paths: StorePaths, tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    paths.volumes.mkdir()
    (paths.volumes / "web").symlink_to(tmp_path / "victim")
    with pytest.raises(StoreError, match="could not make the folder"):
        volumes.create("web", {})
    assert os.listdir(tmp_path / "victim") == []


def test_who_holds_it_keeps_it(volumes: VolumeStore, paths: StorePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    with volumes.hold("web", {"a": "b"}) as held:
        assert volumes.get("web").labels == {"a": "b"}
        monkeypatch.setattr("kernelbox.store.volumes._PATIENCE_S", 0.01)
        with pytest.raises(Conflict, match="a container that is just starting"):
            volumes.remove("web")
        (paths.runs / "1").mkdir()
        (paths.runs / "1" / USED_VOLUMES).write_text("run-1\nother\nweb")
        with pytest.raises(Conflict, match="in use by the container run-1"):
            volumes.remove("web")
        with volumes.hold("web", {}):
            copy = os.dup(held.fileno())
    try:
        with pytest.raises(Conflict):
            volumes.remove("web")
    finally:
        os.close(copy)
    volumes.remove("web")


def test_one_makes_folders_at_a_time(volumes: VolumeStore, paths: StorePaths) -> None:
    volumes.create("web", {})
    other = os.open(paths.volumes, os.O_RDONLY)
    try:
        with volumes._locked(), pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(other)


def test_a_state_file_of_before_there_were_volumes(paths: StorePaths) -> None:
    connection = sqlite3.connect(paths.state)
    connection.executescript(_STEPS[0] + "PRAGMA user_version = 1;")
    connection.close()
    state = StateFile(paths.state)
    one = container("a", "one")
    state.add(one)
    VolumeStore(state, paths, lambda _: None).create("web", {})
    assert state.all() == [one]
    state.close()
    connection = sqlite3.connect(paths.state)
    assert connection.execute("PRAGMA user_version").fetchone()[0] == VERSION
    connection.close()


def test_events(volumes: VolumeStore, state: StateFile) -> None:
    volumes.create("web", {})
    volumes.remove("web")
    found = [(event.kind, event.action, event.id, event.attributes) for event in state.events()]
    assert found == [("volume", action, "web", {"driver": "local"}) for action in ("create", "destroy")]


def test_the_lock_is_free_when_it_is_deleted(state: StateFile, paths: StorePaths) -> None:
    """Who deletes may have to start a monitor first, which starts containers that have volumes."""
    seen: list[str] = []

    def sweep(name: str) -> None:
        folder = os.open(paths.volumes, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(folder)
        seen.append(name)

    volumes = VolumeStore(state, paths, sweep)
    volumes.create("web", {})
    volumes.remove("web")
    one = container("a", "one")
    state.add(one, [use(one, "1" * 64, anonymous=True)])
    volumes.make_folder("1" * 64)
    state.remove(one.id, volumes=True)
    volumes.finish()
    assert len(seen) == 2


def test_who_lets_go_in_a_moment_is_waited_for(volumes: VolumeStore) -> None:
    held = volumes.hold("web", {})
    thread = threading.Thread(target=volumes.remove, args=("web",))
    thread.start()
    held.close()
    thread.join()
    assert volumes.all() == []
