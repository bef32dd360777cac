"""`docker cp` into a container: what an archive becomes."""

from __future__ import annotations

import io
import os
import stat
import struct
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelbox.errors import Conflict, InvalidOption, KernelBoxError, KernelError, NotFound
from kernelbox.linux import mounts
from kernelbox.linux.descriptor import Descriptor
from kernelbox.store.ownership import IdShift
from kernelbox.store.tar_in import Unpacked, unpack

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs to be root")


def entry(name: str, content: bytes = b"", **fields: object) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape") + content + bytes(-len(content) % 512)


def folder(name: str, mode: int = 0o755, **fields: object) -> bytes:
    return entry(name, b"", type=tarfile.DIRTYPE, mode=mode, **fields)


def link(name: str, target: str) -> bytes:
    return entry(name, type=tarfile.SYMTYPE, linkname=target)


def hard_link(name: str, target: str) -> bytes:
    return entry(name, type=tarfile.LNKTYPE, linkname=target)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The root of a container, beside files of the machine that are not in it."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("of the machine")
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/hosts").write_text("as it was")
    (root / "data").mkdir()
    return root


@pytest.fixture
def root(tree: Path) -> Iterator[int]:
    """With proof that nothing outside was touched."""
    outside = tree.parent / "outside"
    before = [(path, path.lstat()[:9], path.lstat().st_ctime_ns) for path in (outside, outside / "secret")]
    with Descriptor(os.open(tree, os.O_PATH | os.O_DIRECTORY)) as descriptor:
        yield descriptor.fileno()
    assert before == [(path, path.lstat()[:9], path.lstat().st_ctime_ns) for path in (outside, outside / "secret")]
    assert os.listdir(outside) == ["secret"]
    assert not list(tree.rglob(".kernelbox-*"))


def put(root: int, path: str, *pieces: bytes, ids: IdShift | None = None, **how: bool) -> Unpacked:
    return unpack(root, path, io.BytesIO(b"".join(pieces)), ids=ids, **how)


def refused(root: int, *pieces: bytes, path: str = "/data", **how: bool) -> str:
    with pytest.raises(KernelBoxError) as refusal:
        put(root, path, *pieces, ids=None, **how)
    assert not isinstance(refusal.value, KernelError), refusal.value
    return str(refusal.value)


def test_all_kinds(tree: Path, root: int) -> None:
    done = put(
        root,
        "/data",
        folder("sub", 0o2750, pax_headers={"mtime": "1700000000.5"}),
        entry("sub/file", b"x" * 600_000, mode=0o4711, pax_headers={"mtime": "1700000000.123456789"}),
        link("sub/link", "/nowhere"),
        hard_link("sub/again", "sub/file"),
        hard_link("sub/link-again", "sub/link"),
        entry("sub/fifo", type=tarfile.FIFOTYPE, mode=0o620),
    )
    sub = tree / "data/sub"
    assert done == Unpacked(6, 600_000, 0)
    assert (sub / "file").read_bytes() == b"x" * 600_000
    assert [stat.filemode((sub / name).lstat().st_mode) for name in ("", "file", "fifo")] == [
        "drwxr-s---",
        "-rws--x--x",
        "prw--w----",
    ]
    assert (sub / "file").stat().st_mtime_ns == 1_700_000_000_123_456_789
    assert sub.stat().st_mtime_ns == 1_700_000_000_500_000_000
    assert (os.readlink(sub / "link"), (sub / "link").lstat().st_mtime) == ("/nowhere", 0)
    assert (sub / "file").samefile(sub / "again")
    assert (sub / "link").lstat().st_ino == (sub / "link-again").lstat().st_ino


def test_folders_that_are_missing_are_made(tree: Path, root: int) -> None:
    put(root, "/data", entry("a/b/c/file", b"1"), entry("a/b/d/file", b"2"))
    assert (tree / "data/a/b/d/file").read_text() == "2"
    assert stat.S_IMODE((tree / "data/a/b").stat().st_mode) == 0o755


def test_folders_are_merged_and_the_rest_replaced(tree: Path, root: int) -> None:
    os.link(tree / "etc/hosts", tree / "etc/other-name")
    (tree / "etc/folder/deep").mkdir(parents=True)
    (tree / "etc/link").symlink_to("../data")
    put(
        root,
        "/",
        folder("etc", 0o700),
        entry("etc/hosts", b"new"),
        entry("etc/folder", b"a file now"),
        folder("etc/link"),
        entry("etc/link/file", b"in a folder"),
    )
    assert sorted(os.listdir(tree / "etc")) == ["folder", "hosts", "link", "other-name"]
    assert (tree / "etc/hosts").read_text() == "new"
    assert (tree / "etc/other-name").read_text() == "as it was"
    assert (tree / "etc/folder").read_text() == "a file now"
    assert (tree / "etc/link/file").read_text() == "in a folder"
    assert os.listdir(tree / "data") == []
    assert stat.S_IMODE((tree / "etc").stat().st_mode) == 0o700


def test_a_folder_and_something_else_do_not_replace_each_other_where_that_is_refused(tree: Path, root: int) -> None:
    how = {"no_overwrite_dir_non_dir": True}
    assert "cannot overwrite directory etc with non-directory" in refused(root, entry("etc"), path="/", **how)
    assert "cannot overwrite non-directory etc/hosts with directory" in refused(
        root, folder("etc/hosts"), path="/", **how
    )
    assert (tree / "etc/hosts").read_text() == "as it was"
    put(root, "/", folder("etc"), entry("etc/hosts", b"new"), no_overwrite_dir_non_dir=True)


def test_folders_that_take_no_files_are_closed_at_the_end(tree: Path, root: int) -> None:
    put(
        root, "/data", folder("a", 0o555), folder("a/b", 0), entry("a/b/file", b"1"), entry("a/file", b"2"), folder("c")
    )
    assert stat.S_IMODE((tree / "data/a").stat().st_mode) == 0o555
    assert stat.S_IMODE((tree / "data/a/b").stat().st_mode) == 0
    assert (tree / "data/a").stat().st_mtime == 0
    assert sorted(os.listdir(tree / "data")) == ["a", "c"]
    (tree / "data/a").chmod(0o755)
    (tree / "data/a/b").chmod(0o755)


def test_the_folder_itself_stays_as_it_is(tree: Path, root: int) -> None:
    before = (tree / "data").stat().st_mode
    put(root, "/data", folder("./", 0o700), folder(".", 0o700), entry("./file", b"1"))
    assert (tree / "data").stat().st_mode == before
    assert "puts a file in the place of the folder" in refused(root, entry("x/.."))


def test_where_to(tree: Path, root: int) -> None:
    (tree / "to-data").symlink_to("/data")
    put(root, "to-data", entry("one"))
    put(root, "/etc/../data/.", entry("/two"))
    assert sorted(os.listdir(tree / "data")) == ["one", "two"]
    with pytest.raises(NotFound, match="no such file or directory in the container: /missing"):
        put(root, "/missing")
    with pytest.raises(InvalidOption, match="not a directory: /etc/hosts"):
        put(root, "/etc/hosts")


def test_links_of_the_container_lead_where_they_do_inside(tree: Path, root: int) -> None:
    (tree / "etc/absolute").symlink_to("/data")
    (tree / "etc/up").symlink_to("../data")
    (tree / "etc/far-up").symlink_to("../../../../data")
    (tree / "etc/beside").symlink_to("sub")
    (tree / "etc/sub").mkdir()
    for name in ("absolute", "up", "far-up", "beside"):
        put(root, "/etc", entry(f"{name}/from-{name}"))
    assert sorted(os.listdir(tree / "data")) == ["from-absolute", "from-far-up", "from-up"]
    assert os.listdir(tree / "etc/sub") == ["from-beside"]


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/../x", "a/b/../../../../outside/secret"])
def test_names_that_lead_out(root: int, name: str) -> None:
    assert "leads out of the folder" in refused(root, entry(name, b"bad"))
    assert "leads out of the folder" in refused(root, entry("file"), hard_link("x", name))


def test_links_of_the_archive_lead_nowhere_else(tree: Path, root: int) -> None:
    """Written through, they end within the container, or at nothing."""
    out = str(tree.parent / "outside")
    refused(root, link("a", out), entry("a/x", b"bad"))
    refused(root, link("b", "../../outside"), entry("b/x", b"bad"))
    refused(root, link("c", "/proc/self/cwd"), entry("c/x", b"bad"))
    put(root, "/data", link("d", f"{out}/secret"), entry("d", b"mine"))
    put(root, "/data", link("e", "../../outside/secret"), entry("e", b"mine"))
    assert (tree / "data/d").read_text() == (tree / "data/e").read_text() == "mine"
    assert not (tree / "data/d").is_symlink()


def test_hard_links_lead_nowhere_else(tree: Path, root: int) -> None:
    out = str(tree.parent / "outside/secret")
    for target in (out, "missing", "missing/x"):
        assert "hard link to what is not there" in refused(root, hard_link("x", target))
    refused(root, link("a", ".."), hard_link("x", "a/../outside/secret"))
    refused(root, link("b", str(tree.parent / "outside")), hard_link("x", "b/secret"))
    refused(root, hard_link("x", "."))
    put(root, "/data", link("c", out), hard_link("d", "c"), entry("d", b"mine"))
    assert (tree / "data/d").read_text() == "mine"


def test_a_hard_link_to_itself(tree: Path, root: int) -> None:
    put(root, "/data", entry("a", b"1"), hard_link("a", "a"), hard_link("b", "a"), hard_link("b", "a"))
    assert (tree / "data/a").samefile(tree / "data/b")


def test_names_that_are_too_long_or_too_deep(root: int) -> None:
    assert "more than 4096 bytes" in refused(root, entry("x/" * 2100))
    assert "too long" in refused(root, entry("x" * 256))
    assert "too long" in refused(root, entry("y" * 256 + "/x"))
    assert "deeper than 256 levels" in refused(root, entry("x/" * 300 + "x"))


def test_a_damaged_archive_leaves_whole_files(tree: Path, root: int) -> None:
    whole, half = entry("first", b"1" * 1000), entry("etc/second", b"2" * 1_000_000)
    words = refused(root, folder("sub", 0o700), whole, half[:-300_000])
    assert "it ends in the middle of a file" in words
    assert sorted(str(path.relative_to(tree / "data")) for path in (tree / "data").rglob("*")) == [
        "etc",
        "first",
        "sub",
    ]
    assert (tree / "data/first").read_bytes() == b"1" * 1000
    assert (tree / "data/sub").stat().st_mtime == 0
    refused(root, entry("etc/hosts", b"2" * 1_000_000)[:-300_000], path="/")
    assert (tree / "etc/hosts").read_text() == "as it was"
    assert "damaged" in refused(root, whole, b"no header" * 100)


class Failing(io.RawIOBase):
    """A stream that breaks off."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def read(self, size: int = -1) -> bytes:
        if not (piece := self._content.read(size)):
            raise ConnectionResetError(104, "Connection reset by peer")
        return piece


def test_a_stream_that_breaks_off(tree: Path, root: int) -> None:
    stream = Failing(entry("etc/hosts", b"2" * 1_000_000)[:-300_000])
    with pytest.raises(KernelError, match="could not unpack etc/hosts: connection reset by peer"):
        unpack(root, "/", stream)
    assert (tree / "etc/hosts").read_text() == "as it was"


@as_root
def test_owners(tree: Path, root: int) -> None:
    pieces = (folder("sub", uid=7, gid=8), entry("sub/file", uid=5, gid=6), link("sub/link", "x"), entry("made/x"))
    ids = IdShift(600_000, 65_536)

    def owners() -> list[tuple[int, int]]:
        names = ("sub", "sub/file", "sub/link", "made")
        return [(each.st_uid, each.st_gid) for each in ((tree / "data" / name).lstat() for name in names)]

    put(root, "/data", *pieces, ids=ids)
    assert owners() == [(600_000, 600_000)] * 4
    put(root, "/data", *pieces, ids=ids, copy_owner=True)
    assert owners() == [(600_007, 600_008), (600_005, 600_006), (600_000, 600_000), (600_000, 600_000)]
    put(root, "/data", *pieces)
    assert owners() == [(0, 0), (0, 0), (0, 0), (600_000, 600_000)]
    put(root, "/data", *pieces, copy_owner=True)
    assert owners()[:2] == [(7, 8), (5, 6)]
    with pytest.raises(InvalidOption, match="the container has no id 65536, only 0 to 65535"):
        put(root, "/data", entry("sub/file", uid=65_536), ids=ids, copy_owner=True)


@as_root
def test_setuid_survives_a_change_of_owner(tree: Path, root: int) -> None:
    put(root, "/data", entry("program", mode=0o6755, uid=5), ids=IdShift(600_000, 65_536), copy_owner=True)
    assert stat.S_IMODE((tree / "data/program").stat().st_mode) == 0o6755


def test_attributes(tree: Path, root: int) -> None:
    value = bytes(range(256))
    headers = {
        "SCHILY.xattr.user.name": value.decode("utf-8", "surrogateescape"),
        "SCHILY.xattr.user.overlay.opaque": "y",
        "SCHILY.xattr.trusted.overlay.opaque": "y",
        "SCHILY.xattr.security.selinux": "x",
    }
    done = put(root, "/data", entry("file", mode=0o400, pax_headers=headers), folder("sub", pax_headers=headers))
    if done.attributes_left_out:
        pytest.skip("no extended attributes here")
    for name in ("file", "sub"):
        assert os.listxattr(tree / "data" / name) == ["user.name"]
        assert os.getxattr(tree / "data" / name, "user.name") == value


@as_root
def test_capabilities_hold_in_the_container_only(tree: Path, root: int) -> None:
    plain = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)
    text = plain.decode("utf-8", "surrogateescape")
    headers = {"SCHILY.xattr.security.capability": text}
    put(root, "/data", entry("ping", b"x", pax_headers=headers), ids=IdShift(600_000, 65_536))
    found = os.getxattr(tree / "data/ping", "security.capability")
    assert found == struct.pack("<6I", 0x03000001, 1 << 13, 0, 0, 0, 600_000)
    put(root, "/data", entry("ping", b"x", pax_headers=headers))
    assert os.getxattr(tree / "data/ping", "security.capability") == plain


def test_devices_that_are_not_wanted(tree: Path, root: int) -> None:
    null = entry("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3)
    words = refused(root, entry("before"), null, devices=False)
    assert "the archive has the character device null (1:3), and devices are not taken" in words
    assert os.listdir(tree / "data") == ["before"]


@as_root
def test_devices(tree: Path, root: int) -> None:
    put(root, "/data", entry("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o640))
    found = (tree / "data/null").stat()
    assert (found.st_mode, found.st_rdev) == (stat.S_IFCHR | 0o640, os.makedev(1, 3))


@as_root
@pytest.mark.kernel
def test_what_is_mounted_is_not_removed(tree: Path, root: int) -> None:
    with mounts.detached("tmpfs") as mount:
        os.mkdir("kept", dir_fd=mount.fileno())
        (tree / "data/run").mkdir()
        mount.move(tree / "data/run")
        with pytest.raises(Conflict, match="something is mounted on run"):
            put(root, "/", entry("data"))
        put(root, "/data", entry("run/file", b"on the mount"))
        assert sorted(os.listdir(tree / "data/run")) == ["file", "kept"]
