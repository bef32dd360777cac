"""Copying into and out of containers whose links lead to the machine's files, and change while it is done."""

from __future__ import annotations

import io
import itertools
import shutil
import tarfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from kernelbox.engine.container import Container
from kernelbox.errors import InvalidOption, KernelBoxError

pytestmark = [pytest.mark.kernel, pytest.mark.root]

Keep = Callable[..., Container]
ROUNDS = 150


def archive(name: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = 5
        entry.mode = 0o4777
        tar.addfile(entry, io.BytesIO(b"mine\n"))
    return stream.getvalue()


def swapping(victim: Path) -> list[str]:
    """A folder that is by turns a folder with a file in it and a link to `victim`, where only the machine has one."""
    turn = f"mv /swap /own; ln -s {victim} /swap; rm /swap; mv /own /swap"
    return ["sh", "-c", f"mkdir /swap; echo own > /swap/file; while :; do {turn}; done"]


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_a_link_to_the_machine(keep: Keep, victim: Path, running: bool) -> None:
    container = keep()
    container.exec(["sh", "-c", f"ln -s {victim} /swap; ln -s /swap/file /file"])
    if not running:
        container.stop(timeout=0)
    for path in ("/swap/file", "/swap/", "/file/.", f"/../..{victim}/file"):
        with pytest.raises(KernelBoxError):
            b"".join(container.get_archive(path)[0])
    with pytest.raises(KernelBoxError):
        container.put_archive("/swap", archive("file"))
    container.put_archive("/", archive("file"))  # in the place of the link
    assert b"mine" in b"".join(container.get_archive("/file")[0])


@pytest.mark.parametrize("whole", ["/swap", "/swap/file", "/"])
def test_it_comes_and_goes_while_something_is_copied_out(keep: Keep, victim: Path, whole: str) -> None:
    container = keep(swapping(victim))
    for number in range(ROUNDS if whole != "/" else 3):
        with suppress(KernelBoxError):
            assert b"secret of the machine" not in b"".join(container.get_archive(whole)[0]), number


def test_it_comes_and_goes_while_something_is_copied_in(keep: Keep, victim: Path) -> None:
    container = keep(swapping(victim))
    done = 0
    for number in range(ROUNDS):
        with suppress(KernelBoxError):
            container.put_archive("/swap", archive(f"new{number % 5}"))
            done += 1
    assert done
    assert not [path for path in victim.iterdir() if path.name != "file"]


@pytest.mark.parametrize("name", ["../../up", "a/../../../up", "/../../up"])
def test_names_that_lead_out(keep: Keep, tmp_path: Path, name: str) -> None:
    container = keep()
    before = sorted(container.folder.path.iterdir())
    with suppress(InvalidOption):
        container.put_archive("/tmp", archive(name))
    assert sorted(container.folder.path.iterdir()) == before
    assert not list(itertools.chain(tmp_path.rglob("up"), Path("/").glob("up")))


def test_links_in_the_volume_of_one_that_is_stopped(keep: Keep, victim: Path) -> None:
    links = f"ln -s {victim} /v/link; ln -s {victim}/file /v/file; ln -s ../../../..{victim} /v/up"
    container = keep(["sh", "-c", links], volumes=["/v"])
    container.wait()
    for path in ("/v/link/file", "/v/link/", "/v/file/.", "/v/up/file"):
        with pytest.raises(KernelBoxError):
            b"".join(container.get_archive(path)[0])
    for path in ("/v/link", "/v/up"):
        with pytest.raises(KernelBoxError):
            container.put_archive(path, archive("file"))


def test_a_link_on_the_way_to_the_volume_of_one_that_is_stopped(keep: Keep, victim: Path) -> None:
    """The volume is then in the container's own files, where the link leads beneath its root."""
    container = keep(["true"], volumes=["/data/v"])
    container.wait()
    upper = container.folder.path / "upper"
    shutil.rmtree(upper / "data")
    (upper / "data").symlink_to(victim)
    container.put_archive("/data/v", archive("mine"))
    assert (upper / str(victim).lstrip("/") / "v").is_dir()
    assert b"mine" in b"".join(container.get_archive(f"{victim}/v/mine")[0])


@pytest.mark.parametrize("path", ["/proc/1/root/etc/passwd", "/proc/self/root", "/proc/1/cwd/etc", "/proc/self/fd/7"])
def test_links_of_procs_are_not_followed(keep: Keep, path: str) -> None:
    """They would be those of the engine's process, or lead past the container's root."""
    container = keep()
    container.exec(["ln", "-s", path, "/link"])
    for each in (f"{path}/", "/link/"):
        with pytest.raises(KernelBoxError):
            b"".join(container.get_archive(each)[0])


def test_nothing_waits_for_what_never_answers(keep: Keep) -> None:
    """A FIFO is copied as one, not read."""
    container = keep()
    container.exec(["sh", "-c", "mkdir /d; mkfifo /d/fifo; ln -s /dev/zero /d/zero; ln -s /d/fifo /d/link"])
    with tarfile.open(fileobj=io.BytesIO(b"".join(container.get_archive("/d")[0]))) as tar:
        assert {entry.name: (entry.isfifo(), entry.issym()) for entry in tar if not entry.isdir()} == {
            "d/fifo": (True, False), "d/zero": (False, True), "d/link": (False, True),
        }  # fmt: skip
    with pytest.raises(KernelBoxError):
        container.put_archive("/d/fifo", archive("file"))
