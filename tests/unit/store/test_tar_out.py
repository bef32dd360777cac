"""`docker cp` out of a container and `docker export`: what is in the stream, read with the standard library and GNU
tar."""

from __future__ import annotations

import io
import os
import socket
import stat
import struct
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelbox.errors import InvalidOption, NotFound
from kernelbox.linux import mounts
from kernelbox.linux.descriptor import Descriptor
from kernelbox.store.ownership import IdShift
from kernelbox.store.tar_out import pack

CAPABILITY = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "etc/deep").mkdir(parents=True)
    (root / "etc/hosts").write_text("12345")
    (root / "etc/deep/file").write_bytes(os.urandom(700_000))
    (root / "etc/link").symlink_to("/etc/deep")
    (tmp_path / "secret").write_text("of the machine")
    return root


@pytest.fixture
def root(tree: Path) -> Iterator[int]:
    with Descriptor(os.open(tree, os.O_PATH | os.O_DIRECTORY)) as descriptor:
        yield descriptor.fileno()


def archive(
    root: int, path: str, *, ids: IdShift | None = None, one_file_system: bool = False, leading_slash: bool = False
) -> tarfile.TarFile:
    pieces = pack(root, path, ids=ids, one_file_system=one_file_system, leading_slash=leading_slash)
    return tarfile.open(fileobj=io.BytesIO(b"".join(pieces)), encoding="utf-8", errors="surrogateescape")


def names(root: int, path: str, *, leading_slash: bool = False) -> list[str]:
    return archive(root, path, leading_slash=leading_slash).getnames()


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/etc", ["etc", "etc/deep", "etc/deep/file", "etc/hosts", "etc/link"]),
        ("etc/", ["etc", "etc/deep", "etc/deep/file", "etc/hosts", "etc/link"]),
        ("/etc/deep/.", [".", "./file"]),
        ("/etc/hosts", ["hosts"]),
        ("/etc/link", ["link"]),
        ("/etc/link/", ["link", "link/file"]),
        ("/etc/link/.", [".", "./file"]),
        ("/etc/link/file", ["file"]),
        ("/", ["etc", "etc/deep", "etc/deep/file", "etc/hosts", "etc/link"]),
    ],
)
def test_names(root: int, path: str, found: list[str]) -> None:
    assert names(root, path) == found


def test_names_of_everything_as_docker_cp_expects_them(tree: Path, root: int) -> None:
    for folder in (tree, tree / "etc", tree / "etc/deep"):
        os.utime(folder, (1, 1))  # a whole second needs no extended header
    pieces = b"".join(pack(root, "/", leading_slash=True))
    raw = [pieces[at : at + 100].rstrip(b"\0") for at in (0, 512, 1024)]
    assert raw == [b"/", b"/etc/", b"/etc/deep/"]


def test_content_mode_and_time(tree: Path, root: int) -> None:
    (tree / "etc/hosts").chmod(0o6741)
    os.utime(tree / "etc/hosts", ns=(1, 1_700_000_000_123_456_789))
    os.utime(tree / "etc/deep", ns=(1, -1_500_000_000))
    found = archive(root, "/etc")
    hosts = found.getmember("etc/hosts")
    assert hosts.mode == 0o6741
    assert hosts.pax_headers["mtime"] == "1700000000.123456789"
    assert found.getmember("etc/deep").pax_headers["mtime"] == "-1.500000000"
    file = found.extractfile("etc/deep/file")
    assert file
    assert file.read() == (tree / "etc/deep/file").read_bytes()
    link = found.getmember("etc/link")
    assert (link.issym(), link.linkname) == (True, "/etc/deep")


def test_errors_are_said_before_the_first_piece(tree: Path, root: int) -> None:
    for path, error in (("/missing", NotFound), ("/etc/hosts/", InvalidOption), ("", InvalidOption)):
        with pytest.raises(error):
            pack(root, path)


def test_a_stream_that_is_not_read_to_its_end_leaves_nothing_open(root: int) -> None:
    before = len(os.listdir("/proc/self/fd"))
    pieces = pack(root, "/")
    next(pieces)
    assert len(os.listdir("/proc/self/fd")) > before
    del pieces
    assert len(os.listdir("/proc/self/fd")) == before
    pack(root, "/")
    assert len(os.listdir("/proc/self/fd")) == before


def test_hard_links_stay_hard_links(tree: Path, root: int) -> None:
    os.link(tree / "etc/hosts", tree / "etc/deep/again")
    os.link(tree / "etc/link", tree / "etc/second-link", follow_symlinks=False)
    os.link(tree / "etc/deep/file", tree.parent / "outside")
    found = archive(root, "/etc")
    hosts = found.getmember("etc/hosts")
    assert (hosts.islnk(), hosts.linkname, hosts.size) == (True, "etc/deep/again", 0)
    assert found.getmember("etc/second-link").linkname == "etc/link"
    assert found.getmember("etc/deep/file").isreg()


def test_fifos_are_entries_and_sockets_are_left_out(tree: Path, root: int) -> None:
    os.mkfifo(tree / "etc/deep/fifo", 0o640)
    with socket.socket(socket.AF_UNIX) as one, Descriptor(os.open(tree / "etc/deep", os.O_PATH)) as deep:
        one.bind(f"/proc/self/fd/{deep.fileno()}/socket")
    found = archive(root, "/etc/deep")
    assert found.getnames() == ["deep", "deep/fifo", "deep/file"]
    assert found.getmember("deep/fifo").isfifo()
    assert archive(root, "/etc/deep/fifo").getmember("fifo").isfifo()
    assert archive(root, "/etc/deep/socket").getnames() == []


def test_long_and_strange_names(tree: Path, root: int) -> None:
    strange = [os.fsdecode(b"\xff\xfe\n="), "ü" * 100, "x" * 255, " ", "\\"]
    for name in strange:
        (tree / "etc/deep" / name).write_text(name, errors="surrogateescape")
    (tree / "etc/deep/long").symlink_to("y" * 3000)
    found = archive(root, "/etc/deep")
    assert {f"deep/{name}" for name in strange} < set(found.getnames())
    assert found.getmember("deep/long").linkname == "y" * 3000


def test_a_tree_that_is_too_deep(tree: Path, root: int) -> None:
    deep = tree.joinpath("top", *["d"] * 255)
    deep.mkdir(parents=True)
    assert len(names(root, "/top")) == 256
    (deep / "d").mkdir()
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(InvalidOption, match="deeper than 256 levels"):
        names(root, "/top")
    assert len(os.listdir("/proc/self/fd")) == before


def test_attributes_that_are_kept(tree: Path, root: int) -> None:
    value = bytes(range(256))
    try:
        os.setxattr(tree / "etc/hosts", "user.name", value)
        os.setxattr(tree / "etc/deep", "user.empty", b"")
        os.setxattr(tree / "etc/hosts", "user.overlay.opaque", b"y")
    except OSError as error:
        pytest.skip(f"no extended attributes here: {error.strerror}")
    found = archive(root, "/etc")
    headers = found.getmember("etc/hosts").pax_headers
    kept = {key: text for key, text in headers.items() if key.startswith("SCHILY")}
    assert kept == {"SCHILY.xattr.user.name": value.decode("utf-8", "surrogateescape")}
    assert found.getmember("etc/deep").pax_headers["SCHILY.xattr.user.empty"] == ""


@pytest.mark.root
def test_owners_and_capabilities_as_the_container_has_them(tree: Path, root: int) -> None:
    os.chown(tree / "etc/hosts", 600_000, 601_000)
    os.chown(tree / "etc/deep", 599_999, 665_536)
    own = struct.pack("<6I", 0x03000001, 1 << 13, 0, 0, 0, 600_000)
    os.setxattr(tree / "etc/hosts", "security.capability", own)
    found = archive(root, "/etc", ids=IdShift(600_000, 65_536))
    hosts, deep = found.getmember("etc/hosts"), found.getmember("etc/deep")
    assert (hosts.uid, hosts.gid, deep.uid, deep.gid) == (0, 1_000, 65_534, 65_534)
    assert hosts.pax_headers["SCHILY.xattr.security.capability"].encode("utf-8", "surrogateescape") == CAPABILITY
    assert not hosts.uname


def test_groups_that_start_elsewhere() -> None:
    ids = IdShift(1000, 1, group_start=100)
    assert ids.inside(1000, 100) == (0, 0)
    assert ids.inside(100, 1000) == (65_534, 65_534)
    assert ids.outside(0, 0) == (1000, 100)
    with pytest.raises(InvalidOption, match="has no id 1"):
        ids.outside(0, 1)


@pytest.mark.root
def test_devices(tree: Path, root: int) -> None:
    os.mknod(tree / "etc/deep/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(tree / "etc/deep/disk", stat.S_IFBLK | 0o660, os.makedev(259, 70_000))
    found = archive(root, "/etc/deep")
    null, disk = found.getmember("deep/null"), found.getmember("deep/disk")
    assert (null.ischr(), null.devmajor, null.devminor) == (True, 1, 3)
    assert (disk.isblk(), disk.devmajor, disk.devminor) == (True, 259, 70_000)


@pytest.mark.root
@pytest.mark.kernel
def test_what_is_mounted_is_left_out_of_an_export(tree: Path, root: int) -> None:
    (tree / "run").mkdir()
    with mounts.detached("tmpfs") as mount, mounts.bind(tree.parent / "secret", tree / "etc/hosts"):
        os.mkdir("volatile", dir_fd=mount.fileno())
        mount.move(tree / "run")
        assert "run/volatile" in names(root, "/")
        found = archive(root, "/", one_file_system=True)
        assert "run/volatile" not in found.getnames()
        assert found.getmember("run").isdir()
        assert found.getmember("etc/hosts").size == 0
        assert found.getmember("etc/deep/file").size == 700_000
        assert found.getmember("run").mtime == pytest.approx(tree.stat().st_mtime, abs=1e-6)
        before = b"".join(pack(root, "/", one_file_system=True))
        for mounted in (tree / "run", tree / "etc/hosts"):  # as the kernel does to sysfs, and the machine to its files
            os.utime(mounted, (1, 1))
            os.setxattr(mounted, "user.of", b"the mount")
        assert b"".join(pack(root, "/", one_file_system=True)) == before


def test_a_file_that_shrinks_is_filled_up(tree: Path, root: int) -> None:
    big = tree / "etc/deep/file"
    big.write_bytes(b"x" * 3_000_000)
    pieces = pack(root, "/etc/deep/file")
    first = next(pieces)
    os.truncate(big, 1_000_000)
    with tarfile.open(fileobj=io.BytesIO(first + b"".join(pieces))) as found:
        file = found.extractfile("file")
        assert file
        content = file.read()
    assert len(content) == 3_000_000
    assert content.rstrip(b"\0") == b"x" * 1_000_000
