"""A layer's archive as a folder: what every kind of entry becomes, in which order, and what is said of what is not."""

from __future__ import annotations

import os
import resource
import signal
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from layer_archives import BLOCK, END, Archive, binary
from layer_folders import FOLDER, listing, unpack_bytes
from ordinary_user import User
from waiting import wait_until

from kernelbox.errors import InvalidContent
from kernelbox.linux.descriptor import Descriptor
from kernelbox.linux.idmap import IdRange
from kernelbox.store.layer_tree import Owners, unpack

CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
root_only = pytest.mark.root
SECOND = 10**9


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def is_whiteout(path: Path) -> bool:
    status = path.lstat()
    return stat.S_ISCHR(status.st_mode) and not status.st_rdev


def mark(path: Path, prefix: str = "trusted") -> bytes | None:
    name = f"{prefix}.overlay.opaque"
    return os.getxattr(path, name) if name in os.listxattr(path) else None


# What entries become


@root_only
def test_owners_modes_and_set_id_bits(root: Path) -> None:
    archive = Archive().folder("d", 0o2750, owner=(3, 4)).add("d/f", b"1", mode=0o6755, owner=(1000, 100_000))
    archive.add("n", mode=0, owner=(0, 7)).add("t", kind="6", mode=0o622).symlink("l", "d/f").folder("tmp", 0o1777)
    facts = unpack_bytes(root, bytes(archive))
    found = {path.name: (mode(path), path.lstat().st_uid, path.lstat().st_gid) for path in root.rglob("*")}
    assert found == {
        "d": (0o2750, 3, 4), "f": (0o6755, 1000, 100_000), "n": (0, 0, 7), "t": (0o622, 0, 0), "l": (0o777, 0, 0),
        "tmp": (0o1777, 0, 0),
    }  # fmt: skip
    assert (facts.entries, facts.owners_folded) == (6, 0)


def test_the_mask_for_new_files_changes_nothing(root: Path) -> None:
    before = os.umask(0o077)
    try:
        unpack_bytes(
            root, bytes(Archive().add("f", b"1", mode=0o666).folder("d", 0o777).add("p", kind="6", mode=0o622))
        )
    finally:
        os.umask(before)
    assert [mode(root / name) for name in "fdp"] == [0o666, 0o777, 0o622]


def test_times_to_the_nanosecond_and_those_of_folders_last(root: Path) -> None:
    archive = Archive().pax(("mtime", "1000000000.123456789")).folder("d").add("d/f", mtime=7)
    archive.pax(("mtime", "-1.5")).symlink("d/l", "f").add("d/b", fields={136: binary(1 << 33, 12)})
    archive.pax(("mtime", "5.0000000019999")).folder("d/e").add("d/e/x", mtime=9).pax(("mtime", "3.5")).folder("./")
    unpack_bytes(root, bytes(archive))
    found = {name: (root / name).lstat().st_mtime_ns for name in ("d", "d/f", "d/l", "d/b", "d/e", "d/e/x", ".")}
    assert found == {
        "d": 1000000000_123456789, "d/f": 7 * SECOND, "d/l": -3 * SECOND // 2, "d/b": (1 << 33) * SECOND,
        "d/e": 5_000000001, "d/e/x": 9 * SECOND, ".": 3_500000000,
    }  # fmt: skip


def test_folders_that_the_archive_has_not(root: Path) -> None:
    facts = unpack_bytes(root, bytes(Archive().add("a/b/f", b"1", mtime=9, mode=0o600).folder("a", 0o700, 5)))
    assert (mode(root / "a"), mode(root / "a/b")) == (0o700, 0o755)
    assert ((root / "a").stat().st_mtime, (root / "a/b").stat().st_mtime) == (5, 9)
    assert facts.folders_implied == 2


def test_folders_that_nobody_may_write_in_come_filled(root: Path) -> None:
    unpack_bytes(root, bytes(Archive().folder("d", 0o500).add("d/f", b"1").folder("d/e", 0).add("d/e/f", b"2")))
    assert (mode(root / "d"), mode(root / "d/e")) == (0o500, 0)
    (root / "d/e").chmod(0o700)
    assert (root / "d/e/f").read_text() == "2"


def test_hard_links_are_one_file(root: Path) -> None:
    archive = Archive().add("a/f", b"12", mode=0o640).hard_link("h", "/a/f").hard_link("a/g", "./h").symlink("l", "h")
    unpack_bytes(root, bytes(archive.hard_link("k", "l")))
    assert len({(root / name).stat().st_ino for name in ("a/f", "h", "a/g")}) == 1
    assert (root / "h").stat().st_nlink == 3
    assert (root / "k").is_symlink()
    assert (root / "k").lstat().st_ino == (root / "l").lstat().st_ino


def test_holes_stay_holes(root: Path) -> None:
    pieces = [(1 << 20, b"1" * 4096), ((1 << 30) - 5, b"23456")]
    unpack_bytes(
        root, bytes(Archive().sparse("f", pieces, 1 << 30).sparse("g", pieces[:1], 1 << 40).sparse("h", [], 99))
    )
    with (root / "f").open("rb") as file:
        for at, piece in [*pieces, (0, bytes(4096)), ((1 << 20) + 4096, bytes(4096))]:
            file.seek(at)
            assert file.read(len(piece)) == piece
    assert [(root / name).stat().st_size for name in "fgh"] == [1 << 30, 1 << 40, 99]
    assert max((root / name).stat().st_blocks for name in "fgh") * 512 < 1 << 17


@root_only
def test_attributes_and_capabilities(root: Path) -> None:
    kept = {"user.mime": b"text/plain", "user.empty": b"", "user.zeros": bytes(3000), "security.capability": CAPABILITY}
    other = {"trusted.overlay.opaque": b"y", "user.overlay.redirect": b"/", "security.selinux": b"x", "system.x": b"x"}
    archive = Archive().add("f", b"1", owner=(5, 5), mode=0o4755, xattrs={**kept, **other})
    archive.add("d", kind="5", mode=0o700, xattrs={"user.x": b"1", "trusted.overlay.opaque": b"y"})
    facts = unpack_bytes(root, bytes(archive.add("p", kind="6", xattrs={"user.x": b"1"})))
    assert {name: os.getxattr(root / "f", name) for name in os.listxattr(root / "f")} == kept
    assert os.listxattr(root / "d") == ["user.x"]
    assert facts.xattrs_left_out == 6
    assert mode(root / "f") == 0o4755


@root_only
def test_capabilities_that_count_for_this_root_alone(root: Path) -> None:
    third = (0x03000001).to_bytes(4, "little") + CAPABILITY[4:]
    archive = Archive().add("own", xattrs={"security.capability": third + bytes(4)})
    archive.add("other", xattrs={"security.capability": third + (1000).to_bytes(4, "little")})
    assert unpack_bytes(root, bytes(archive)).xattrs_left_out == 1
    assert os.getxattr(root / "own", "security.capability") == CAPABILITY
    assert os.listxattr(root / "other") == []


@root_only
def test_devices(root: Path, tmp_path: Path) -> None:
    archive = bytes(Archive().device("null", (1, 3)).device("sda", (8, 1), "4").device("none", (0, 0)))
    assert unpack_bytes(root, archive).devices_left_out == 1
    assert {path.name: path.lstat().st_rdev for path in root.iterdir()} == {
        "null": os.makedev(1, 3),
        "sda": os.makedev(8, 1),
    }
    assert unpack_bytes(tmp_path / "rootless", archive, rootless=True).devices_left_out == 3
    assert os.listdir(tmp_path / "rootless") == []


# What replaces what


def test_a_later_entry_replaces_an_earlier_one(root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("as it was")
    archive = Archive().symlink("l", "../outside").add("l", b"file").add("d/e/f", b"1").add("d", b"file")
    archive.add("f", b"1").folder("f", 0o700).add("p", b"1").add("p", kind="6").add("g", b"long ago").add("g", b"now")
    unpack_bytes(root, bytes(archive.add("h", b"1").hard_link("k", "h").add("h", b"2")))
    assert (tmp_path / "outside").read_text() == "as it was"
    assert {name: (root / name).read_text() for name in "ldghk"} == {
        "l": "file",
        "d": "file",
        "g": "now",
        "h": "2",
        "k": "1",
    }
    assert (root / "f").is_dir()
    assert (root / "p").is_fifo()


def test_a_folder_twice_is_one_and_the_later_entry_counts(root: Path) -> None:
    unpack_bytes(root, bytes(Archive().folder("d", 0o700, 5).add("d/f", b"1").folder("d/", 0o711, 6).add("d/g", b"2")))
    assert sorted(os.listdir(root / "d")) == ["f", "g"]
    assert (mode(root / "d"), (root / "d").stat().st_mtime) == (0o711, 6)


def test_the_times_of_a_folder_that_went_are_nobodys(root: Path) -> None:
    archive = (
        Archive().folder("a", 0o700, 5).folder("b", 0o711, 6).symlink("a", "b").folder("c", 0o700, 7).add("c", b"1")
    )
    unpack_bytes(root, bytes(archive))
    assert (mode(root / "b"), (root / "b").stat().st_mtime) == (0o711, 6)
    assert (root / "c").stat().st_mtime == 0


def test_what_goes_through_a_link_lies_where_it_leads_to(root: Path) -> None:
    archive = Archive().folder("usr/lib").symlink("lib", "usr/lib").add("lib/a/x", b"1").symlink("usr/up", "/lib")
    unpack_bytes(root, bytes(archive.add("usr/up/y", b"2")))
    assert sorted(os.listdir(root / "usr/lib")) == ["a", "y"]
    assert (root / "lib").is_symlink()


# Whiteouts


@root_only
@pytest.mark.parametrize(("rootless", "prefix"), [(False, "trusted"), (True, "user")])
def test_whiteouts_and_opaque_folders(root: Path, rootless: bool, prefix: str) -> None:
    archive = Archive().add("etc/.wh.gone", mode=0).add(".wh.all").folder("d").add("d/.wh..wh..opq").add("d/new", b"1")
    unpack_bytes(root, bytes(archive.add("e/f/.wh..wh..opq")), rootless=rootless)
    assert is_whiteout(root / "etc/gone")
    assert is_whiteout(root / "all")
    assert [mark(root / name, prefix) for name in ("d", "e/f", "e", "etc")] == [b"y", b"y", None, None]
    assert (root / "d/new").read_text() == "1"
    assert not list(root.rglob(".wh.*"))


@root_only
def test_the_root_may_be_opaque(root: Path) -> None:
    unpack_bytes(root, bytes(Archive().add(".wh..wh..opq").add("f")))
    assert mark(root) == b"y"


@root_only
def test_a_whiteout_is_of_what_lies_below_and_not_of_this_layer(root: Path) -> None:
    archive = Archive().add(".wh.before").add("before", b"1").add("after", b"1").add(".wh.after")
    archive.add(".wh.d").add("d/x", b"1").folder("e").add("e/x", b"1").add(".wh.e").add(".wh.f").folder("f")
    unpack_bytes(root, bytes(archive.add(".wh.twice").add(".wh.twice")))
    assert (root / "before").read_text() == (root / "after").read_text() == "1"
    assert (root / "d/x").read_text() == (root / "e/x").read_text() == "1"
    assert [mark(root / name) for name in "def"] == [b"y"] * 3
    assert is_whiteout(root / "twice")


# Owners that are not there


@root_only
def test_ids_on_disk_by_ranges(root: Path) -> None:
    owners = Owners((IdRange(0, 200_000, 1), IdRange(1, 300_000, 999)), (IdRange(0, 400_000, 1000),))
    archive = Archive().add("a", owner=(0, 0)).folder("b", owner=(999, 999)).add("c", owner=(1000, 5)).symlink("l", "x")
    facts = unpack_bytes(root, bytes(archive), owners=owners)
    found = {path.name: (path.lstat().st_uid, path.lstat().st_gid) for path in root.iterdir()}
    assert found == {"a": (200_000, 400_000), "b": (300_998, 400_999), "c": (0, 400_005), "l": (200_000, 400_000)}
    assert facts.owners_folded == 1


ORDINARY = """
import os, sys, pathlib
sys.path.insert(0, sys.argv[1])
from layer_archives import Archive
from layer_folders import archive_of, unpack_bytes
from kernelbox.errors import KernelError
from kernelbox.store.layer_tree import Owners

one, home = {"rootless": True, "owners": Owners(one=True)}, pathlib.Path(os.environ["HOME"])
archive = Archive().folder("d", 0o500, 5, owner=(1, 2))
archive.add("d/f", b"1", mode=0o444, owner=(3, 4), xattrs={"user.x": b"y"}).folder("d/none", 0)
archive.add("d/none/s", mode=0o4755).device("null", (1, 3)).add("d/.wh.gone").add("o/.wh..wh..opq")
whole = bytes(archive.add("cap", xattrs={"security.capability": bytes.fromhex(sys.argv[2])}))
try:
    unpack_bytes(home / "natural", whole, rootless=True)
except KernelError as error:
    print(error)
facts = unpack_bytes(home / "one", whole, **one)
print(facts.owners_folded, facts.devices_left_out, facts.xattrs_left_out)
print(sorted(os.listdir(home / "one/d")), os.getxattr(home / "one/o", "user.overlay.opaque"))
os.chmod(home / "one/d/none", 0o700)
written = archive_of(home / "one", **one)
unpack_bytes(home / "again", written, **one)
assert archive_of(home / "again", **one) == written
"""


def test_an_ordinary_user_owns_all_of_it(ordinary_user: User) -> None:
    done = ordinary_user.python(ORDINARY, str(Path(__file__).parents[2]), CAPABILITY.hex())
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "could not unpack 'd' of a layer: operation not permitted",
        "2 1 1",
        "['f', 'gone', 'none'] b'y'",
    ]


# The stream


@contextmanager
def opened(root: Path) -> Iterator[tuple[int, int, int]]:
    """The new folder, and both ends of a pipe."""
    root.mkdir()
    reader, writer = os.pipe2(os.O_CLOEXEC)
    with Descriptor(os.open(root, FOLDER)) as folder, Descriptor(reader), Descriptor(writer) as write:
        yield folder.fileno(), reader, write.take()


def test_a_pipe_is_read_to_its_end(root: Path) -> None:
    archive = bytes(Archive().add("f", os.urandom(300_000))) + bytes(1 << 20)
    with opened(root) as (folder, reader, writer):

        def feed() -> None:
            with open(writer, "wb") as file:
                for at in range(0, len(archive), 777):
                    file.write(archive[at : at + 777])
                    file.flush()

        thread = threading.Thread(target=feed)
        thread.start()
        assert unpack(folder, reader).entries == 1
        thread.join()
    assert (root / "f").read_bytes() == archive[BLOCK : BLOCK + 300_000]


def test_a_writer_that_goes_ends_it(root: Path) -> None:
    with opened(root) as (folder, reader, writer):
        os.write(writer, bytes(Archive().add("f", b"1" * 2000))[:1000])
        os.close(writer)
        with pytest.raises(InvalidContent, match="at entry 1, 'f': the archive ends too early"):
            unpack(folder, reader)


def test_an_interrupt_ends_it(root: Path) -> None:
    def interrupt() -> None:
        wait_until(lambda: (root / "f").exists())
        os.kill(os.getpid(), signal.SIGINT)

    with opened(root) as (folder, reader, writer):
        os.write(writer, bytes(Archive().add("f", b"1" * 20_000))[:9000])
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            unpack(folder, reader)
        thread.join()
        os.close(writer)
        assert os.read(reader, 10) == b""
    wait_until(lambda: not [each for each in threading.enumerate() if each.name == "layer"])


def test_few_descriptors_are_enough(root: Path) -> None:
    archive = Archive().symlink("up", "/")
    for number in range(300):
        archive.add(f"{number}/{'/'.join('d' * (number % 200))}/f", b"1").hard_link(
            f"up/{number}/h", f"{number}/{'d/' * (number % 200)}f"
        )
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Descriptor(os.open("/", os.O_PATH)) as highest:
        room = max(map(int, os.listdir("/proc/self/fd")), default=highest.fileno()) + 12
    resource.setrlimit(resource.RLIMIT_NOFILE, (room, hard))
    try:
        unpack_bytes(root, bytes(archive))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (root / "299/h").samefile(root / "299" / "/".join("d" * 99) / "f")


def test_the_same_archive_makes_the_same_folder(root: Path, tmp_path: Path) -> None:
    archive = bytes(Archive().add("d/f", b"1", mtime=5).symlink("l", "d").hard_link("l/g", "l/f").folder("./", mtime=7))
    unpack_bytes(root, archive + END)
    unpack_bytes(tmp_path / "other", archive)
    assert listing(root) == listing(tmp_path / "other")
