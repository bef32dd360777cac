"""Images through an engine, and kill -9 at any moment of a load, a pull and a prune; pulls, prunes and runs at once; a
disk that is full. After each: what shows is whole and runs, the same can be done again, and at the end nothing is left.

KERNELBOX_SEEDS says how many moments of each are tried (5)."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import image_archives
import pytest
from faults.small_disks import Mounted, fill
from image_archives import Picture
from layer_archives import Archive

from kernelbox import Engine
from kernelbox.errors import KernelBoxError
from kernelbox.registry.server.serving import registry

pytestmark = [pytest.mark.kernel, pytest.mark.root]

MOMENTS = int(os.environ.get("KERNELBOX_SEEDS", "5"))
TESTS = Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join((str(TESTS), str(TESTS.parent)))}

WORKS = """
import os, sys
import kernelbox as kb
from faults.image_works import Killer
from kernelbox.errors import Conflict, ImageNotFound
root, work, at, archive, name = sys.argv[1:]
box, killer = kb.Engine(root=root), Killer(int(at))
box.opened()
killer.start()
if work == "load":
    box.images.load(archive)
elif work == "pull":
    box.images.pull(name)
elif work == "tag":
    box.images.tag("base:1", "lab:1")
elif work == "prune":
    box.images.remove("base:1")
    box.images.prune(all=True)
killer.stop()
print(killer.count)
"""


@pytest.fixture(scope="module")
def base(busybox_rootfs: Path) -> Picture:
    return Picture([image_archives.of_folder(busybox_rootfs)], {"Cmd": ["echo", "well"]})


@pytest.fixture(scope="module")
def lab(base: Picture) -> Picture:
    return Picture([*base.layers, Archive().add("version", b"one"), Archive().add("more", b"x" * 5000)], base.config)


def works(root: Path, work: str, at: int, archive: Path, name: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WORKS, root, work, str(at), archive, name]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)


def is_sound(box: Engine) -> None:
    for image in box.images.list():
        assert box.run(image.id).stdout == "well\n", image


def is_emptied(box: Engine) -> None:
    for image in box.images.list():
        box.images.remove(image.id, force=True)
    box.images.prune(all=True)
    store = box.images.store
    assert (list(store.blobs.every()), list(store.layers.every())) == ([], [])
    left = [path for where in ("blobs", "layers") for path in box.paths.root.glob(f"{where}/*/*")]
    assert left == []
    assert not list(box.paths.root.glob("images/*/*"))


@pytest.mark.usefixtures("orphans")
@pytest.mark.parametrize("work", ["load", "pull", "tag", "prune"])
def test_killed_at_any_moment(store: Path, tmp_path: Path, base: Picture, lab: Picture, work: str) -> None:
    archive, chance = tmp_path / "lab.tar", random.Random(work)
    archive.write_bytes(lab.layout("lab:1"))
    with registry() as running, Engine(root=store) as box:
        lab.push(running.address, "lab", "1")
        name, calls = f"{running.address}/lab:1", 0
        for moment in range(MOMENTS + 1):
            box.images.load(base.layout("base:1"))
            at = 1 + (calls * (moment - 1) + chance.randrange(calls)) // MOMENTS if calls else 0
            done = works(store, work, at, archive, name)
            if not moment:
                assert (done.returncode, done.stderr) == (0, "")
                calls = int(done.stdout)
            else:
                assert done.returncode in (0, -signal.SIGKILL), done.stderr
            is_sound(box)
            if work != "prune":
                assert "base:1" in [tag for image in box.images.list() for tag in image.tags], "it was there before"
                again = works(store, work, 0, archive, name)
                assert (again.returncode, again.stderr) == (0, "")
                is_sound(box)
            is_emptied(box)


def test_pulls_a_prune_and_runs_at_once(store: Path, lab: Picture, base: Picture, tmp_path: Path) -> None:
    script = """
import sys
import kernelbox as kb
from kernelbox.errors import ImageNotFound
what, name = sys.argv[1:]
with kb.Engine() as box:
    for number in range(4):
        if what == "pull":
            box.images.pull(name)
        elif what == "prune":
            box.images.prune(all=True)
        else:
            try:
                run = box.run(name)
            except ImageNotFound:
                continue
            assert (run.exit_code, run.stdout) == (0, "well\\n"), run
"""
    with registry() as running, Engine(root=store) as box:
        lab.push(running.address, "lab", "1")
        name = f"{running.address}/lab:1"
        started = [
            subprocess.Popen([sys.executable, "-c", script, what, name], stderr=subprocess.PIPE, text=True)
            for what in ("pull", "pull", "prune", "run")
        ]
        for process in started:
            with process:
                _, errors = process.communicate()
                assert (process.returncode, errors) == (0, "")
        assert box.images.pull(name).id == lab.id
        is_sound(box)
        is_emptied(box)


def test_the_disk_is_full(small_disk: Mounted, base: Picture, lab: Picture) -> None:
    disk = small_disk("size=24m")
    with Engine(root=disk / "store") as box:
        box.images.load(base.layout("base:1"))
        filler = fill(disk)
        with pytest.raises(KernelBoxError) as no:
            box.images.load(lab.layout("lab:1"))
        assert re.search("no space left on device|disk is full|disk I/O error|too little", str(no.value))
        assert [image.tags for image in box.images.list()] == [("base:1",)]
        filler.unlink()
        is_sound(box)
        box.images.load(lab.layout("lab:1"))
        is_sound(box)
        is_emptied(box)
