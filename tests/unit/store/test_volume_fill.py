"""What an image has at the place of a volume, copied once and whole: also after a kill -9 at each stage of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelbox.errors import StoreError
from kernelbox.linux.descriptor import Descriptor
from kernelbox.store.volume_fill import fill, resume

NAMES = ["deep", "file", "link"]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    """An image's root."""
    srv = tmp_path / "image/srv"
    (srv / "deep/er").mkdir(parents=True)
    (srv / "file").write_text("content")
    (srv / "link").symlink_to("/nonesuch")
    srv.chmod(0o1750)
    os.utime(srv, ns=(1, 5_000_000_007))
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim/secret").touch()
    (tmp_path / "image/outside").symlink_to(tmp_path / "victim")
    (tmp_path / "image/above").symlink_to("../victim")
    with Descriptor(os.open(tmp_path / "image", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as opened:
        yield opened.fileno()


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """The folder of an empty volume."""
    (tmp_path / "web/_data").mkdir(parents=True)
    return tmp_path / "web"


def is_whole(volume: Path) -> None:
    data = volume / "_data"
    assert sorted(os.listdir(data)) == NAMES
    assert (data / "file").read_text() == "content"
    assert os.readlink(data / "link") == "/nonesuch"
    assert os.listdir(data / "deep") == ["er"]
    status = data.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_mtime_ns) == (0o1750, 5_000_000_007)
    assert sorted(os.listdir(volume)) == ["_data", "lock"]


def test_copied_once(volume: Path, root: int) -> None:
    fill(volume, root, "/srv")
    is_whole(volume)
    (volume / "_data/file").unlink()
    fill(volume, root, "/srv")
    assert sorted(os.listdir(volume / "_data")) == ["deep", "link"], "it is not empty"


@pytest.mark.parametrize("target", ["/nonesuch", "/srv/file", "/srv/link", "/outside", "/above"])
def test_nothing_there(volume: Path, root: int, target: str) -> None:
    """Links of the image lead nowhere but to what is in it."""
    fill(volume, root, target)
    assert os.listdir(volume / "_data") == []
    assert sorted(os.listdir(volume)) == ["_data", "lock"]


def test_killed_before_all_of_it_was_there(volume: Path, root: int) -> None:
    (volume / "copy.new/half").mkdir(parents=True)
    fill(volume, root, "/srv")
    is_whole(volume)


@pytest.mark.parametrize("moved", [0, 1, 2, 3])
@pytest.mark.parametrize("copies", [True, False])
def test_killed_while_it_was_moved_in(volume: Path, root: int, moved: int, copies: bool) -> None:
    """Also where the next one has another image, or wants nothing copied by then."""
    fill(volume, root, "/srv")
    (volume / "_data").rename(volume / "copy")
    (volume / "_data").mkdir()
    for name in NAMES[:moved]:
        (volume / "copy" / name).rename(volume / "_data" / name)
    os.utime(volume / "copy", ns=(1, 5_000_000_007))
    if copies:
        fill(volume, root, "/nonesuch")
    else:
        resume(volume)
    is_whole(volume)


def test_what_a_container_has_made_meanwhile_is_kept(volume: Path, root: int) -> None:
    fill(volume, root, "/srv")
    (volume / "_data").rename(volume / "copy")
    (volume / "_data").mkdir()
    (volume / "_data/file").write_text("the container's")
    fill(volume, root, "/srv")
    assert sorted(os.listdir(volume / "_data")) == NAMES
    assert (volume / "_data/file").read_text() == "the container's"
    assert not (volume / "copy").exists()


def test_an_empty_folder_gives_its_mode(volume: Path, root: int, tmp_path: Path) -> None:
    (tmp_path / "image/empty").mkdir()
    (tmp_path / "image/empty").chmod(0o1777)
    fill(volume, root, "/empty")
    assert stat.S_IMODE((volume / "_data").stat().st_mode) == 0o1777


def test_what_cannot_be_copied_leaves_it_empty(volume: Path, root: int, tmp_path: Path) -> None:
    deep = tmp_path / "image/deep" / "/".join("x" * 300)
    deep.mkdir(parents=True)
    with pytest.raises(StoreError, match="what the image has at /deep could not be copied into the volume web"):
        fill(volume, root, "/deep")
    assert os.listdir(volume / "_data") == []
    assert sorted(os.listdir(volume)) == ["_data", "lock"]
    fill(volume, root, "/srv")
    is_whole(volume)
