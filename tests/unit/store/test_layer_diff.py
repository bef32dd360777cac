"""An upper folder as the archive of a layer: the same tree, the same bytes, and others find in it what is there."""

from __future__ import annotations

import io
import os
import signal
import socket
import tarfile
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layer_archives import BLOCK, Archive
from layer_folders import FOLDER, archive_of, diff_bytes, listing, unpack_bytes
from waiting import wait_until

from kernelbox.errors import InvalidContent, KernelError, NotSupported, StoreError
from kernelbox.linux.descriptor import Descriptor
from kernelbox.linux.idmap import IdRange
from kernelbox.native import lib
from kernelbox.store.layer_tree import Owners, diff
from kernelbox.store.layer_work import FAULTS

root_only = pytest.mark.root
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")


@pytest.fixture
def upper(tmp_path: Path) -> Path:
    folder = tmp_path / "upper"
    folder.mkdir()
    return folder


def entries(archive: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as file:
        return file.getmembers()


def names(archive: bytes) -> list[str]:
    return [entry.name for entry in entries(archive)]


def set_time(path: Path, seconds: int, ns: int = 0) -> None:
    at = seconds * 10**9 + ns
    os.utime(path, ns=(at, at), follow_symlinks=False)


def whiteout(path: Path) -> None:
    os.mknod(path, 0o020000, 0)


# The same tree, the same bytes


def fill(folder: Path, order: list[str]) -> None:
    for name in order:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(name.encode() * 99)
        path.chmod(0o640)
        os.setxattr(path, f"user.{len(name)}", b"1")
        os.setxattr(path, "user.a", b"2")
    os.truncate(folder / order[0], 0)
    os.truncate(folder / "holes", 1 << 20)
    (folder / "holes").write_bytes((folder / "holes").read_bytes()[:600])
    os.truncate(folder / "holes", 1 << 20)
    for path in [folder, *sorted(folder.rglob("*"), reverse=True)]:
        set_time(path, 1_000_000_000, 5)


def test_order_of_creation_and_file_system_do_not_matter(upper: Path) -> None:
    order = ["b", "a/z", "holes", "a/B", "\xe4/x", "a.b/x", "a-"]
    fill(upper, order)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        for name in ("x", "a", "holes"):
            Path(other, name).mkdir()
        for name in ("x", "a", "holes"):
            Path(other, name).rmdir()
        fill(Path(other), [order[0], *reversed(order[1:])])
        assert archive_of(Path(other)) == archive_of(upper)
    assert names(archive_of(upper)) == ["a", "a/B", "a/z", "a-", "a.b", "a.b/x", "b", "holes", "\xe4", "\xe4/x"]


def test_a_plain_file_has_a_plain_header(upper: Path) -> None:
    (upper / "f").write_bytes(b"1" * 600)
    (upper / "f").chmod(0o644)
    set_time(upper / "f", 1_000_000_000)
    archive = archive_of(upper)
    owner = (os.geteuid(), os.getegid())
    assert archive == bytes(Archive().add("f", b"1" * 600, mtime=1_000_000_000, owner=owner))
    set_time(upper / "f", 1_000_000_000, 1)
    assert len(archive_of(upper)) == len(archive) + 2 * BLOCK


@settings(
    max_examples=60, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(data=st.data())
def test_there_and_back_and_there(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    name = st.sampled_from(["a", "b", "c/d", "c/e", "c/f/g", "n" * 120, "c/" + "m" * 200, "é\n", ".wh.a", "c/.wh.d"])
    archive = Archive()
    for _ in range(data.draw(st.integers(0, 12))):
        path, seconds = data.draw(name), data.draw(st.integers(-(1 << 31), 1 << 34))
        ns = data.draw(st.integers(0, 999_999_999))
        archive.pax(("mtime", f"{seconds}.{ns:09}"), ("path", path))
        content = data.draw(st.binary(max_size=600))
        kind = data.draw(st.sampled_from("0002567"))
        archive.add(b"x", content if kind in "07" else b"", kind, link="y" * data.draw(st.integers(1, 150)), mode=0o751)
    base = tmp_path_factory.mktemp("there")
    try:
        unpack_bytes(base / "one", bytes(archive))
    except InvalidContent:  # something in what is no folder
        return
    written = archive_of(base / "one", with_root=True)
    unpack_bytes(base / "two", written)
    assert archive_of(base / "two", with_root=True) == written
    assert listing(base / "two") == listing(base / "one")


# What stands in it


def test_others_read_what_is_there(upper: Path) -> None:
    (upper / "d").mkdir(0o750)
    for name in ("f" * 100, "g" * 101, "h/" + "i" * 100, f"{'j' * 150}/{'k' * 100}", f"{'l' * 156}/m", "n" * 255):
        (upper / name).parent.mkdir(exist_ok=True)
        (upper / name).write_text(name)
        set_time(upper / name, 5, 123_456_780)
    (upper / "short").symlink_to("x" * 100)
    (upper / "long").symlink_to("y" * 4000)
    os.link(upper / ("f" * 100), upper / "z")
    os.mkfifo(upper / "fifo", 0o622)
    set_time(upper / "fifo", -2, 500_000_000)
    with tarfile.open(fileobj=io.BytesIO(archive_of(upper))) as file:
        members = {each.name: each for each in file.getmembers()}
        assert sorted(members) == sorted(os.fspath(path.relative_to(upper)) for path in upper.rglob("*"))
        for name, member in members.items():
            status = (upper / name).lstat()
            assert (member.mode, member.uid, member.gid) == (status.st_mode & 0o7777, status.st_uid, status.st_gid)
            assert abs(member.mtime - status.st_mtime_ns / 1e9) < 1e-6
            if member.isreg():
                content = file.extractfile(member)
                assert content is not None
                assert content.read() == (upper / name).read_bytes()
    assert (members["short"].linkname, members["long"].linkname) == ("x" * 100, "y" * 4000)
    assert (members["z"].type, members["z"].linkname) == (tarfile.LNKTYPE, "f" * 100)
    assert members["fifo"].pax_headers["mtime"] == "-1.5"
    assert members["f" * 100].pax_headers == {"mtime": "5.12345678"}
    assert "path" not in members[f"{'j' * 150}/{'k' * 100}"].pax_headers
    assert members[f"{'l' * 156}/m"].pax_headers["path"] == f"{'l' * 156}/m"


@root_only
def test_large_numbers_stand_in_records(upper: Path) -> None:
    (upper / "f").write_text("1")
    os.chown(upper / "f", 2_097_152, (1 << 32) - 2)
    set_time(upper / "f", 1 << 33)
    (upper / "most").write_text("1")
    os.chown(upper / "most", 2_097_151, 7)
    set_time(upper / "most", (1 << 33) - 1)
    first, most = entries(archive_of(upper))
    assert first.pax_headers == {"gid": str((1 << 32) - 2), "mtime": str(1 << 33), "uid": "2097152"}
    assert (most.pax_headers, most.uid, most.mtime) == ({}, 2_097_151, (1 << 33) - 1)


def test_holes_are_kept(upper: Path, tmp_path: Path) -> None:
    with (upper / "f").open("wb") as file:
        for at in (1 << 20, (9 << 30) + 5):
            file.seek(at)
            file.write(b"content")
        file.truncate(10 << 30)
    archive = archive_of(upper)
    assert len(archive) < 20 * BLOCK + 3 * 4096
    (member,) = entries(archive)
    assert (member.name, member.size, member.issparse()) == ("f", 10 << 30, True)
    unpack_bytes(tmp_path / "again", archive)
    assert (tmp_path / "again/f").stat().st_blocks < 100
    assert archive_of(tmp_path / "again") == archive


@root_only
def test_attributes_that_an_archive_has(upper: Path) -> None:
    (upper / "f").write_text("1")
    for name, value in (
        ("user.b", b"2"),
        ("user.a", b"1\0\n"),
        ("security.capability", CAPABILITY),
        ("trusted.x", b"1"),
    ):
        os.setxattr(upper / "f", name, value)
    os.setxattr(upper / "f", "user.overlay.origin", b"1")
    set_time(upper / "f", 5)
    archive, facts = diff_bytes(upper)
    keys = ("security.capability", "user.a", "user.b")
    assert [key for key in keys if f"SCHILY.xattr.{key}=".encode() in archive] == list(keys)
    assert archive.index(b"SCHILY.xattr.user.a=1\0\n") < archive.index(b"SCHILY.xattr.user.b=2")
    assert facts.xattrs_left_out == 2
    assert b"trusted" not in archive


@root_only
@pytest.mark.parametrize(("rootless", "prefix"), [(False, "trusted"), (True, "user")])
def test_whiteouts_and_opaque_folders_first(upper: Path, rootless: bool, prefix: str) -> None:
    (upper / "d").mkdir()
    os.setxattr(upper / "d", f"{prefix}.overlay.opaque", b"y")
    os.setxattr(upper / "d", f"{prefix}.overlay.origin", b"anything")
    (upper / "d/a").write_text("1")
    whiteout(upper / "d/z")
    whiteout(upper / "b")
    archive, facts = diff_bytes(upper, rootless=rootless)
    found = entries(archive)
    assert [entry.name for entry in found] == [".wh.b", "d", "d/.wh..wh..opq", "d/.wh.z", "d/a"]
    assert all(entry.isreg() and not entry.size for entry in found if ".wh." in entry.name)
    assert all(entry.mtime == entry.uid == 0 for entry in found if ".wh." in entry.name)
    assert facts.xattrs_left_out == 0


@root_only
def test_natural_ids_from_those_on_disk(upper: Path) -> None:
    for name, owner in (("a", (200_000, 400_000)), ("b", (300_998, 400_999)), ("c", (5, 400_005))):
        (upper / name).write_text("1")
        os.chown(upper / name, *owner)
    third = (0x03000001).to_bytes(4, "little") + CAPABILITY[4:] + (200_000).to_bytes(4, "little")
    os.setxattr(upper / "a", "security.capability", third)
    owners = Owners((IdRange(0, 200_000, 1), IdRange(1, 300_000, 999)), (IdRange(0, 400_000, 1000),))
    archive, facts = diff_bytes(upper, owners=owners)
    assert [(each.uid, each.gid) for each in entries(archive)] == [(0, 0), (999, 999), (65534, 5)]
    assert facts.owners_folded == 1
    assert b"SCHILY.xattr.security.capability=" + CAPABILITY in archive
    assert diff_bytes(upper)[1].xattrs_left_out == 1


def test_the_folder_itself_if_asked_for(upper: Path, tmp_path: Path) -> None:
    upper.chmod(0o711)
    set_time(upper, 5)
    assert names(archive_of(upper)) == []
    unpack_bytes(tmp_path / "root", archive_of(upper, with_root=True))
    assert listing(tmp_path / "root") == listing(upper)


@root_only
def test_devices_and_sockets(upper: Path) -> None:
    os.mknod(upper / "null", 0o020666, os.makedev(1, 3))
    os.mknod(upper / "sda", 0o060660, os.makedev(8, 1))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(upper / "socket"))
    archive, facts = diff_bytes(upper)
    found = {each.name: (each.type, each.devmajor, each.devminor) for each in entries(archive)}
    assert found == {"null": (tarfile.CHRTYPE, 1, 3), "sda": (tarfile.BLKTYPE, 8, 1)}
    assert facts.sockets_left_out == 1


# What cannot be written


@root_only
@pytest.mark.parametrize("mark", ["redirect", "metacopy", "whiteout"])
def test_what_overlay_itself_changed_is_refused(upper: Path, mark: str) -> None:
    (upper / "d").mkdir()
    (upper / "d/moved").mkdir()
    os.setxattr(upper / "d/moved", f"trusted.overlay.{mark}", b"/old")
    with pytest.raises(NotSupported, match="'d/moved' cannot be written"):
        archive_of(upper)


@pytest.mark.parametrize("name", [".wh.x", ".wh.", ".wh..wh..opq", ".wh..wh.x"])
def test_a_name_that_would_be_a_whiteout_is_refused(upper: Path, name: str) -> None:
    (upper / "d").mkdir()
    (upper / "d" / name).write_text("the container's own")
    with pytest.raises(InvalidContent, match=r"'d/\.wh\..* for whiteouts"):
        archive_of(upper)


@root_only
def test_a_whiteout_whose_name_is_too_long(upper: Path) -> None:
    whiteout(upper / ("n" * 252))
    with pytest.raises(InvalidContent, match="too long"):
        archive_of(upper)


def test_folders_that_are_too_deep(upper: Path) -> None:
    with Descriptor(os.open(upper, FOLDER)) as top:
        at = os.dup(top.fileno())
        for _ in range(257):
            os.mkdir("d", dir_fd=at)
            below = os.open("d", FOLDER, dir_fd=at)
            os.close(at)
            at = below
        os.close(at)
    with pytest.raises(InvalidContent, match="deeper than 256"):
        archive_of(upper)


def test_a_file_that_is_shorter_than_it_was() -> None:
    """As the kernel's own files are, all of them 4,096 bytes long until they are read."""
    with pytest.raises(StoreError, match="cannot be written to the archive of a layer: it changed while it was read"):
        archive_of(Path("/sys/module/kernel/parameters"))


def test_every_fault_has_its_words() -> None:
    faults = {getattr(lib, name) for name in dir(lib) if name.startswith("KB_FAULT_")}
    assert faults == {lib.KB_FAULT_NONE, *FAULTS}
    assert len(faults) > 15


def test_a_reader_that_goes_ends_it(upper: Path) -> None:
    (upper / "f").write_bytes(os.urandom(2_000_000))
    reader, writer = os.pipe2(os.O_CLOEXEC)
    with Descriptor(writer), Descriptor(os.open(upper, FOLDER)) as folder:
        os.close(reader)
        with pytest.raises(KernelError, match="could not write 'f' to the archive of a layer: broken pipe"):
            diff(folder.fileno(), writer)


def test_an_interrupt_ends_it(upper: Path) -> None:
    (upper / "f").write_bytes(os.urandom(2_000_000))
    reader, writer = os.pipe2(os.O_CLOEXEC)
    with Descriptor(writer), Descriptor(reader), Descriptor(os.open(upper, FOLDER)) as folder:

        def interrupt() -> None:
            os.read(reader, 1)
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            diff(folder.fileno(), writer)
        thread.join()
    wait_until(lambda: not [each for each in threading.enumerate() if each.name == "layer"])
