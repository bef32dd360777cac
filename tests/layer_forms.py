"""Archives of layers as hypothesis makes them, with few names, so that entries meet: later ones replace earlier ones,
lie in links, in files and in whiteouts, or are links to what has gone. And what both forms of a layer make of them."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from erofs_image import ErofsImage, Inode
from hypothesis import strategies as st

from kernelbox.linux.descriptor import Descriptor
from kernelbox.native import ffi, lib

NAMES = ["a", "b", "c", "d"]
WHITEOUTS = [".wh.a", ".wh.b", ".wh..wh..opq", ".wh..wh.plnk", ".wh."]
KINDS = [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
LARGEST_READ = 1 << 24


def paths(most: int = 4) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(NAMES), min_size=1, max_size=most).map("/".join)


@st.composite
def entries(draw: st.DrawFn) -> tarfile.TarInfo:
    name = draw(paths())
    if draw(st.integers(0, 9)) == 0:
        name = f"{name}/{draw(st.sampled_from(WHITEOUTS))}"
    entry = tarfile.TarInfo(name)
    entry.type = draw(st.sampled_from(KINDS))
    entry.mode = draw(st.sampled_from([0o644, 0o755, 0o4711, 0o1777, 0o000]))
    entry.uid, entry.gid = draw(st.sampled_from([(0, 0), (1000, 100), (70_000, 3_000_000)]))
    entry.mtime = draw(st.sampled_from([0, 1, 1_700_000_000, 4_000_000_000]))
    if entry.type == tarfile.REGTYPE:
        entry.size = draw(st.sampled_from([0, 1, 100, 1984, 1985, 4096, 4097, 6000, 9000]))
    elif entry.type == tarfile.SYMTYPE:
        start = draw(st.sampled_from(["", "/", "../", "./", "../../", "a/../"]))
        entry.linkname = start + draw(paths(3)) + draw(st.sampled_from(["", "/", "/.", "/.."]))
    elif entry.type == tarfile.LNKTYPE:
        entry.linkname = draw(paths())
    elif entry.type == tarfile.CHRTYPE:
        entry.devmajor, entry.devminor = draw(st.sampled_from([(0, 0), (1, 3), (259, 70_000)]))
    if entry.type in (tarfile.REGTYPE, tarfile.DIRTYPE):
        entry.pax_headers = draw(
            st.dictionaries(
                st.sampled_from(["SCHILY.xattr.user.a", "SCHILY.xattr.user.bc"]), st.sampled_from(["v", "long" * 30])
            )
        )
    return entry


def archives(most: int = 25) -> st.SearchStrategy[list[tarfile.TarInfo]]:
    return st.lists(entries(), max_size=most)


def pack(path: Path, members: Sequence[tarfile.TarInfo]) -> Path:
    """Every file has content of its own, which tells where it is from."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for number, member in enumerate(members):
            content = f"{number}:".encode() * 9000
            archive.addfile(member, io.BytesIO(content[: member.size]))
    return path


class Verdict(NamedTuple):
    """How an archive was taken, and what was left out of it; on a failure with the name of the entry."""

    outcome: int
    fault: int
    name: bytes
    entries: int
    left: tuple[int, int]
    parents_made: int


class Seen(NamedTuple):
    """What there is to know of one path; `links` are all paths of the same file, `content` of a large one its size."""

    mode: int
    uid: int
    gid: int
    mtime_ns: int
    device: tuple[int, int]
    content: bytes | int
    xattrs: dict[str, bytes]
    links: tuple[bytes, ...]


def options() -> object:
    return ffi.new("struct kb_layer_options *", {"stop": -1, "most_entries": 10_000, "most_bytes": 1 << 37})


def _verdict(outcome: int, result: Any) -> Verdict:
    left = result.xattrs_left, result.devices_left
    return Verdict(outcome, result.fault, ffi.string(result.name), result.entries, left, result.parents_made)


def write_erofs(archive: Path, image: Path) -> Verdict:
    result = ffi.new("struct kb_layer_result *")
    with archive.open("rb") as source, image.open("w+b") as target:
        outcome = lib.kb_layer_erofs(source.fileno(), target.fileno(), options(), result)
    return _verdict(outcome, result)


def write_tree(archive: Path, folder: Path) -> Verdict:
    folder.mkdir()
    result = ffi.new("struct kb_layer_result *")
    with archive.open("rb") as source, Descriptor(os.open(folder, os.O_RDONLY | os.O_DIRECTORY)) as root:
        outcome = lib.kb_layer_apply(root.fileno(), source.fileno(), options(), result)
    return _verdict(outcome, result)


def is_whiteout(mode: int, device: tuple[int, int]) -> bool:
    return stat.S_ISCHR(mode) and device == (0, 0)


def in_image(path: Path) -> dict[bytes, Seen]:
    """What a mount of the image would show, the root but for its own time, mode and owner."""
    image = ErofsImage(path)
    files: dict[int, list[bytes]] = defaultdict(list)
    inodes = dict(image.walk())
    for name, inode in inodes.items():
        files[inode.number].append(name)
        if stat.S_ISDIR(inode.mode):
            below = sum(stat.S_ISDIR(image.inode(number).mode) for _, number, _ in image.entries(inode))
            assert inode.links == below
    assert image.inodes == len(files)
    return {name: _of_inode(image, inode, files[inode.number]) for name, inode in inodes.items() if name}


def _of_inode(image: ErofsImage, inode: Inode, names: list[bytes]) -> Seen:
    plain = stat.S_ISREG(inode.mode) or stat.S_ISLNK(inode.mode)
    device = inode.device if stat.S_ISCHR(inode.mode) or stat.S_ISBLK(inode.mode) else (0, 0)
    assert stat.S_ISDIR(inode.mode) or inode.links == len(names)
    return Seen(
        inode.mode,
        inode.uid,
        inode.gid,
        0 if is_whiteout(inode.mode, device) else inode.mtime_ns,
        device,
        image.content(inode) if plain and inode.size <= LARGEST_READ else inode.size if plain else b"",
        inode.xattrs,
        tuple(sorted(names)) if len(names) > 1 else (),
    )


def in_folder(folder: Path) -> dict[bytes, Seen]:
    """The same of a folder, whether unpacked or mounted."""
    root = os.fsencode(folder)
    found = {os.path.relpath(path, root): os.lstat(path) for path in _walk(root)}
    files: dict[int, list[bytes]] = defaultdict(list)
    for name, about in found.items():
        files[about.st_ino].append(name)
    return {name: _of_path(os.path.join(root, name), about, files[about.st_ino]) for name, about in found.items()}


def _walk(folder: bytes) -> Iterator[bytes]:
    for entry in os.scandir(folder):
        yield entry.path
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path)


def _of_path(path: bytes, about: os.stat_result, names: list[bytes]) -> Seen:
    kind = stat.S_IFMT(about.st_mode)
    content: bytes | int = b""
    if kind == stat.S_IFREG:
        content = Path(os.fsdecode(path)).read_bytes() if about.st_size <= LARGEST_READ else about.st_size
    elif kind == stat.S_IFLNK:
        content = os.readlink(path)
    device = (os.major(about.st_rdev), os.minor(about.st_rdev))
    xattrs = {
        name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)
    }
    return Seen(
        about.st_mode,
        about.st_uid,
        about.st_gid,
        0 if is_whiteout(about.st_mode, device) else about.st_mtime_ns,
        device,
        content,
        xattrs,
        tuple(sorted(names)) if len(names) > 1 else (),
    )


def write_what_is_taken(members: list[tarfile.TarInfo], archive: Path, image: Path) -> None:
    """The image of those of the entries that are not refused."""
    while (verdict := write_erofs(pack(archive, members), image)).outcome:
        del members[verdict.entries - 1]
