"""Unpacked layers under the kernel's own overlay: what is seen through them, what is changed there as the next layer,
and a disk that is full."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from layer_archives import Archive
from layer_folders import FOLDER, archive_of, listing, unpack_bytes
from ordinary_user import User

from kernelbox.errors import KernelError
from kernelbox.linux import idmap, mounts, overlay
from kernelbox.linux.descriptor import Descriptor
from kernelbox.linux.features import probe
from kernelbox.linux.idmap import IdRange
from kernelbox.native import check, lib
from kernelbox.store.layer_tree import diff, unpack

CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")

pytestmark = pytest.mark.kernel
with_mounts = pytest.mark.skipif(
    not probe().mount_api, reason="this kernel, or this process in it, has no fsopen and open_tree"
)

BASE = Archive().folder("etc").add("etc/hosts", b"base").add("etc/gone", b"base").folder("full", 0o711)
BASE.add("full/a", b"base").add("full/deep/b", b"base").add("swap/x", b"base").add("tool", b"base", mode=0o4755)
BASE.add("made/x", b"base").symlink("link", "etc/hosts").hard_link("tool2", "tool").add("kept/x", b"base")
TOP = Archive().add("etc/.wh.gone").add("etc/new", b"top").folder("full", 0o700).add("full/.wh..wh..opq")
TOP.add("full/c", b"top").add(".wh.swap").add(".wh.made").folder("made").add("made/y", b"top").add("kept/y", b"top")

CHANGES = """
set -e
cd "$1"
echo changed > etc/hosts; rm etc/new; echo again > etc/gone
rm -r kept; mkdir kept; echo z > kept/z
rm -r made; echo file > made
ln etc/hosts etc/hosts2; ln -s /nowhere etc/link; mkfifo etc/fifo; chmod 1777 full; touch -d @5.123456789 full/c
mkdir -p new/deep; echo n > new/deep/n; chmod 500 new/deep
mv link moved; rm tool2; chmod 2755 tool
truncate -s 1G holes; printf x | dd of=holes bs=1 seek=70000 conv=notrunc status=none
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


@pytest.fixture
def layers(tmp_path: Path) -> list[Path]:
    """The topmost first."""
    unpack_bytes(tmp_path / "top", bytes(TOP))
    unpack_bytes(tmp_path / "base", bytes(BASE))
    return [tmp_path / "top", tmp_path / "base"]


@pytest.mark.root
@with_mounts
def test_what_is_seen_through_layers(layers: list[Path], place: Path) -> None:
    with overlay.detached(layers) as mount:
        mount.move(place)
        seen = {os.fspath(path.relative_to(place)): path for path in place.rglob("*")}
        assert sorted(seen) == [
            "etc", "etc/hosts", "etc/new", "full", "full/c", "kept", "kept/x", "kept/y", "link", "made", "made/y",
            "tool", "tool2",
        ]  # fmt: skip
        assert (place / "full").stat().st_mode & 0o777 == 0o700
        assert (place / "link").read_text() == "base"


@pytest.mark.root
@with_mounts
def test_what_was_changed_is_the_next_layer(layers: list[Path], place: Path, tmp_path: Path) -> None:
    for name in ("upper", "work"):
        (tmp_path / name).mkdir()
    with overlay.detached(layers, tmp_path / "upper", tmp_path / "work") as mount:
        mount.move(place)
        subprocess.run(["sh", "-c", CHANGES, "changes", place], check=True)
        seen = listing(place)
        archive = archive_of(tmp_path / "upper", with_root=True)
    unpack_bytes(tmp_path / "next", archive)
    assert archive_of(tmp_path / "next", with_root=True) == archive
    with overlay.detached([tmp_path / "next", *layers]) as mount:
        mount.move(place)
        again = listing(place)
    assert again == seen
    assert seen["kept/z"]
    assert not {"kept/x", "kept/y", "made/y", "link", "tool2", "etc/new"} & set(seen)


ROOTLESS = """
import os, pathlib, subprocess, sys
sys.path.insert(0, sys.argv[1])
from kernel.test_layer_trees import BASE, CHANGES, TOP
from layer_folders import archive_of, unpack_bytes
from kernelbox.store.layer_tree import Owners

one, home = {"rootless": True, "owners": Owners(one=True)}, pathlib.Path(os.environ["HOME"])
unpack_bytes(home / "base", bytes(BASE), **one)
unpack_bytes(home / "top", bytes(TOP), **one)
for name in ("upper", "work", "place"):
    (home / name).mkdir()

def inside(lower, more, command):
    mount = f"mount -t overlay -o userxattr,lowerdir={lower}{more} overlay place; {command}; umount place; rm -rf work"
    done = subprocess.run(["unshare", "-Urm", "sh", "-ec", mount, "sh"], cwd=home, check=True, stdout=-1, text=True)
    return done.stdout

show = "cd place; find . -type d -printf '%P %m\\\\n' -o -printf '%P %y %m %s %l %T@\\\\n' | sort; cd .."
os.environ["CHANGES"] = CHANGES
seen = inside("top:base", ",upperdir=upper,workdir=work", 'sh -c "$CHANGES" changes place; ' + show)
archive = archive_of(home / "upper", with_root=True, **one)
unpack_bytes(home / "next", archive, **one)
assert archive_of(home / "next", with_root=True, **one) == archive
again = inside("next:top:base", "", show)
assert again == seen, again + seen
print(seen)
"""


def test_an_ordinary_user_sees_and_changes_the_same(container_user: User) -> None:
    done = container_user.python(ROOTLESS, str(Path(__file__).parents[1]))
    assert done.returncode == 0, done.stderr
    names = [line.split()[0] for line in done.stdout.splitlines() if line.strip() and not line.startswith(" ")]
    assert {"kept/z", "full/c", "etc/hosts2", "new/deep/n"} <= set(names)
    assert not {"kept/x", "kept/y", "made/y", "link", "tool2", "etc/new", "full/a", "swap"} & set(names)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounts.detached("tmpfs", [("size", "1m")]) as mount:
        (tmp_path / "disk").mkdir()
        mount.move(tmp_path / "disk")
        yield tmp_path / "disk"


@pytest.mark.root
@with_mounts
def test_a_disk_that_is_full(small_disk: Path) -> None:
    archive = Archive().add("fits", b"1" * 500_000).add("not", b"2" * 600_000).add("never", b"3")
    with pytest.raises(KernelError, match="could not unpack 'not' of a layer: no space left on device") as refused:
        unpack_bytes(small_disk / "root", bytes(archive))
    assert refused.value.errno == errno.ENOSPC
    assert not (small_disk / "root/never").exists()
    shutil.rmtree(small_disk / "root")


def in_namespace(ranges: list[IdRange], work: Callable[[], object]) -> str:
    """What `work` returns as the root of a user namespace with these ids, which a child of ours is."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    with idmap.userns(ranges, ranges) as namespace:
        child = os.fork()
        if not child:
            try:
                check(lib.kb_setns(namespace.fileno(), lib.CLONE_NEWUSER), "enter", "the namespace")
                os.setgroups([])
                os.setresgid(0, 0, 0)
                os.setresuid(0, 0, 0)
                os.write(writer, str(work()).encode())
            except BaseException as error:
                os.write(writer, f"{error!r}".encode())
            finally:
                os._exit(0)
    os.close(writer)
    with open(reader) as file:
        said = file.read()
    os.waitpid(child, 0)
    return said


@pytest.mark.root
def test_the_root_of_a_user_namespace_writes_natural_ids(tmp_path: Path) -> None:
    archive = Archive().folder("d", 0o2755, owner=(1, 2)).add("d/f", b"1", mode=0o4711, owner=(999, 998)).add("d/.wh.x")
    archive.add("d/far", owner=(1000, 5)).device("null", (1, 3)).add("o/.wh..wh..opq")
    archive.add("cap", xattrs={"security.capability": CAPABILITY, "user.x": b"y"})
    with Descriptor(os.memfd_create("archive")) as source, Descriptor(os.memfd_create("again")) as target:
        os.write(source.fileno(), bytes(archive))
        os.lseek(source.fileno(), 0, os.SEEK_SET)
        (tmp_path / "root").mkdir()
        os.chown(tmp_path / "root", 300_000, 300_000)
        with Descriptor(os.open(tmp_path / "root", FOLDER)) as root:

            def work() -> tuple[int, ...]:
                facts = unpack(root.fileno(), source.fileno(), rootless=True)
                diff(root.fileno(), target.fileno(), rootless=True)
                return (facts.owners_folded, facts.devices_left_out, facts.xattrs_left_out)

            assert in_namespace([IdRange(0, 300_000, 1000)], work) == "(1, 1, 0)"
        found = {path.name: (path.lstat().st_uid, path.lstat().st_gid) for path in (tmp_path / "root").rglob("*")}
        assert found.pop("x")  # a whiteout is somebody's
        assert found == {
            "d": (300_001, 300_002), "f": (300_999, 300_998), "far": (300_000, 300_000), "o": (300_000, 300_000),
            "cap": (300_000, 300_000),
        }  # fmt: skip
        assert (tmp_path / "root/d/f").stat().st_mode & 0o7777 == 0o4711
        assert (tmp_path / "root/d/x").is_char_device()
        os.lseek(target.fileno(), 0, os.SEEK_SET)
        with open(target.fileno(), "rb", closefd=False) as opened, tarfile.open(fileobj=opened) as file:
            owners = {each.name: (each.uid, each.gid) for each in file}
            assert file.getmember("cap").pax_headers["SCHILY.xattr.user.x"] == "y"
    assert owners["d/f"] == (999, 998)
    assert owners["d/.wh.x"] == (0, 0)
