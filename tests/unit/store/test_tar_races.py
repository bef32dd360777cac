"""A container that swaps what we look at, while we look at it: nothing outside is ever read, written or waited for."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from waiting import wait_until

from kernelbox.errors import KernelBoxError
from kernelbox.linux.descriptor import Descriptor
from kernelbox.store import inside
from kernelbox.store.tar_in import unpack
from kernelbox.store.tar_out import pack

SECRET = b"of the machine"
ROUNDS = 150

SWAPPER = """
import ctypes, errno, os, select, sys
libc, pairs = ctypes.CDLL(None, use_errno=True), [os.fsencode(name) for name in sys.argv[1:]]
print("ready", flush=True)
while not select.select([0], [], [], 0)[0]:
    for _ in range(200):
        for one, other in zip(pairs[::2], pairs[1::2]):
            # RENAME_EXCHANGE; a name that a test has removed comes back
            if libc.renameat2(-100, one, -100, other, 2) and ctypes.get_errno() != errno.ENOENT:
                raise OSError(ctypes.get_errno(), "renameat2")
"""


@contextmanager
def swapping(*pairs: Path) -> Iterator[None]:
    """Each two names exchange what they name, again and again, until the end of the block."""
    command = [sys.executable, "-c", SWAPPER, *map(str, pairs)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        try:
            assert process.stdout.readline() == b"ready\n"
            yield
            assert process.poll() is None, "the swapper has ended by itself"
        finally:
            process.communicate(b"end")
    assert process.returncode == 0


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A container's root with a folder and a link out of it, a file and a link, a file and a FIFO, to be swapped."""
    outside, root = tmp_path / "outside", tmp_path / "root"
    for folder in (outside, root / "data/folder"):
        folder.mkdir(parents=True)
    (outside / "file").write_bytes(SECRET)
    for name in ("folder/file", "file", "other-file"):
        (root / "data" / name).write_bytes(b"inside")
    (root / "data/link-to-folder").symlink_to(outside)
    (root / "data/up-to-folder").symlink_to("../../outside")
    (root / "data/link-to-file").symlink_to(outside / "file")
    os.mkfifo(root / "data/fifo")
    return root


@pytest.fixture
def root(tree: Path) -> Iterator[int]:
    outside = tree.parent / "outside"
    before = [path.stat()[:9] for path in (outside, outside / "file")]
    with Descriptor(os.open(tree, os.O_PATH | os.O_DIRECTORY)) as descriptor:
        yield descriptor.fileno()
    assert [path.stat()[:9] for path in (outside, outside / "file")] == before
    assert os.listdir(outside) == ["file"]
    assert (outside / "file").read_bytes() == SECRET


def until_both(attempt: Callable[[], str], first: str, second: str) -> None:
    """Repeats the attempt, at least ROUNDS times, until each outcome has been seen: else nothing was swapped."""
    seen = {attempt() for _ in range(ROUNDS)}

    def both() -> bool:
        seen.add(attempt())
        return {first, second} <= seen

    wait_until(both, f"{first} and {second}: nothing was swapped")


@pytest.mark.parametrize("swapped", ["link-to-folder", "up-to-folder"])
@pytest.mark.parametrize("path", ["/data/folder/", "/data/folder/.", "/data/folder/file", "/", "/data"])
def test_a_folder_that_is_a_link_at_times_is_packed(tree: Path, root: int, swapped: str, path: str) -> None:
    def attempt() -> str:
        try:
            archive = b"".join(pack(root, path))
        except KernelBoxError:
            return "not inside"
        assert SECRET not in archive
        with tarfile.open(fileobj=io.BytesIO(archive)) as found:
            return "not inside" if any(each.issym() and each.name.endswith("/folder") for each in found) else "inside"

    with swapping(tree / "data/folder", tree / "data" / swapped):
        until_both(attempt, "inside", "not inside")


def test_a_file_that_is_a_link_or_a_fifo_at_times_is_packed(tree: Path, root: int) -> None:
    def attempt() -> str:
        archive = b"".join(pack(root, "/"))
        assert SECRET not in archive
        with tarfile.open(fileobj=io.BytesIO(archive)) as found:
            kinds = {each.name: each.type for each in found}
        assert kinds["data/file"] in (tarfile.REGTYPE, tarfile.SYMTYPE)
        assert kinds["data/other-file"] in (tarfile.REGTYPE, tarfile.FIFOTYPE)
        return f"{kinds['data/file']!r}"

    data = tree / "data"
    with swapping(data / "file", data / "link-to-file", data / "other-file", data / "fifo"):
        until_both(attempt, f"{tarfile.REGTYPE!r}", f"{tarfile.SYMTYPE!r}")


def written(*names: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.mode = 0o640
            if name.endswith("/"):
                info.type = tarfile.DIRTYPE
            elif name.endswith("-fifo"):
                info.type = tarfile.FIFOTYPE
            elif name.endswith("-hard"):
                info.type, info.linkname = tarfile.LNKTYPE, "folder/file"
            info.size = 7 if info.isreg() else 0
            archive.addfile(info, io.BytesIO(b"written"))
    return buffer.getvalue()


@pytest.mark.parametrize("swapped", ["link-to-folder", "up-to-folder"])
@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/data/folder", ("file", "new", "new-fifo", "sub/", "sub/new")),
        ("/data", ("folder/file", "folder/new", "folder/new-fifo", "folder/a/b/c", "folder/sub/", "folder/sub/new")),
        ("/", ("data/folder/file", "data/folder/new", "data/folder/sub/deep/er/")),
        ("/data", ("folder/new-hard", "folder/file", "new-hard")),
    ],
)
def test_a_folder_that_is_a_link_at_times_is_unpacked_into(
    tree: Path, root: int, swapped: str, path: str, names: tuple[str, ...]
) -> None:
    archive = written(*names)

    def attempt() -> str:
        try:
            unpack(root, path, io.BytesIO(archive))
        except KernelBoxError:
            return "refused"
        return "done"

    with swapping(tree / "data/folder", tree / "data" / swapped):
        until_both(attempt, "done", "refused")


def test_a_name_that_is_a_link_at_times_is_replaced(tree: Path, root: int) -> None:
    data, fresh = tree / "data", tree / "fresh"
    with swapping(data / "file", data / "link-to-file", data / "other-file", data / "fifo"):
        for _ in range(ROUNDS):
            unpack(root, "/data", io.BytesIO(written("file", "other-file")))
            fresh.symlink_to(tree.parent / "outside/file")
            fresh.rename(data / "link-to-file")
            os.mkfifo(fresh)
            fresh.rename(data / "fifo")


@pytest.mark.parametrize("target", ["../../../outside", "absolute"])
def test_a_folder_that_is_a_link_at_times_is_removed(tree: Path, root: int, target: str) -> None:
    top = tree / "data/top"

    def attempt() -> bool:
        (top / "folder").mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            (top / "link").symlink_to(tree.parent / "outside" if target == "absolute" else target)
        with suppress(OSError):  # a folder was expected, or a link, and it was the other one by then
            inside.remove(root, "data/top")
        return not top.exists()

    with swapping(top / "folder", top / "link"):
        for _ in range(ROUNDS):
            attempt()
        wait_until(attempt, "never removed")
