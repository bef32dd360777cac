"""Images of layers, read back without a kernel, by anybody."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import layer_forms
import pytest
from erofs_image import BLOCK, ErofsImage
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelbox.errors import InvalidContent, KernelError
from kernelbox.linux import erofs
from kernelbox.oci.digest import Digest
from kernelbox.store import layer_erofs
from kernelbox.store.layer_forms import best_form, erofs_form
from kernelbox.store.layer_pipe import LayerSource
from kernelbox.store.layer_work import NATURAL, Facts, Owners
from kernelbox.store.layers import EROFS, TREE, Layers

Member = tuple[tarfile.TarInfo, bytes]


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "", **rest: object) -> Member:
    entry = tarfile.TarInfo(name)
    entry.size, entry.type, entry.linkname = len(content), kind, link
    for key, value in rest.items():
        setattr(entry, key, value)
    return entry, content


def folder(name: str, **rest: object) -> Member:
    return member(name, kind=tarfile.DIRTYPE, **{"mode": 0o755, **rest})


def symlink(name: str, link: str) -> Member:
    return member(name, kind=tarfile.SYMTYPE, link=link)


def pack(members: Iterable[Member]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry, content in members:
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def write(archive: bytes | Path, image: Path) -> Facts:
    with tempfile.TemporaryFile() as source, image.open("w+b") as target:
        source.write(archive if isinstance(archive, bytes) else archive.read_bytes())
        source.seek(0)
        return layer_erofs.write(target.fileno(), source.fileno())


Make = Callable[..., ErofsImage]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def make_image(*members: Member) -> ErofsImage:
        write(pack(members), tmp_path / "image")
        return ErofsImage(tmp_path / "image")

    return make_image


def names(image: ErofsImage) -> list[bytes]:
    return [name for name, _ in image.walk() if name]


def content(image: ErofsImage, name: str) -> bytes:
    return image.content(dict(image.walk())[name.encode()])


def test_every_kind_of_entry(make: Make) -> None:
    image = make(
        folder(".", mode=0o711, uid=5, mtime=2.5),
        folder("d", mode=0o1777, uid=70_000, gid=3_000_000, mtime=-1.5, pax_headers={"SCHILY.xattr.user.of": "folder"}),
        member("d/file", b"content", mode=0o4755, mtime=1_700_000_000.25, pax_headers={"SCHILY.xattr.user.of": "file"}),
        member("hard", kind=tarfile.LNKTYPE, link="d/file"),
        symlink("link", "../d//file"),
        member("fifo", kind=tarfile.FIFOTYPE, mode=0o600),
        member("null", kind=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666),
        member("disk", kind=tarfile.BLKTYPE, devmajor=4095, devminor=1_048_575, mode=0o660),
    )
    found = dict(image.walk())
    assert sorted(found) == [b"", b"d", b"d/file", b"disk", b"fifo", b"hard", b"link", b"null"]
    root, inner, file = found[b""], found[b"d"], found[b"d/file"]
    assert (root.mode, root.uid, root.mtime_ns, root.links) == (stat.S_IFDIR | 0o711, 5, 2_500_000_000, 3)
    assert (inner.mode, inner.uid, inner.gid) == (stat.S_IFDIR | 0o1777, 70_000, 3_000_000)
    assert (inner.mtime_ns, inner.links, inner.xattrs) == (-1_500_000_000, 2, {"user.of": b"folder"})
    assert (file.mode, file.links, file.mtime_ns) == (stat.S_IFREG | 0o4755, 2, 1_700_000_000_250_000_000)
    assert (file.xattrs, image.content(file)) == ({"user.of": b"file"}, b"content")
    assert found[b"hard"].number == file.number
    assert image.content(found[b"link"]) == b"../d//file"
    assert found[b"fifo"].mode == stat.S_IFIFO | 0o600
    assert (found[b"null"].mode, found[b"null"].device) == (stat.S_IFCHR | 0o666, (1, 3))
    assert (found[b"disk"].mode, found[b"disk"].device) == (stat.S_IFBLK | 0o660, (4095, 1_048_575))
    assert image.inodes == 7


def test_an_archive_without_entries(make: Make) -> None:
    image = make()
    assert names(image) == []
    assert image.inode(image.root).mode == stat.S_IFDIR | 0o755


def test_folders_without_an_entry_are_roots(make: Make) -> None:
    found = dict(make(member("a/b/c", mtime=7)).walk())
    assert {(found[name].mode, found[name].uid, found[name].mtime_ns) for name in (b"a", b"a/b")} == {
        (stat.S_IFDIR | 0o755, 0, 7_000_000_000)
    }


def test_the_same_archive_gives_the_same_bytes(make: Make) -> None:
    """Another one gives another identity, if only a byte of some content differs."""
    members = [folder("d"), *(member(f"d/{n}", bytes([n]) * n * 100) for n in range(100))]
    one, again = make(*members), make(*members)
    assert one.file == again.file
    other = make(*members[:-1], member("d/99", bytes(9900)))
    assert other.uuid != one.uuid
    assert one.uuid[6] >> 4 == 8
    assert one.uuid[8] >> 6 == 2


SIZES = [0, 1, 63, 1983, 1984, 1985, 4095, 4096, 4097, 4096 + 1984, 4096 + 1985, 65_535, 65_536, 300_000, 1_048_577]


def test_content_of_all_sizes(make: Make) -> None:
    source = random.Random(1)
    wanted = {f"{n}-{size}".encode(): source.randbytes(size) for n in range(3) for size in SIZES}
    image = make(*(member(name.decode(), content) for name, content in wanted.items()))
    found = {name: image.content(inode) for name, inode in image.walk() if name}
    assert found == wanted


def test_ends_of_files_take_no_block_of_their_own(make: Make) -> None:
    image = make(*(member(f"f{n}", bytes([n]) * 200) for n in range(1, 129)))
    assert image.path.stat().st_blocks * 512 <= 128 * (64 + 200 + 32) + 4 * BLOCK
    assert content(image, "f128") == b"\x80" * 200


def test_names_are_sorted_by_their_bytes(make: Make) -> None:
    """ "." and ".." have their place among them."""
    wanted = ["!", "-", ".a", "..a", "...", "a", "a.", "A", "é", "~", "a b", "\x01", "x" * 255]
    image = make(*(member(name) for name in wanted))
    assert sorted(names(image)) == sorted(name.encode() for name in wanted)
    listed = [name for name, _, _ in image.entries(image.inode(image.root))]
    assert listed[:4] == [b"\x01", b"!", b"-", b"."]


def test_large_folders(make: Make) -> None:
    wanted = [f"d/{n}-{'x' * (n % 250)}" for n in range(5000)]
    image = make(folder("d"), folder("e"), *(member(name) for name in wanted), *(folder(f"e/{n}") for n in range(300)))
    found = dict(image.walk())
    assert {name for name in found if name.startswith(b"d/")} == {name.encode() for name in wanted}
    assert found[b"e"].links == 302


def test_links_of_all_lengths(make: Make) -> None:
    lengths = [1, 59, 4000, 4032, 4033, 4095]
    image = make(*(symlink(f"l{length}", "x" * length) for length in lengths))
    assert [len(content(image, f"l{length}")) for length in lengths] == lengths


def test_as_many_links_on_a_way_as_linux_follows(make: Make, tmp_path: Path) -> None:
    def chain(count: int) -> list[Member]:
        links = [symlink(f"l{n}", f"./x/../l{n + 1}" if n + 1 < count else "/x") for n in range(count)]
        return [folder("x"), *links, member("l0/file", b"there")]

    assert content(make(*chain(40)), "x/file") == b"there"
    with pytest.raises(InvalidContent, match="leads through what is no folder"):
        make(*chain(41))


def test_long_links_on_a_way(make: Make) -> None:
    """Their texts are read back from the image, wherever they are in it yet."""
    text = "./" * 2040 + "x"
    many = [member(f"f{n}", bytes(4000)) for n in range(200)]
    image = make(folder("x"), symlink("long", text), symlink("short", "x"), member("long/1", b"a"), *many,
                 member("long/2", b"b"), member("short/3", b"c"))  # fmt: skip
    assert {name for name in names(image) if name.startswith(b"x/")} == {b"x/1", b"x/2", b"x/3"}


def test_whiteouts(make: Make) -> None:
    image = make(folder("d"), member("d/.wh.gone"), member("d/.wh..wh..opq"), member(".wh.again"), member("again/x"))
    found = dict(image.walk())
    assert (found[b"d/gone"].mode, found[b"d/gone"].device) == (stat.S_IFCHR, (0, 0))
    assert found[b"d"].xattrs == found[b"again"].xattrs == {"trusted.overlay.opaque": b"y"}
    assert found[b"again"].mode == stat.S_IFDIR | 0o755


def test_attributes_of_two_entries_for_a_folder_add_up(make: Make) -> None:
    image = make(
        folder("d", pax_headers={"SCHILY.xattr.user.a": "1", "SCHILY.xattr.user.b": "1"}),
        member("d/.wh..wh..opq"),
        folder("d", mode=0o700, pax_headers={"SCHILY.xattr.user.b": "two"}),
    )
    found = dict(image.walk())[b"d"]
    assert found.xattrs == {"user.a": b"1", "user.b": b"two", "trusted.overlay.opaque": b"y"}
    assert found.mode == stat.S_IFDIR | 0o700


def test_many_attributes(make: Make) -> None:
    wanted = {f"user.{n}": "v" * (n * 20) for n in range(120)}
    headers = {f"SCHILY.xattr.{name}": value for name, value in wanted.items()}
    image = make(member("f", b"short", pax_headers=headers), folder("d", pax_headers=headers), member("d/x", b"x"))
    found = dict(image.walk())
    for name in (b"f", b"d"):
        assert found[name].xattrs == {key: value.encode() for key, value in wanted.items()}
    assert image.content(found[b"f"]) == b"short"
    assert b"d/x" in found


@pytest.mark.parametrize(
    ("name", "sizes"),
    [("f", [65_536]), ("f", [65_000] * 5), (".", [1000] * 3), ("d", [65_000] * 5)],
    ids=["one too large", "too many", "too many of the root", "too many of a folder"],
)
def test_more_attributes_than_an_image_can_have(tmp_path: Path, name: str, sizes: list[int]) -> None:
    headers = {f"SCHILY.xattr.user.{n}": "v" * size for n, size in enumerate(sizes)}
    entry = member(name, pax_headers=headers) if name == "f" else folder(name, pax_headers=headers)
    with pytest.raises(InvalidContent, match=f"at entry 1, '{name}/?': its extended headers .* are too large"):
        write(pack([entry]), tmp_path / "image")
    assert (tmp_path / "image").read_bytes()[1024:1028] != b"\xe2\xe1\xf5\xe0", "it can be mounted"


Pieces = list[tuple[int, int]]
PIECES = st.lists(st.tuples(st.integers(0, 600_000), st.integers(1, 20_000)), max_size=6)


def sparse(path: Path, pieces: Pieces, hole: int) -> bytes:
    """What is in a file with holes. GNU tar finds them where the file system tells."""
    with path.open("wb") as file:
        for at, size in pieces:
            file.seek(at)
            file.write(random.Random(at).randbytes(size))
        file.truncate(max([file.seek(0, os.SEEK_END), hole]))
    return path.read_bytes()


@settings(max_examples=40, deadline=None)
@given(PIECES, st.integers(0, 700_000), st.sampled_from(["gnu", "posix"]))
def test_holes(pieces: Pieces, hole: int, style: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        wanted = sparse(path / "sparse", pieces, hole)
        command = ["tar", "-C", path, f"--format={style}", "--sparse", "-cf", path / "tar", "sparse"]
        subprocess.run(command, check=True)
        write(path / "tar", path / "image")
        assert content(ErofsImage(path / "image"), "sparse") == wanted


def test_a_large_file_of_holes_takes_no_room(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        for at in (10_000_000_000, 300_000_000_000):
            file.seek(at)
            file.write(b"here")
        file.truncate(400_000_000_000)
    subprocess.run(["tar", "-C", tmp_path, "--sparse", "-cf", tmp_path / "tar", "sparse"], check=True)
    write(tmp_path / "tar", tmp_path / "image")
    assert (tmp_path / "image").stat().st_blocks * 512 < 200_000
    image = ErofsImage(tmp_path / "image")
    assert dict(image.walk())[b"sparse"].size == 400_000_000_000


def test_files_that_are_larger_than_an_image(tmp_path: Path) -> None:
    records = f"GNU.sparse.major=1\nGNU.sparse.minor=0\nGNU.sparse.realsize={1 << 60}"
    headers = dict(line.split("=") for line in records.split("\n"))
    with pytest.raises(KernelError, match="'huge' of a layer: file too large"):
        write(pack([member("huge", b"0\n".ljust(512, b"\0"), pax_headers=headers)]), tmp_path / "image")


def test_a_damaged_archive_leaves_no_image(tmp_path: Path) -> None:
    archive = pack([member("a", b"1" * 10_000), member("b", b"2" * 10_000)])
    for size in (100, 512, 5000, 12_000, len(archive) - 10_240):
        with pytest.raises(InvalidContent, match="the layer is damaged or hostile"):
            write(archive[:size], tmp_path / "image")
        assert (tmp_path / "image").read_bytes()[:BLOCK].strip(b"\0") == b""


FULL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
from kernelbox.errors import KernelError
from kernelbox.store import layer_erofs
try:
    with open(sys.argv[1], "rb") as source, open(sys.argv[2], "w+b") as target:
        layer_erofs.write(target.fileno(), source.fileno())
except KernelError as error:
    print(error)
"""


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    (tmp_path / "tar").write_bytes(pack(member(f"f{n}", bytes([n]) * 9000) for n in range(100)))
    done = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path / "tar", tmp_path / "image"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("could not unpack 'f")
    assert done.stdout.endswith("of a layer: file too large\n")


MEMORY = """
import os, resource, sys, tarfile, threading
from kernelbox.store import layer_erofs
head = {}
def feed(target):
    with open(target, "wb", buffering=1 << 16) as archive:
        for n in range(60_000):
            entry = tarfile.TarInfo(f"some/folder/or_other_{n % 600}/the_name_of_a_file_{n}.py")
            entry.size = n % 3000
            archive.write(entry.tobuf(tarfile.USTAR_FORMAT) + bytes(entry.size + -entry.size % 512))
        archive.write(bytes(1024))
source, target = os.pipe()
feeder = threading.Thread(target=feed, args=[target])
feeder.start()
def most():
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
before = most()
with open(sys.argv[1], "w+b") as image:
    entries = layer_erofs.write(image.fileno(), source).entries
feeder.join()
print(entries, most() - before)
"""


def test_memory_is_that_of_names(tmp_path: Path) -> None:
    """Of 60,000 entries whose names have 45 bytes on average."""
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "image")]
    entries, grown = map(int, subprocess.run(command, capture_output=True, check=True).stdout.split())
    assert entries == 60_000
    assert grown < 16_000, "kB more than before"
    assert len(names(ErofsImage(tmp_path / "image"))) == 60_602


def test_layers_of_the_store_are_images(tmp_path: Path) -> None:
    (tmp_path / "trash").mkdir()
    layers = Layers(tmp_path / "layers", tmp_path / "trash", str, erofs_form())
    archive = pack([folder("d"), member("d/file", b"content" * 1000), member("null", kind=tarfile.CHRTYPE)])
    diff_id = Digest.of(archive)
    layer = layers.ensure(diff_id, diff_id, None, LayerSource(lambda: io.BytesIO(gzip.compress(archive))))
    assert (layer.form, layer.entries, layer.size) == (EROFS, 3, layer.path.stat().st_size)
    assert content(ErofsImage(layer.path), "d/file") == b"content" * 1000
    assert json.loads((layer.path.parent / "about.json").read_bytes())["left"] == {"devices_left_out": 1}
    for damaged in (archive[:5000], archive.replace(b"content", b"CONTENT", 1), archive[:512]):
        wrong = Digest.of(damaged + b"x")
        with pytest.raises(InvalidContent):
            layers.ensure(wrong, wrong, None, LayerSource(lambda damaged=damaged: io.BytesIO(damaged)))
    assert list(layers.every()) == [diff_id]


@pytest.mark.parametrize("owners", [NATURAL, Owners(one=True)])
def test_a_store_that_cannot_mount_has_folders(tmp_path: Path, owners: Owners) -> None:
    assert best_form(tmp_path, rootless=True, owners=owners).name == TREE
    expected = EROFS if owners == NATURAL and erofs.supported(tmp_path) else TREE
    assert best_form(tmp_path, rootless=False, owners=owners).name == expected


@pytest.fixture(scope="module")
def fsck() -> str:
    found = shutil.which("fsck.erofs")
    if not found:
        pytest.skip("fsck.erofs is not installed")
    return found


@settings(max_examples=40, deadline=None)
@given(members=layer_forms.archives())
def test_the_formats_own_program_finds_no_fault(fsck: str, members: list[tarfile.TarInfo]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        layer_forms.write_what_is_taken(members, folder / "tar", folder / "image")
        done = subprocess.run([fsck, "--extract", folder / "image"], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), done
