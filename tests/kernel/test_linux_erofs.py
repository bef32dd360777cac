"""Images of layers, really mounted: what is in them is what was in the archive, alone, below an overlay, and with ids
mapped."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import layer_forms
import ordinary_user as users
import pytest
from layer_archives import Archive

from kernelbox.errors import KernelError
from kernelbox.linux import erofs, idmap, mounts, overlay
from kernelbox.linux.features import probe
from kernelbox.linux.idmap import IdRange
from kernelbox.native import lib
from kernelbox.store import layer_erofs

Mounting = Callable[[Path], mounts.Mount]


@pytest.fixture(scope="module", autouse=True)
def images_can_be_mounted(tmp_path_factory: pytest.TempPathFactory) -> None:
    if not erofs.supported(tmp_path_factory.mktemp("erofs")):
        pytest.skip("this kernel mounts no EROFS images, or not for this process")


pytestmark = [pytest.mark.kernel, pytest.mark.root]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An empty folder to mount on."""
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


def write(archive: Path | Archive, image: Path) -> Path:
    if isinstance(archive, Archive):
        archive, content = image.with_suffix(".tar"), bytes(archive)
        archive.write_bytes(content)
    with archive.open("rb") as source, image.open("w+b") as target:
        layer_erofs.write(target.fileno(), source.fileno())
    return image


def loop_devices(image: Path) -> list[str]:
    """Those that read the file."""
    found = []
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            if backing.read_text().strip() == str(image):
                found.append(backing.parts[3])
        except FileNotFoundError:  # released meanwhile
            continue
    return found


def by_file(image: Path) -> mounts.Mount:
    try:
        return erofs.by_file(image)
    except KernelError as error:
        if error.errno == errno.ENOTBLK:
            pytest.skip("this kernel mounts no files themselves")
        raise


def by_loop_device(image: Path) -> mounts.Mount:
    if not Path("/dev/loop-control").exists():
        pytest.skip("there are no loop devices here")
    return erofs.by_loop_device(image)


HOWS = pytest.mark.parametrize("how", [by_file, by_loop_device])


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that one can hold, and much of it."""
    top = tmp_path_factory.mktemp("tree") / "top"
    standard = Path(os.__file__).parent
    shutil.copytree(standard / "email", top / "email")
    shutil.copytree(standard / "encodings", top / "encodings")
    for size in (0, 1, 1984, 1985, 4096, 4097, 1_000_000):
        (top / f"file{size}").write_bytes(os.urandom(size))
    (top / "many").mkdir()
    for number in range(1000):
        (top / "many" / f"{number}-{'n' * (number % 200)}").touch()
    (top / "many/0-").unlink()
    os.link(top / "file1", top / "many/hard")
    (top / "link").symlink_to("many/hard")
    (top / "long").symlink_to("x" * 4080)
    os.mkfifo(top / "fifo", 0o640)
    os.mknod(top / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(top / "disk", stat.S_IFBLK | 0o660, os.makedev(259, 70_000))
    (top / "empty").mkdir(0o1777)
    with (top / "holes").open("wb") as file:
        for at in (0, 100_000, 3_000_000):
            file.seek(at)
            file.write(b"here")
        file.truncate(9_000_000)
    for name in ("file4097", "many"):
        os.setxattr(top / name, "user.of", name.encode() * 10)
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    os.setxattr(top / "file1985", "security.capability", capability)
    os.chown(top / "email", 1000, 100)
    os.chown(top / "link", 70_000, 3_000_000, follow_symlinks=False)
    (top / "file4096").chmod(0o6711)
    os.utime(top / "file0", ns=(0, 1_700_000_000_123_456_789))
    os.utime(top, ns=(0, 987_654_321))
    return top


@pytest.fixture(scope="module")
def image(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("image")
    command = ["tar", "-C", tree, "--format=posix", "--sparse", "--xattrs", "--xattrs-include=*", "-cf"]
    subprocess.run([*command, folder / "tar", "."], check=True)
    return write(folder / "tar", folder / "image")


@HOWS
def test_all_of_it_is_there(how: Mounting, tree: Path, image: Path, place: Path) -> None:
    with how(image) as mount:
        mount.move(place)
        assert layer_forms.in_folder(place) == layer_forms.in_folder(tree)
        assert (place.stat().st_mtime_ns, place.stat().st_mode) == (987_654_321, tree.stat().st_mode)
        assert (place / "file1").stat().st_nlink == 2
        assert place.stat().st_nlink == tree.stat().st_nlink
        assert image.stat().st_size < (place / "holes").stat().st_size, "holes take no room"
        assert shutil.disk_usage(place).total == image.stat().st_size


@HOWS
def test_a_mount_is_read_only_and_gives_no_rights(how: Mounting, image: Path, place: Path) -> None:
    with how(image) as mount:
        mount.move(place)
        with pytest.raises(OSError, match="Read-only"):
            (place / "new").touch()
        with pytest.raises(PermissionError):
            (place / "null").read_bytes()
        (seen,) = [each for each in mounts.mountinfo() if each.target == str(place)]
        assert {"nosuid", "nodev"} <= set(seen.options)
        assert (seen.fstype, "ro" in seen.super_options) == ("erofs", True)


def test_a_loop_device_goes_with_its_mount(image: Path) -> None:
    with by_loop_device(image) as mount:
        assert "file0" in os.listdir(f"/proc/self/fd/{mount.fileno()}")
        assert len(loop_devices(image)) == 1
    assert loop_devices(image) == []


def test_a_file_system_without_pages_gets_a_loop_device(image: Path, place: Path) -> None:
    with mounts.detached("tmpfs") as memory:
        memory.move(place)
        copy = shutil.copy(image, place / "image")
        with pytest.raises(KernelError) as caught:
            erofs.by_file(copy)
        assert caught.value.errno == errno.ENOTBLK
        if Path("/dev/loop-control").exists():
            assert erofs.supported(place)
            with erofs.mount(copy) as mount:
                assert os.stat("file1985", dir_fd=mount.fileno()).st_size == 1985


def test_a_long_path(image: Path, tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d" * 100] * 3)
    deep.mkdir(parents=True)
    with erofs.mount(shutil.copy(image, deep / "image")) as mount:
        assert os.stat("file1985", dir_fd=mount.fileno()).st_size == 1985


def test_what_is_no_image(image: Path, tmp_path: Path) -> None:
    damaged = bytearray(image.read_bytes())
    damaged[1024 + 50] ^= 1
    (tmp_path / "damaged").write_bytes(damaged)
    (tmp_path / "empty").touch()
    (tmp_path / "words").write_bytes(b"words" * 9999)
    for name in ("damaged", "empty", "words"):
        with pytest.raises(KernelError, match="could not mount erofs"):
            erofs.mount(tmp_path / name)
        assert loop_devices(tmp_path / name) == []
    with pytest.raises(KernelError, match="no such file"):
        erofs.mount(tmp_path / "missing")


def test_an_ordinary_user_mounts_nothing(ordinary_user: users.User) -> None:
    done = ordinary_user.python(
        "from pathlib import Path; from kernelbox.linux import erofs; print(erofs.supported(Path.home()))"
    )
    assert done.stdout == "False\n"


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """Images of a layer, which hides much of the one below it, and of that one."""
    base = Archive().folder("kept").add("kept/a", b"base", owner=(7, 8)).folder("gone").add("gone/x", b"base")
    base.folder("new").add("new/old", b"base").add("file", b"base").symlink("link", "file").folder("again")
    base.add("again/old", b"base").folder("merged", 0o700).add("merged/old", b"base")
    top = Archive().add(".wh.gone").folder("new").add("new/.wh..wh..opq").add("new/own", b"top")
    top.add("kept/b", b"top").add(".wh.file").add(".wh.link").folder("file").add("file/x", b"top")
    top.add(".wh.again").folder("again").add("again/own", b"top").folder("merged", 0o711).add("merged/.wh.old")
    return write(top, tmp_path / "top"), write(base, tmp_path / "base")


def seen(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


MERGED = {"kept", "kept/a", "kept/b", "new", "new/own", "file", "file/x", "again", "again/own", "merged"}


def as_it_is(layer: mounts.Mount) -> None:
    """No change."""


@pytest.fixture
def over(tmp_path: Path, place: Path) -> Iterator[Callable[..., None]]:
    """Mounts an overlay of images on `place`, the topmost first; `change` is done to each before."""
    for name in ("upper", "work"):
        (tmp_path / name).mkdir(0o755)
    with ExitStack() as opened:

        def overlay_of(
            *images: Path, how: Mounting = erofs.mount, change: Callable[[mounts.Mount], object] = as_it_is
        ) -> None:
            layers = [opened.enter_context(how(image)) for image in images]
            for number, layer in enumerate(layers):
                change(layer)
                if not probe().overlay_by_fd:  # then layers have to be somewhere
                    (tmp_path / f"layer{number}").mkdir()
                    layer.move(tmp_path / f"layer{number}")
            lower = [layer.target or layer for layer in layers]
            merged = overlay.detached(lower, tmp_path / "upper", tmp_path / "work")
            opened.enter_context(merged).move(place)

        yield overlay_of


@HOWS
def test_an_overlay_of_images(how: Mounting, two: tuple[Path, Path], over: Callable[..., None], place: Path) -> None:
    over(*two, how=how)
    assert seen(place) == MERGED
    assert (place / "kept/a").read_text() == "base"
    assert (place / "merged").stat().st_mode & 0o777 == 0o711
    (place / "kept/a").write_text("changed")
    (place / "new/own").unlink()
    (place / "kept/b").rename(place / "moved")
    assert (place / "kept/a").read_text() == "changed"
    assert seen(place) == MERGED - {"new/own", "kept/b"} | {"moved"}


def test_an_overlay_of_images_with_ids_mapped(two: tuple[Path, Path], over: Callable[..., None], place: Path) -> None:
    ranges = [IdRange(0, 700_000, 65_536)]
    with idmap.userns(ranges, ranges) as namespace:

        def change(layer: mounts.Mount) -> None:
            try:
                layer.change(userns=namespace.fileno(), propagation=lib.MS_PRIVATE)
            except KernelError as error:
                pytest.skip(f"this kernel maps no ids of images: {error}")

        over(*two, change=change)
    assert seen(place) == MERGED
    about = (place / "kept/a").stat()
    assert (about.st_uid, about.st_gid) == (700_007, 700_008)
    assert (place / "merged").stat().st_uid == 700_000


PROGRAM = Path(shutil.which("id") or "/usr/bin/id").resolve()


def test_set_user_id_programs_work_above_an_image(tmp_path: Path, over: Callable[..., None], place: Path) -> None:
    """The overlay decides, not the mounts below it."""
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(folder.stat().st_mode | 0o011)
    over(write(Archive().add("id", PROGRAM.read_bytes(), mode=0o4755), tmp_path / "image"))
    done = subprocess.run([place / "id", "-u"], user=65534, capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"


def test_the_formats_own_program_extracts_the_same(tree: Path, image: Path, tmp_path: Path) -> None:
    if not shutil.which("fsck.erofs"):
        pytest.skip("fsck.erofs is not installed")
    target = tmp_path / "extracted"
    subprocess.run(["fsck.erofs", "--preserve", f"--extract={target}", image], check=True, stdout=sys.stderr)

    def comparable(folder: Path) -> dict[bytes, tuple[object, ...]]:
        """Without what some versions of it lose: attributes, set-id bits, where holes are, and that names are links."""
        found = {name: each for name, each in layer_forms.in_folder(folder).items() if name != b"holes"}
        return {name: (each.mode & ~0o6000, each.uid, each.device, each.content) for name, each in found.items()}

    assert comparable(target) == comparable(tree)
