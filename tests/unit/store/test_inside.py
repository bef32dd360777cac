"""Paths of a container: resolved beneath its root, whatever its links say."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelbox.errors import Conflict, InvalidOption, NotFound
from kernelbox.linux import mounts
from kernelbox.linux.descriptor import Descriptor
from kernelbox.store import inside


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The root of a container, beside a file of the machine that is not in it."""
    (tmp_path / "secret").write_text("of the machine")
    root = tmp_path / "root"
    (root / "etc/deep").mkdir(parents=True)
    (root / "etc/hosts").write_text("12345")
    return root


@pytest.fixture
def root(tree: Path) -> Iterator[int]:
    with Descriptor(os.open(tree, os.O_PATH | os.O_DIRECTORY)) as descriptor:
        yield descriptor.fileno()


@pytest.mark.parametrize(
    ("typed", "whole"),
    [
        ("/", "/"),
        ("//", "/"),
        ("//etc", "/etc"),
        ("etc", "/etc"),
        ("/etc/", "/etc/"),
        ("/etc/.", "/etc/."),
        ("/etc/./", "/etc/."),
        (".", "/."),
        ("/.", "/."),
        ("..", "/"),
        ("/a/../../etc", "/etc"),
        ("/etc/.hidden", "/etc/.hidden"),
    ],
)
def test_clean(typed: str, whole: str) -> None:
    assert inside.clean(typed) == whole


@pytest.mark.parametrize("typed", ["", "a\0b"])
def test_no_path(typed: str) -> None:
    with pytest.raises(InvalidOption):
        inside.clean(typed)


@pytest.mark.parametrize(
    ("mode", "bits"),
    [
        (stat.S_IFREG | 0o644, 0o644),
        (stat.S_IFDIR | 0o1777, 0x80000000 | 0x100000 | 0o777),
        (stat.S_IFLNK | 0o777, 0x8000000 | 0o777),
        (stat.S_IFREG | 0o6755, 0x800000 | 0x400000 | 0o755),
        (stat.S_IFCHR | 0o666, 0x4000000 | 0x200000 | 0o666),
        (stat.S_IFBLK | 0o660, 0x4000000 | 0o660),
        (stat.S_IFIFO | 0o600, 0x2000000 | 0o600),
        (stat.S_IFSOCK | 0o600, 0x1000000 | 0o600),
    ],
)
def test_modes_as_go_has_them(mode: int, bits: int) -> None:
    assert inside.go_file_mode(mode) == bits


def test_stat_of_a_file_and_a_folder(tree: Path, root: int) -> None:
    os.utime(tree / "etc/hosts", ns=(1, 1_700_000_000_123_456_789))
    found = inside.stat_path(root, "etc/hosts")
    assert found == inside.PathStat(
        "hosts", 5, (tree / "etc/hosts").stat().st_mode & 0o777, 1_700_000_000_123_456_789, ""
    )
    assert inside.stat_path(root, "/etc/").name == "etc"
    assert inside.stat_path(root, "/etc/.").name == "."
    assert inside.stat_path(root, "/").name == "/"
    assert inside.stat_path(root, "/etc/").mode & 0x80000000


@pytest.mark.parametrize(
    ("target", "end"),
    [
        ("hosts", "/etc/hosts"),
        ("/etc/hosts", "/etc/hosts"),
        ("../../../../etc/./hosts", "/etc/hosts"),
        ("second", "/etc/deep/missing/x"),
        ("/proc/self/root/etc/passwd", "/proc/self/root/etc/passwd"),
        ("../..", "/"),
    ],
)
def test_stat_of_a_link_says_where_it_ends_inside(tree: Path, root: int, target: str, end: str) -> None:
    (tree / "etc/link").symlink_to(target)
    (tree / "etc/second").symlink_to("deep/missing/x")
    found = inside.stat_path(root, "/etc/link")
    assert found.mode & 0x8000000
    assert (found.name, found.link_target) == ("link", end)


def test_links_in_a_circle(tree: Path, root: int) -> None:
    (tree / "a").symlink_to("b")
    (tree / "b").symlink_to("a")
    with pytest.raises(InvalidOption, match="too many links"):
        inside.stat_path(root, "/a")
    with pytest.raises(InvalidOption, match="too many links"):
        inside.stat_path(root, "/a/")


@pytest.mark.parametrize("path", ["/missing", "/etc/missing/x", "/out/secret", "/absolute/secret"])
def test_what_is_not_inside_is_not_found(tree: Path, root: int, path: str) -> None:
    (tree / "out").symlink_to("..")
    (tree / "absolute").symlink_to(tree.parent)
    with pytest.raises(NotFound, match=path):
        inside.stat_path(root, path)


def test_what_is_no_folder_and_what_is_too_long(root: int) -> None:
    with pytest.raises(InvalidOption, match="not a directory: /etc/hosts/"):
        inside.stat_path(root, "/etc/hosts/")
    with pytest.raises(InvalidOption, match="too long"):
        inside.stat_path(root, "/etc/" + "x" * 256)
    with pytest.raises(InvalidOption, match="too long"):
        inside.stat_path(root, "/x" * 3000)


@pytest.mark.parametrize("link", ["/proc/self/root", "/proc/self/cwd"])
def test_magic_links_are_not_followed(link: str) -> None:
    """As a container's /proc has them: they lead wherever the process has something open."""
    with (
        Descriptor(os.open("/", os.O_PATH | os.O_DIRECTORY)) as machine,
        pytest.raises(InvalidOption, match="may not be followed"),
    ):
        inside.open_inside(machine.fileno(), f"{link}/", os.O_PATH)


def test_remove_follows_no_link_and_opens_nothing(tree: Path, root: int) -> None:
    for name, target in (("file", "../secret"), ("folder", ".."), ("absolute", str(tree.parent))):
        (tree / "etc/deep" / name).symlink_to(target)
    os.mkfifo(tree / "etc/deep/fifo")
    (tree / "etc/deep/more/and/more").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as one:
        with Descriptor(os.open(tree / "etc/deep", os.O_PATH)) as deep:
            one.bind(f"/proc/self/fd/{deep.fileno()}/socket")
        inside.remove(root, "etc")
    assert os.listdir(tree) == []
    assert (tree.parent / "secret").read_text() == "of the machine"
    inside.remove(root, "etc")


def test_remove_of_a_tree_that_is_too_deep(tree: Path, root: int) -> None:
    tree.joinpath("top", *["d"] * 300).mkdir(parents=True)
    with pytest.raises(InvalidOption, match="deeper than 256 levels"):
        inside.remove(root, "top")


@pytest.mark.root
@pytest.mark.kernel
def test_remove_leaves_what_is_mounted(tree: Path, root: int) -> None:
    with mounts.detached("tmpfs") as mount:
        os.mkdir("kept", dir_fd=mount.fileno())
        mount.move(tree / "etc/deep")
        with pytest.raises(Conflict, match="something is mounted on deep"):
            inside.remove(root, "etc")
        assert os.listdir(tree / "etc/deep") == ["kept"]
