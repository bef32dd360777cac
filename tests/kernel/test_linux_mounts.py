"""Real mounts in the tests' own folders: made, seen, changed, and gone again."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelbox.errors import KernelError
from kernelbox.linux import idmap, mounts, overlay
from kernelbox.linux.features import probe
from kernelbox.linux.idmap import IdRange
from kernelbox.native import lib

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.root,
    pytest.mark.skipif(not probe().mount_api, reason="this kernel, or this process in it, has no fsopen and open_tree"),
]

RANGES = [IdRange(0, 700_000, 65_536)]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An empty folder to mount on."""
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


def mounted_on(place: Path) -> list[mounts.MountInfo]:
    return [mount for mount in mounts.mountinfo() if mount.target == str(place)]


def test_a_detached_mount_is_seen_by_its_descriptor_only(place: Path) -> None:
    before = mounts.mountinfo()
    with mounts.detached("tmpfs", {"size": "64k", "mode": "750"}, lib.MOUNT_ATTR_NOSUID) as mount:
        os.mkdir("inside", dir_fd=mount.fileno())
        assert mounts.mountinfo() == before
        assert mount.target is None
        mount.move(place)
        (seen,) = mounted_on(place)
        assert (seen.fstype, "nosuid" in seen.options, "size=64k" in seen.super_options) == ("tmpfs", True, True)
        assert place.stat().st_mode & 0o777 == 0o750
        assert (place / "inside").is_dir()
    assert mounted_on(place) == []


def test_the_kernels_own_words() -> None:
    with pytest.raises(KernelError, match=r"set the mount option nonsense=1.*hint: tmpfs: Unknown parameter"):
        mounts.detached("tmpfs", {"nonsense": "1"})
    with pytest.raises(KernelError, match="could not open the file system nosuchfs: no such device"):
        mounts.detached("nosuchfs")


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Path]:
    """A folder with a mount below it."""
    source = tmp_path / "source"
    (source / "below").mkdir(parents=True)
    (source / "file").write_text("here")
    with mounts.detached("tmpfs") as inner:
        inner.move(source / "below")
        (source / "below/deep").touch()
        yield source


def test_bind(source: Path, place: Path) -> None:
    with mounts.bind(source, place, "ro", "nosuid", "private"):
        assert (place / "file").read_text() == "here"
        assert not (place / "below/deep").exists()
        with pytest.raises(OSError, match="Read-only"):
            (place / "new").touch()
        (source / "new").touch()
    assert mounted_on(place) == []


def test_bind_of_a_tree(source: Path, place: Path) -> None:
    with mounts.bind(source, place, "rbind", "rro", "rprivate"):
        with pytest.raises(OSError, match="Read-only"):
            (place / "below/new").touch()
        (source / "below/new").touch()
    assert mounted_on(place) == []


def test_bind_of_a_file(source: Path, tmp_path: Path) -> None:
    (tmp_path / "target").touch()
    with mounts.bind(source / "file", tmp_path / "target"):
        assert (tmp_path / "target").read_text() == "here"


def test_bind_where_the_target_is_missing(source: Path, place: Path) -> None:
    with pytest.raises(KernelError, match=r"could not attach a mount on .*/missing: no such file"):
        mounts.bind(source, place / "missing")


@pytest.mark.parametrize("options", [("ro",), ("rbind", "ro", "nodev", "private"), ()])
def test_the_older_way_does_the_same(source: Path, place: Path, options: tuple[str, ...]) -> None:
    mounts._bind_by_mount(source, place, mounts.parse_options(options))
    try:
        (seen,) = mounted_on(place)
        assert ("ro" in seen.options) == ("ro" in options)
        assert ("nodev" in seen.options) == ("nodev" in options)
        assert (place / "below/deep").exists() == ("rbind" in options)
    finally:
        while mounted_on(place):
            mounts.unmount(place)


def test_unmounting_what_is_not_mounted(place: Path) -> None:
    with pytest.raises(KernelError, match="could not unmount") as caught:
        mounts.unmount(place)
    assert caught.value.errno == errno.EINVAL


def test_ids_are_mapped(source: Path, place: Path) -> None:
    if not probe().idmapped_mounts:
        pytest.skip("this kernel cannot map the ids of the file system of /")
    os.chown(source / "file", 1000, 1000)
    with idmap.userns(RANGES, RANGES) as namespace, mounts.clone(source) as copy:
        copy.change(userns=namespace.fileno(), propagation=lib.MS_PRIVATE)
        copy.move(place)
        assert (place / "file").stat().st_uid == 701_000
        assert (source / "file").stat().st_uid == 1000


def layers(tmp_path: Path) -> dict[str, Path]:
    folders = {name: tmp_path / name for name in ("top", "base", "upper", "work")}
    for folder in folders.values():
        folder.mkdir()
    (folders["top"] / "a").write_text("top")
    (folders["base"] / "a").write_text("base")
    (folders["base"] / "b").write_text("base")
    return folders


@pytest.mark.parametrize("how", [overlay.detached, overlay.by_path])
def test_overlay(tmp_path: Path, place: Path, how: object) -> None:
    assert callable(how)
    of = layers(tmp_path)
    with how([of["top"], of["base"]], of["upper"], of["work"]) as mount:
        mount.move(place)
        assert (place / "a").read_text() == "top"
        (place / "b").write_text("changed")
        (place / "a").unlink()
        assert (of["upper"] / "b").read_text() == "changed"
        assert (of["base"] / "b").read_text() == "base"
        assert (of["upper"] / "a").is_char_device()  # a whiteout
    assert mounted_on(place) == []


@pytest.mark.parametrize("how", [overlay.detached, overlay.by_path])
def test_overlay_without_upper_is_read_only(tmp_path: Path, place: Path, how: object) -> None:
    assert callable(how)
    of = layers(tmp_path)
    with how([of["top"], of["base"]]) as mount:
        mount.move(place)
        with pytest.raises(OSError, match="Read-only"):
            (place / "new").touch()


def test_overlay_by_descriptors_of_detached_mounts(tmp_path: Path, place: Path) -> None:
    if not probe().overlay_by_fd:
        pytest.skip("this kernel takes no descriptors of detached mounts as overlay layers")
    of = layers(tmp_path)
    with (
        mounts.clone(of["top"]) as top,
        mounts.clone(of["base"]) as base,
        overlay.by_descriptor([top, base], of["upper"], of["work"], [("volatile", None)]) as mount,
    ):
        mount.move(place)
        assert sorted(path.name for path in place.iterdir()) == ["a", "b"]


def test_overlay_that_the_kernel_refuses(tmp_path: Path) -> None:
    of = layers(tmp_path)
    with pytest.raises(KernelError, match="could not mount overlay"):
        overlay.detached([of["top"]], of["upper"], Path("/proc"))


def waiting(*command: str) -> subprocess.Popen[bytes]:
    """A process that has begun, by that command, and ends when its input does."""
    process = subprocess.Popen([*command, "sh", "-c", "echo; read -r _"], stdin=-1, stdout=-1)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def seen_by(process: subprocess.Popen[bytes], place: Path) -> bool:
    return str(place) in [line.split()[4] for line in Path(f"/proc/{process.pid}/mountinfo").read_text().splitlines()]


def test_other_processes_see_it_come_and_go(place: Path) -> None:
    """One beside us, and one in a mount namespace that hears of what is mounted below a shared mount of ours."""
    with mounts.detached("tmpfs") as ground:
        ground.move(place)
        ground.change(propagation=lib.MS_SHARED)
        inner = place / "inner"
        inner.mkdir()
        beside, apart = waiting("env"), waiting("unshare", "--mount", "--propagation", "slave")
        assert not seen_by(beside, inner)
        assert not seen_by(apart, inner)
        with mounts.detached("tmpfs") as mount:
            mount.move(inner)
            assert seen_by(beside, inner)
            assert seen_by(apart, inner)
        assert not seen_by(beside, inner)
        assert not seen_by(apart, inner)
        assert seen_by(beside, place)
        for process in (beside, apart):
            process.communicate(b"\n", timeout=60)
    assert mounted_on(place) == []
