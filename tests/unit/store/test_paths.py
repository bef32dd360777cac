"""Where a store is, and whose its folders have to be."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from kernelbox.errors import StoreError
from kernelbox.store.paths import StorePaths


@pytest.fixture
def paths(tmp_path: Path) -> StorePaths:
    """A store that has been used; its sockets lie in a folder of this test."""
    made = StorePaths(tmp_path / "store", tmp_path / "run/name", "name")
    made.prepare()
    return made


def test_every_spelling_of_a_folder_is_the_same_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to("store")
    store = StorePaths.of(tmp_path / "store")
    monkeypatch.chdir(tmp_path)
    for spelling in ("store", "link", "./other/../store", "link/../store"):
        assert StorePaths.of(spelling) == store
    assert StorePaths.of("other").socket != store.socket


def test_prepare_closes_what_it_makes_and_may_be_repeated(paths: StorePaths) -> None:
    paths.prepare()
    for folder in (paths.root, paths.containers, paths.trash, paths.runtime.parent):
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not paths.runtime.exists()


def test_a_folder_that_others_may_only_read(paths: StorePaths) -> None:
    paths.root.chmod(0o755)
    paths.prepare()


def test_an_empty_folder_is_closed_to_others(tmp_path: Path) -> None:
    """As that of a new file system is, on which the store is to lie."""
    (tmp_path / "store").mkdir()
    (tmp_path / "store").chmod(0o1777)
    paths = StorePaths(tmp_path / "store", tmp_path / "run/name", "name")
    paths.prepare()
    assert paths.root.stat().st_mode & 0o777 == 0o755


def test_a_folder_with_something_in_it_is_left_as_it_is(tmp_path: Path) -> None:
    """It may be somebody's shared folder, and somebody may have put things there."""
    (tmp_path / "store").mkdir()
    (tmp_path / "store/file").touch()
    (tmp_path / "store").chmod(0o1777)
    with pytest.raises(StoreError, match="other users may write"):
        StorePaths(tmp_path / "store", tmp_path / "run/name", "name").prepare()
    assert (tmp_path / "store").stat().st_mode & 0o7777 == 0o1777


FOLDERS: dict[str, Callable[[StorePaths], Path]] = {
    "root": lambda paths: paths.root,
    "containers": lambda paths: paths.containers,
    "runs": lambda paths: paths.runs,
    "trash": lambda paths: paths.trash,
    "runtime": lambda paths: paths.runtime.parent,
}


@pytest.mark.parametrize("which", FOLDERS)
@pytest.mark.parametrize("mode", [0o720, 0o702, 0o1777])
def test_a_folder_that_others_may_write(paths: StorePaths, which: str, mode: int) -> None:
    folder = FOLDERS[which](paths)
    folder.chmod(mode)
    words = re.escape(f"other users may write to {folder} (hint: chmod go-w {folder})")
    with pytest.raises(StoreError, match=words):
        paths.prepare()


@pytest.mark.parametrize("which", ["containers", "runs", "trash", "runtime"])
def test_a_link_in_the_place_of_a_folder(paths: StorePaths, which: str, tmp_path: Path) -> None:
    folder = FOLDERS[which](paths)
    folder.rmdir()
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match=re.escape(f"{folder} is a link, not a folder")):
        paths.prepare()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give folders away")
@pytest.mark.parametrize("which", FOLDERS)
def test_a_folder_of_somebody_else(paths: StorePaths, which: str) -> None:
    folder = FOLDERS[which](paths)
    os.chown(folder, 12345, 12345)
    with pytest.raises(StoreError, match=re.escape(f"{folder} belongs to somebody else (user id 12345)")):
        paths.prepare()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give folders away")
def test_nothing_is_made_in_a_folder_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    os.chown(tmp_path / "store", 12345, 12345)
    with pytest.raises(StoreError):
        StorePaths.of(tmp_path / "store").prepare()
    assert not list((tmp_path / "store").iterdir())


def test_a_runtime_folder_that_cannot_be_made_is_not_blamed_on_the_store(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    paths = StorePaths(tmp_path / "store", tmp_path / "file/run/name", "name")
    with pytest.raises(StoreError, match=r"could not make .*/file/run for the monitor's socket: not a directory") as no:
        paths.prepare()
    assert "KERNELBOX_ROOT" not in str(no.value)
