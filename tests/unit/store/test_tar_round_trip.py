"""Archives there and back: what goes out comes in again as it was, GNU tar reads it and is read, as root and as an
ordinary user."""

from __future__ import annotations

import io
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ordinary_user import User

from kernelbox.linux.descriptor import Descriptor
from kernelbox.store.tar_in import unpack
from kernelbox.store.tar_out import pack


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "etc/deep").mkdir(parents=True)
    (root / "etc/hosts").write_text("12345")
    (root / "etc/deep/file").write_bytes(os.urandom(700_000))
    (root / "data").mkdir()
    return root


@pytest.fixture
def root(tree: Path) -> Iterator[int]:
    with Descriptor(os.open(tree, os.O_PATH | os.O_DIRECTORY)) as descriptor:
        yield descriptor.fileno()


def everything(folder: Path) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    below = (Path(top, name) for top, folders, files in os.walk(folder) for name in (*folders, *files))
    for path in sorted(below):  # rglob of some Pythons looks where links lead
        status = path.lstat()
        link = stat.S_ISLNK(status.st_mode)
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        target = os.readlink(path) if link else ""
        kept = () if link else tuple(os.listxattr(path))
        owner = (status.st_uid, status.st_gid, status.st_nlink)
        found.append((path.relative_to(folder), status.st_mode, *owner, status.st_mtime_ns, content, target, kept))
    return found


def test_what_goes_out_comes_in_again_as_it_was(tree: Path, root: int, tmp_path: Path) -> None:
    (tree / "etc" / os.fsdecode(b"\xff\n")).write_bytes(os.urandom(300_000))
    (tree / "etc/deep" / ("x" * 200)).mkdir(parents=True, mode=0o1777)
    (tree / "etc/link").symlink_to("y" * 500)
    os.link(tree / "etc/hosts", tree / "data/hosts")
    os.mkfifo(tree / "data/fifo")
    (tree / "etc/hosts").chmod(0o4750)
    if os.geteuid() == 0:
        os.chown(tree / "etc/hosts", 12, 34)
        (tree / "etc/hosts").chmod(0o4750)
        os.mknod(tree / "data/device", stat.S_IFBLK | 0o600, os.makedev(7, 200))
        os.chown(tree / "etc/link", 3_000_000, 12, follow_symlinks=False)
    copy = tmp_path / "copy"
    copy.mkdir()
    archive = b"".join(pack(root, "/"))
    with Descriptor(os.open(copy, os.O_PATH)) as target:
        unpack(target.fileno(), "/", io.BytesIO(archive), copy_owner=True)
        assert b"".join(pack(target.fileno(), "/")) == archive
    assert everything(copy) == everything(tree)


@pytest.mark.parametrize("kind", ["gnu", "pax", "ustar", "v7"])
def test_what_gnu_tar_makes(tree: Path, root: int, tmp_path: Path, kind: str) -> None:
    if not shutil.which("tar"):
        pytest.skip("no tar here")
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / ("x" * 90)).write_bytes(os.urandom(100_000))
    (source / "sub/link").symlink_to("../other")
    os.link(source / "sub" / ("x" * 90), source / "again")
    if kind in ("gnu", "pax"):
        (source / "sub" / ("ü" * 120)).write_text("long")
    made = subprocess.run(["tar", "-c", f"--format={kind}", "-C", source, "."], capture_output=True, check=True)
    unpack(root, "/data", io.BytesIO(made.stdout), copy_owner=True)
    names = sorted(path.relative_to(source) for path in source.rglob("*"))
    assert sorted(path.relative_to(tree / "data") for path in (tree / "data").rglob("*")) == names
    compared = subprocess.run(["diff", "-r", "--no-dereference", source, tree / "data"], check=False)
    assert compared.returncode == 0
    assert (tree / "data/again").samefile(tree / "data/sub" / ("x" * 90))


USER = """
import io, os, sys, tarfile
from kernelbox.store.tar_in import unpack
from kernelbox.store.tar_out import pack
from kernelbox.errors import KernelError, NotSupported
os.makedirs("root/data/deep"); os.makedirs("copy")
open("root/data/deep/file", "w").write("mine"); os.chmod("root/data/deep", 0o555)
root, copy = os.open("root", os.O_PATH), os.open("copy", os.O_PATH)
archive = b"".join(pack(root, "/"))
unpack(copy, "/", io.BytesIO(archive))
deep = os.stat("copy/data/deep")
print(open("copy/data/deep/file").read(), oct(deep.st_mode), deep.st_uid == os.getuid())
info = tarfile.TarInfo("null"); info.type = tarfile.CHRTYPE; info.devmajor, info.devminor = 1, 3
try: unpack(copy, "/", io.BytesIO(info.tobuf()))
except NotSupported as error: print(error.message)
os.chmod("root/data/deep/file", 0)
try: b"".join(pack(root, "/data"))
except KernelError as error: print(error.message)
os.chmod("root/data/deep", 0o755); os.chmod("copy/data/deep", 0o755)
"""


def test_an_ordinary_user(ordinary_user: User) -> None:
    done = ordinary_user.python(USER)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "mine 0o40555 True",
        "the character device null (1:3) could not be made: the kernel does not permit it",
        "could not read data/deep/file of the container: permission denied",
    ]


def test_gnu_tar_unpacks_it(tree: Path, root: int, tmp_path: Path) -> None:
    if not shutil.which("tar"):
        pytest.skip("no tar here")
    os.link(tree / "etc/hosts", tree / "etc/deep/again")
    os.mkfifo(tree / "etc/fifo")
    (tree / "etc" / os.fsdecode(b"\xff\xfe")).touch()
    (tree / "etc" / ("x" * 200)).touch()
    target = tmp_path / "unpacked"
    target.mkdir()
    done = subprocess.run(
        ["tar", "-x", "-p", "-C", target], input=b"".join(pack(root, "/")), capture_output=True, check=False
    )
    assert done.returncode == 0
    # What POSIX wants before names that are no text; GNU tar takes them for what they are anyway.
    assert all(b"hdrcharset" in line for line in done.stderr.splitlines())
    compared = subprocess.run(["diff", "-r", "--no-dereference", tree, target], capture_output=True, check=False)
    assert b"differ" not in compared.stdout
    assert b"Only in" not in compared.stdout
    assert (target / "etc/hosts").samefile(target / "etc/deep/again")
    for name in ("etc/hosts", "etc/deep", "etc/deep/file"):
        assert (target / name).stat().st_mtime_ns == (tree / name).stat().st_mtime_ns
