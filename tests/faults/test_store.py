"""A store that cannot take what it is given: a sentence that says so, and everything as before once there is room."""

from __future__ import annotations

import contextlib
from pathlib import Path

import leaks
import ordinary_user
import pytest
from faults.monitors import groups_of
from faults.small_disks import Mounted, fill

from kernelbox import Engine
from kernelbox.errors import KernelBoxError, StartError, StoreError

pytestmark = [pytest.mark.kernel, pytest.mark.root, pytest.mark.usefixtures("orphans")]


@pytest.fixture
def image(busybox_rootfs: Path) -> str:
    return f"dir:{busybox_rootfs}"


def works(box: Engine, image: str) -> None:
    run = box.run(image, ["sh", "-c", "echo well > /file; cat /file"])
    assert (run.exit_code, run.stdout, run.stderr) == (0, "well\n", "")
    assert not list(box.paths.containers.iterdir())


def test_the_disk_is_full(small_disk: Mounted, image: str) -> None:
    disk = small_disk("size=1m")
    with Engine(root=disk / "store") as box:
        works(box, image)
        box._open().wait_swept()
        filler = fill(disk)
        run = box.run(image, ["sh", "-c", "echo much > /file"])
        assert run.exit_code == 1
        assert "No space left on device" in run.stderr
        assert not groups_of(disk / "store")
        filler.unlink()
        works(box, image)


def test_no_more_files_can_be_made(small_disk: Mounted, image: str) -> None:
    disk = small_disk("size=4m,nr_inodes=30")
    with Engine(root=disk / "store") as box:
        works(box, image)
        box._open().wait_swept()
        fillers = [disk / str(number) for number in range(30)]
        with contextlib.suppress(OSError):
            for filler in fillers:
                filler.touch()
        with pytest.raises(StartError, match=r"step \d+ of \d+: could not make the folder .*: no space left on device"):
            box.run(image, ["true"])
        for filler in fillers:
            filler.unlink(missing_ok=True)
        works(box, image)


def test_a_container_fills_the_disk(small_disk: Mounted, image: str) -> None:
    disk = small_disk("size=2m")
    with Engine(root=disk / "store") as box:
        run = box.run(image, ["sh", "-c", "dd if=/dev/zero of=/file bs=65536; echo still $?"])
        assert (run.exit_code, run.stdout) == (0, "still 1\n")
        assert "No space left on device" in run.stderr
        box._open().wait_swept()
        works(box, image)


def test_a_container_nests_folders_without_end(engine: Engine, image: str) -> None:
    """Deeper than anybody has descriptors or stack for. Each move puts the tree made so far into a new folder."""
    script = "cd /tmp; mkdir a; for i in $(seq 2500); do mkdir b && mv a b/a && mv b a || exit 1; done"
    assert engine.run(image, ["sh", "-c", script]).exit_code == 0
    engine._open().wait_swept()
    assert not leaks.left_in_store(engine.paths.root)


@pytest.mark.parametrize("options", ["size=4k,nr_inodes=1", "ro"])
def test_a_store_that_cannot_be_made(small_disk: Mounted, image: str, options: str) -> None:
    disk = small_disk(options)
    with (
        Engine(root=disk / "store") as box,
        pytest.raises(
            StoreError, match=r"could not prepare the store at .*: (No space left|Read-only file system)"
        ) as no,
    ):
        box.run(image, ["true"])
    assert "KERNELBOX_ROOT" in str(no.value)


def test_a_store_on_a_disk_that_is_full_from_the_start(small_disk: Mounted, image: str) -> None:
    disk = small_disk("size=64k,nr_inodes=5")  # "/", the store and its three folders
    with Engine(root=disk / "store") as box, pytest.raises(KernelBoxError, match="no space left on device"):
        box.run(image, ["true"])


def test_a_store_in_the_place_of_a_file(tmp_path: Path, image: str) -> None:
    (tmp_path / "store").touch()
    with Engine(root=tmp_path / "store") as box, pytest.raises(StoreError, match="could not prepare the store at"):
        box.run(image, ["true"])


def test_somebody_elses_store(store: Path, image: str, ordinary_user: ordinary_user.User) -> None:
    with Engine(root=store) as box:
        works(box, image)
        code = "import kernelbox as kb; kb.Engine().run('host', ['true'])"
        done = ordinary_user.python(code, KERNELBOX_ROOT="/var/lib")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "StoreError: /var/lib belongs to somebody else (user id 0) (hint: set KERNELBOX_ROOT" in last
