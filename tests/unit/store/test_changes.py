"""`docker diff`: what the upper folder of an overlay says, made by hand and by the kernel."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from kernelbox.errors import InvalidOption, KernelError, NotSupported
from kernelbox.linux import overlay
from kernelbox.linux.descriptor import Descriptor
from kernelbox.store.changes import changes
from kernelbox.store.ownership import IdShift

LAYER = ("etc/hosts", "etc/passwd", "usr/bin/true", "usr/share/doc/readme", "var/log/old")


def opened(path: Path) -> Descriptor:
    return Descriptor(os.open(path, os.O_PATH | os.O_DIRECTORY))


def diff(upper: Path, *lowers: Path, userxattr: bool = True, ids: IdShift | None = None) -> list[str]:
    with ExitStack() as stack:
        top, *rest = (stack.enter_context(opened(path)).fileno() for path in (upper, *lowers))
        return [f"{each.kind} {each.path}" for each in changes(top, rest, userxattr=userxattr, ids=ids)]


def fill(folder: Path, names: Sequence[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


@pytest.fixture
def lower(tmp_path: Path) -> Path:
    return fill(tmp_path / "lower", LAYER)


@pytest.fixture
def upper(tmp_path: Path) -> Path:
    return fill(tmp_path / "upper", ())


def whiteout(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mknod(path, stat.S_IFCHR, 0)


def attribute(path: Path, name: str, value: bytes = b"y") -> None:
    try:
        os.setxattr(path, f"user.overlay.{name}", value)
    except OSError as error:
        pytest.skip(f"{path} takes no extended attributes: {error.strerror}")


def test_nothing(upper: Path, lower: Path) -> None:
    assert diff(upper, lower) == []


def test_added_and_changed_with_the_folders_above(upper: Path, lower: Path) -> None:
    fill(upper, ("etc/hosts", "etc/new", "usr/share/new/deep/file", "zero"))
    assert diff(upper, lower) == [
        "C /etc",
        "C /etc/hosts",
        "A /etc/new",
        "C /usr",
        "C /usr/share",
        "A /usr/share/new",
        "A /usr/share/new/deep",
        "A /usr/share/new/deep/file",
        "A /zero",
    ]


def test_a_folder_on_the_way_to_nothing_is_not_listed(upper: Path, lower: Path) -> None:
    (upper / "usr/share").mkdir(parents=True)
    assert diff(upper, lower) == []


def test_a_folder_whose_mode_was_changed(upper: Path, lower: Path) -> None:
    (upper / "usr/share").mkdir(parents=True)
    (upper / "usr/share").chmod(0o700)
    assert diff(upper, lower) == ["C /usr", "C /usr/share"]


def test_whiteouts(upper: Path, lower: Path) -> None:
    whiteout(upper / "etc/hosts")
    whiteout(upper / "var")
    whiteout(upper / "etc/never-there")
    assert diff(upper, lower) == ["C /etc", "D /etc/hosts", "D /var"]


def test_whiteouts_by_attribute(upper: Path, lower: Path) -> None:
    (upper / "etc").mkdir()
    (upper / "etc/hosts").touch()
    attribute(upper / "etc/hosts", "whiteout")
    assert diff(upper, lower) == ["C /etc", "D /etc/hosts"]


def test_attributes_of_the_other_kind_say_nothing(upper: Path, lower: Path) -> None:
    """A container may set "user." ones itself: in an overlay with "trusted." they must hide nothing."""
    (upper / "etc").mkdir()
    (upper / "etc/hosts").touch()
    attribute(upper / "etc/hosts", "whiteout")
    attribute(upper / "etc", "opaque")
    assert diff(upper, lower, userxattr=False) == ["C /etc", "C /etc/hosts"]


def test_an_opaque_folder_deletes_what_was_in_it(upper: Path, lower: Path) -> None:
    fill(lower, ("usr/share/doc/other",))
    fill(upper, ("usr/share/doc/readme", "usr/more"))
    attribute(upper / "usr", "opaque")
    assert diff(upper, lower) == [
        "C /usr",
        "D /usr/bin",
        "A /usr/more",
        "C /usr/share",
        "C /usr/share/doc",
        "D /usr/share/doc/other",
        "C /usr/share/doc/readme",
    ]


def test_a_folder_in_the_place_of_a_file_and_the_reverse(upper: Path, lower: Path) -> None:
    fill(upper, ("etc/hosts/inside", "usr"))
    assert diff(upper, lower) == ["C /etc", "C /etc/hosts", "A /etc/hosts/inside", "C /usr"]


def test_a_link_in_the_place_of_a_folder_is_not_followed(upper: Path, lower: Path, tmp_path: Path) -> None:
    (lower / "link").symlink_to("etc")
    (upper / "etc").symlink_to(lower / "usr")
    fill(upper, ("link/hosts",))
    assert diff(upper, lower) == ["C /etc", "C /link", "A /link/hosts"]


def test_several_layers(upper: Path, lower: Path, tmp_path: Path) -> None:
    """The middle one deletes a file of the lowest, replaces a folder of it, and has a folder where that has a file."""
    middle = fill(tmp_path / "middle", ("usr/share/only", "var/log/old/now-a-folder"))
    whiteout(middle / "etc/hosts")
    attribute(middle / "usr/share", "opaque")
    fill(upper, ("etc/hosts", "etc/passwd", "usr/share/doc/readme", "usr/share/only", "var/log/old/now-a-folder"))
    assert diff(upper, middle, lower) == [
        "C /etc",
        "A /etc/hosts",
        "C /etc/passwd",
        "C /usr",
        "C /usr/share",
        "A /usr/share/doc",
        "A /usr/share/doc/readme",
        "C /usr/share/only",
        "C /var",
        "C /var/log",
        "C /var/log/old",
        "C /var/log/old/now-a-folder",
    ]


def test_a_renamed_folder_is_not_guessed(upper: Path, lower: Path) -> None:
    (upper / "new").mkdir()
    attribute(upper / "new", "redirect", b"/usr")
    with pytest.raises(NotSupported, match="/new was renamed by overlay itself"):
        diff(upper, lower)


def test_fifos_links_and_names_that_are_no_text(upper: Path, lower: Path) -> None:
    os.mkfifo(upper / "fifo")
    (upper / "link").symlink_to("/etc/passwd")
    (upper / os.fsdecode(b"\xff\xfe")).touch()
    (upper / "line\nbreak").touch()
    assert diff(upper, lower) == ["A /fifo", "A /line\nbreak", "A /link", f"A /{os.fsdecode(bytes([255, 254]))}"]


def test_a_tree_that_is_too_deep(upper: Path, lower: Path) -> None:
    deep = upper.joinpath(*["d"] * 255)
    deep.mkdir(parents=True)
    assert len(diff(upper, lower)) == 255
    (deep / "d").mkdir()
    with pytest.raises(InvalidOption, match="deeper than 256 levels"):
        diff(upper, lower)


def test_what_is_no_folder(lower: Path) -> None:
    with open(lower / "etc/hosts") as file, pytest.raises(KernelError):
        changes(file.fileno(), [], userxattr=True)


@pytest.mark.root
def test_owners_of_the_machine_and_of_the_container(upper: Path, lower: Path) -> None:
    (upper / "etc").mkdir()
    os.chown(upper / "etc", 600_000, 600_000)
    assert diff(upper, lower) == ["C /etc"]
    assert diff(upper, lower, ids=IdShift(600_000, 65_536)) == []
    os.chown(upper / "etc", 600_001, 600_000)
    assert diff(upper, lower, ids=IdShift(600_000, 65_536)) == ["C /etc"]


@pytest.fixture
def mounted(tmp_path: Path, upper: Path, lower: Path) -> Iterator[Callable[[], Path]]:
    """A real overlay of the two, as a path that needs no place to be mounted at."""
    if os.geteuid():
        pytest.skip("needs to be root")
    (tmp_path / "work").mkdir()
    with overlay.detached([lower, tmp_path / "lowest"], upper, tmp_path / "work") as mount:
        yield lambda: Path(f"/proc/self/fd/{mount.fileno()}")


@pytest.fixture(autouse=True)
def _lowest(tmp_path: Path) -> None:
    fill(tmp_path / "lowest", ("lib/libc", "etc/shadow"))


@pytest.mark.kernel
def test_what_the_kernel_writes(mounted: Callable[[], Path], upper: Path, lower: Path, tmp_path: Path) -> None:
    root = mounted()
    (root / "etc/hosts").write_text("other")
    (root / "etc/shadow").unlink()
    (root / "usr/bin/true").chmod(0o4755)
    shutil.rmtree(root / "var")
    shutil.rmtree(root / "usr/share")
    fill(root, ("usr/share/doc/mine", "tmp/made"))
    os.link(root / "lib/libc", root / "lib/other-name")
    (root / "tmp/made").unlink()
    with open(root / "etc/passwd"):
        pass
    assert diff(upper, lower, tmp_path / "lowest", userxattr=False) == [
        "C /etc",
        "C /etc/hosts",
        "D /etc/shadow",
        "C /lib",
        "C /lib/libc",
        "A /lib/other-name",
        "A /tmp",
        "C /usr",
        "C /usr/bin",
        "C /usr/bin/true",
        "C /usr/share",
        "C /usr/share/doc",
        "A /usr/share/doc/mine",
        "D /usr/share/doc/readme",
        "D /var",
    ]
