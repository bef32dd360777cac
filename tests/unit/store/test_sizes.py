"""How much is in a folder."""

from __future__ import annotations

import os
from pathlib import Path

from kernelbox.store.sizes import folder_size


def test_files_count_once_links_and_folders_not(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(1000))
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / "deep/er/b").write_bytes(bytes(20))
    os.link(tmp_path / "a", tmp_path / "deep/same")
    assert folder_size(tmp_path) == 1020
    os.symlink("/usr", tmp_path / "link")
    assert folder_size(tmp_path) == 1020 + len("/usr")


def test_what_is_not_there_has_no_size(tmp_path: Path) -> None:
    assert folder_size(tmp_path / "nothing") == 0
    (tmp_path / "file").write_bytes(b"1")
    assert folder_size(tmp_path / "file") == 0


def test_a_tree_that_is_deep_on_purpose_is_left(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    for _ in range(400):
        os.mkdir("d", dir_fd=folder)
        below = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
    os.close(folder)
    (tmp_path / "top").write_bytes(bytes(5))
    assert folder_size(tmp_path) == 5
