"""A store that cannot take what it is given: a sentence that says so, and everything as before once there is room."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import leaks
import ordinary_user
import pytest
from faults.monitors import groups_of, monitors_of
from waiting import wait_until

from kernelbox import Engine
from kernelbox.errors import KernelBoxError, KernelError, StartError, StoreError
from kernelbox.linux import cgroups

pytestmark = [pytest.mark.kernel, pytest.mark.root, pytest.mark.usefixtures("orphans")]

Mounted = Callable[[str], Path]


@pytest.fixture
def image(busybox_rootfs: Path) -> str:
    return f"dir:{busybox_rootfs}"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Mounted]:
    """A store's place on a file system of its own: the options say how much it holds."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options: str) -> Path:
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "small", place], check=True)
        return place

    yield mount
    subprocess.run(["umount", place], check=True)


def fill(disk: Path) -> Path:
    """A file that takes all the room there is."""
    path = disk / "filler"
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(65536)):
            pass
    return path


def make_read_only(disk: Path, option: str = "ro") -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", disk], check=True)


def works(box: Engine, image: str) -> None:
    run = box.run(image, ["sh", "-c", "echo well > /file; cat /file"])
    assert (run.exit_code, run.stdout, run.stderr) == (0, "well\n", "")
    assert not list(box.paths.containers.iterdir())


def test_the_disk_is_full_before_a_run(small_disk: Mounted, image: str) -> None:
    disk = small_disk("size=1m")
    with Engine(root=disk / "store") as box:
        works(box, image)
        box._open().wait_swept()
        filler = fill(disk)
        with pytest.raises(StartError, match=r"step \d+ of \d+: could not write \w+: no space left on device"):
            box.run(image, ["true"])
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


def test_a_store_becomes_read_only(small_disk: Mounted, image: str) -> None:
    disk = small_disk("size=2m")
    with Engine(root=disk / "store") as box:
        works(box, image)
        box._open().wait_swept()
        make_read_only(disk)
        with pytest.raises(StartError, match=r"could not make the folder .*: read-only file system"):
            box.run(image, ["true"])
        make_read_only(disk, "rw")
        works(box, image)


@pytest.mark.parametrize("options", ["size=4k,nr_inodes=1", "ro"])
def test_a_store_that_cannot_be_made(small_disk: Mounted, image: str, options: str) -> None:
    disk = small_disk(options)
    with (
        Engine(root=disk / "store") as box,
        pytest.raises(StoreError, match=r"could not prepare the store at .*: (No space left|Read-only file system)") as no,
    ):
        box.run(image, ["true"])
    assert "KERNELBOX_ROOT" in str(no.value)


def test_a_store_on_a_disk_that_is_full_from_the_start(small_disk: Mounted, image: str) -> None:
    disk = small_disk("size=64k,nr_inodes=4")  # "/", the store and its two folders
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
    assert "StoreError: could not prepare the store at /var/lib: Permission denied (hint: set KERNELBOX_ROOT" in last


def test_no_process_can_be_made(engine: Engine, image: str) -> None:
    works(engine, image)
    (monitor,) = monitors_of(engine.paths.root)
    with cgroups.create("kernelbox-tests-fork", cgroups.Limits(pids=1)) as group:
        group.attach(monitor)
        with pytest.raises(
            StartError, match=r"could not start a process in new namespaces: .*: resource temporarily unavailable"
        ):
            engine.run(image, ["true"])
        assert not groups_of(engine.paths.root)
    wait_until(lambda: not monitors_of(engine.paths.root))  # leaving the group ended it
    works(engine, image)


def test_no_monitor_can_be_started(engine: Engine, image: str) -> None:
    code = (
        "import os, kernelbox as kb\n"
        "from kernelbox.linux import cgroups\n"
        "box = kb.Engine(); box._open()\n"
        "for root in (g.path for g in group_of()): (root / 'cgroup.procs').write_text('0')\n"
    )
    del code
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            with contextlib.suppress(KernelError), Engine(root=engine.paths.root) as box:
                monitor = box._open()
                _limit_myself_to_one_process()
                try:
                    monitor.take()
                except KernelError as error:
                    said = "could not start the monitor: resource temporarily unavailable" in str(error)
                    status = 0 if said else 2
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    for folder in _groups_of_one():
        folder.rmdir()
    assert os.waitstatus_to_exitcode(status) == 0
    works(engine, image)


def _groups_of_one() -> list[Path]:
    groups = cgroups.detect().groups("kernelbox-tests-one", cgroups.Limits(pids=1))
    return [group.path for group in groups if "pids" in group.controllers]


def _limit_myself_to_one_process() -> None:
    for folder in _groups_of_one():
        folder.mkdir()
        (folder / "pids.max").write_text("1")
        (folder / "cgroup.procs").write_text("0")
