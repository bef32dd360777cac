"""Archives that other programs wrote, in each of their formats: the folder is the one that they were made of. And what
we write is unpacked by them to the same."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from layer_folders import archive_of, listing, unpack_bytes

GNU_TAR = ["tar", "--numeric-owner"]
XATTRS = ["--xattrs", "--xattrs-include=user.*"]
FORMATS = {
    "gnu": ["--format=gnu"],
    "gnu, sparse": ["--format=gnu", "--sparse"],
    "oldgnu": ["--format=oldgnu", "--sparse"],
    "ustar": ["--format=ustar"],
    "pax": ["--format=pax"],
    **{
        f"pax, sparse {version}": ["--format=pax", "--sparse", f"--sparse-version={version}"]
        for version in ("0.0", "0.1", "1.0")
    },
}
SECOND = 10**9


def fill(root: Path, *, long_names: bool, ids: bool) -> None:
    (root / "etc/deep").mkdir(parents=True, mode=0o700)
    (root / "etc/hosts").write_bytes(b"12345" * 300)
    (root / "etc/deep/large").write_bytes(os.urandom(700_000))
    (root / "etc" / os.fsdecode(b"\xff \n")).write_bytes(b"")
    (root / "link").symlink_to("/etc/hosts")
    os.link(root / "etc/hosts", root / "hosts")
    os.mkfifo(root / "fifo", 0o620)
    if long_names:
        (root / "etc" / ("d" * 150) / ("e" * 150)).mkdir(parents=True)
        (root / "etc" / ("d" * 150) / ("e" * 150) / ("f" * 255)).write_text("1")
        (root / "long link").symlink_to("x" * 3000)
    for number, regions in enumerate(([], [0], [70_000], [0, 200_000, 400_000], range(0, 4_000_000, 50_000))):
        with (root / f"holes{number}").open("wb") as file:
            for at in regions:
                file.seek(at)
                file.write(b"%d" % at)
            file.truncate(5_000_000)
    (root / "etc/hosts").chmod(0o4711)
    if os.geteuid() == 0 and ids:
        os.chown(root / "etc/deep/large", 3_000_000, 1 << 31)
        os.mknod(root / "null", 0o020666, os.makedev(1, 3))
    for path in [*root.rglob("*"), root]:
        os.utime(path, ns=(SECOND, 1_234_567_890 * SECOND), follow_symlinks=False)


@pytest.mark.parametrize("format_", FORMATS)
def test_archives_of_gnu_tar(format_: str, tmp_path: Path) -> None:
    source, archive = tmp_path / "source", tmp_path / "archive"
    source.mkdir()
    fill(source, long_names=format_ != "ustar", ids=format_ != "ustar")
    if "pax" in format_:
        os.setxattr(source / "etc/hosts", "user.mime", b"text\0plain\n")
        os.utime(source / "etc/deep", ns=(SECOND, 5 * SECOND + 123_456_789))
    subprocess.run(
        [*GNU_TAR, *FORMATS[format_], *(XATTRS if "pax" in format_ else []), "-cf", archive, "-C", source, "."],
        check=True,
    )
    facts = unpack_bytes(tmp_path / "ours", archive.read_bytes())
    assert listing(tmp_path / "ours") == listing(source)
    assert facts.entries == len(listing(source))
    if "sparse" in format_:
        assert (tmp_path / "ours/holes4").stat().st_blocks * 512 < 1_000_000


@pytest.mark.parametrize("format_", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_archives_of_python(format_: int, tmp_path: Path) -> None:
    source, archive = tmp_path / "source", tmp_path / "archive"
    source.mkdir()
    ustar = format_ == tarfile.USTAR_FORMAT
    fill(source, long_names=not ustar, ids=not ustar)
    with tarfile.open(archive, "w", format=format_) as file:
        for path in sorted(source.rglob("*")):
            file.add(path, path.relative_to(source), recursive=False)
    unpack_bytes(tmp_path / "ours", archive.read_bytes())
    before, after = listing(source), listing(tmp_path / "ours")
    del before["."], after["."]
    for name in list(before):  # it does not know of holes
        if name.startswith("holes"):
            assert (tmp_path / "ours" / name).read_bytes() == (source / name).read_bytes()
            del before[name], after[name]
    assert after == before


def test_gnu_tar_unpacks_what_we_write(tmp_path: Path) -> None:
    source, archive, other = (tmp_path / name for name in ("source", "archive", "other"))
    source.mkdir()
    other.mkdir()
    fill(source, long_names=True, ids=True)
    os.setxattr(source / "etc/hosts", "user.mime", b"text\0plain\n")
    os.utime(source / "etc/deep", ns=(SECOND, 5 * SECOND + 123_456_789))
    archive.write_bytes(archive_of(source, with_root=True))
    subprocess.run([*GNU_TAR, *XATTRS, "-xpf", archive, "-C", other], check=True)
    assert listing(other) == listing(source)
    shutil.rmtree(other)
    unpack_bytes(other, archive.read_bytes())
    assert listing(other) == listing(source)


def test_python_unpacks_what_we_write(tmp_path: Path) -> None:
    source, archive, other = (tmp_path / name for name in ("source", "archive", "other"))
    source.mkdir()
    fill(source, long_names=True, ids=False)
    archive.write_bytes(archive_of(source, with_root=True))
    with tarfile.open(archive) as file:
        file.extractall(other, filter="fully_trusted")
    before, after = listing(source), listing(other)
    for name in ("link", "long link"):  # it does not set the times of links
        assert os.readlink(other / name) == os.readlink(source / name)
        del before[name], after[name]
    assert after == before
