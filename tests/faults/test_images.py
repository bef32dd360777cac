"""Images, and kill -9 at every system call of what brings, removes and collects them; and disks that are full.

After each: what was reported is so, what shows is whole and right, the same can be done again, and when all has been
removed nothing is left. KERNELBOX_SEEDS says how many moments of each work are tried (5)."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from faults.image_works import BEFORE, DOWNLOAD, NAMES, WORKS, prepare
from faults.small_disks import Mounted, fill
from unit.store.images_made import ALONE, APP, BASE, TOOL, images_in, kept, prepared
from waiting import wait_until

from kernelbox.errors import ImageNotFound, KernelBoxError, StoreError
from kernelbox.oci.digest import Digest
from kernelbox.store.image_store import ImageStore
from kernelbox.store.state import StateFile

NO_ROOM = re.compile(
    "no space left on device|disk is full|disk I/O error|too little for a layer|unable to open database"
)
MOMENTS = int(os.environ.get("KERNELBOX_SEEDS", "5"))
TESTS = Path(__file__).resolve().parents[1]
SCRIPT = Path(__file__).with_name("image_works.py")
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join((str(TESTS), str(TESTS.parent)))}
KNOWN = {made.id: made for made in (BASE, APP, TOOL, ALONE)}
LAYERS = {chain_id: (made, number) for made in KNOWN.values() for number, chain_id in enumerate(made.chain)}


def begin(root: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, SCRIPT, root, *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)


def work(root: Path, *words: str) -> tuple[int, list[list[str]]]:
    """How it ended, and what it said."""
    with begin(root, *words) as process:
        output, errors = process.communicate()
    assert not errors, errors
    return process.returncode, [line.split() for line in output.splitlines()]


class Opened:
    """A store as the next process finds it."""

    def __init__(self, root: Path) -> None:
        self.paths = prepared(root)
        self.state = StateFile(self.paths.state)
        self.images = images_in(self.paths, self.state, [])

    def __enter__(self) -> ImageStore:
        return self.images

    def __exit__(self, *_: object) -> None:
        self.state.close()


def is_sound(images: ImageStore) -> None:
    """Whatever shows is whole and right."""
    for digest in images.blobs.every():
        images.blobs.read(digest, 1 << 20)
    for chain_id in images.layers.every():
        made, number = LAYERS[chain_id]
        (file,) = images.layers.get(chain_id).path.iterdir()
        assert file.read_bytes() == file.name.encode() * 1000
        assert images.layers.get(chain_id).diff_id == made.document.diff_ids[number]
    for record in images.every():
        assert KNOWN[record.id].is_whole_in(images)


def is_as_said(images: ImageStore, said: list[list[str]]) -> None:
    for what, name, *rest in said:
        if what == "blob":
            assert images.blobs.has(Digest.parse(name))
        elif what == "layer":
            assert images.layers.has(Digest.parse(name))
        elif what == "image":
            assert images.find(name).id == rest[0]
        elif what == "gone":
            with pytest.raises(ImageNotFound):
                images.find(name)


def can_be_emptied(images: ImageStore) -> None:
    for record in images.every():
        images.remove(record.id, force=True)
    images.collect()
    images.blobs.clean(partials_before=float("inf"))
    assert kept(images) == (set(), set())
    left = [path for folder in (images.blobs.folder, images.layers._folder) for path in folder.rglob("*/*")]
    assert not left
    assert not list(images.blobs.folder.parent.glob("images/*/*")), "no lease and no hold is left"


@pytest.fixture(scope="module", params=WORKS)
def prepared_work(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, int]:
    """The name of a work, a store as it is before it, and how many calls it takes."""
    name = request.param
    root = tmp_path_factory.mktemp(name)
    prepare(root / "before", name)
    shutil.copytree(root / "before", root / "tried", symlinks=True)
    code, said = work(root / "tried", name)
    assert code == 0
    return name, root / "before", int(said[-1][1])


@pytest.mark.parametrize("moment", range(MOMENTS))
def test_killed_at_every_call(prepared_work: tuple[str, Path, int], moment: int, tmp_path: Path) -> None:
    name, before, calls = prepared_work
    assert calls > 10
    root = tmp_path / "store"
    shutil.copytree(before, root, symlinks=True)
    at = 1 + (calls * moment + random.Random(f"{name} {moment}").randrange(calls)) // MOMENTS
    code, said = work(root, name, str(at))
    assert code == -signal.SIGKILL
    with Opened(root) as images:
        is_sound(images)
        is_as_said(images, said)
        assert images.find("base").id == BASE.id, "what was there before"
        if name not in BEFORE:
            WORKS[name](images)
        images.collect()
        is_sound(images)
        can_be_emptied(images)


def test_two_processes_ensure_the_same_layer(tmp_path: Path) -> None:
    for number in range(3):
        root = tmp_path / str(number)
        prepare(root, "ensure")
        both = [begin(root, "ensure") for _ in range(2)]
        for process in both:
            with process:
                output, errors = process.communicate()
                assert (process.returncode, errors) == (0, "")
                assert output.count("layer") == 2
        with Opened(root) as images:
            is_sound(images)
            assert set(images.layers.every()) == set(APP.chain)


def test_who_waits_for_one_that_is_killed_makes_it(tmp_path: Path) -> None:
    root = tmp_path / "store"
    prepare(root, "ensure")
    with Opened(root) as images:
        APP.moved_to(images)
        os.mkfifo(root / "endless")
        hangs = subprocess.Popen(
            [sys.executable, "-c", HANGS, root, str(APP.chain[1]), root / "endless"],
            stdout=subprocess.PIPE,
            env=ENVIRONMENT,
        )
        with hangs, open(root / "endless", "wb"):
            assert hangs.stdout is not None
            assert hangs.stdout.readline() == b"ready\n"
            new = root / f"layers/new/sha256-{APP.chain[1].encoded}"
            thread = threading.Thread(target=APP.unpacked_in, args=(images,))
            thread.start()
            wait_until(lambda: is_waited_for(new), "the second one waits")
            assert not images.layers.has(APP.chain[1])
            hangs.kill()
            thread.join()
        is_sound(images)
        assert set(images.layers.every()) == set(APP.chain)


HANGS = """
import os, sys
from pathlib import Path
from unit.store.images_made import images_in, prepared
from kernelbox.oci.digest import Digest
from kernelbox.store.layer_pipe import LayerSource
from kernelbox.store.state import StateFile
paths = prepared(Path(sys.argv[1]))
images = images_in(paths, StateFile(paths.state), [])
digest = Digest.parse(sys.argv[2])
def opened():
    print("ready", flush=True)
    return open(sys.argv[3], "rb", buffering=0)
images.layers.ensure(digest, digest, None, LayerSource(opened))
"""


def is_waited_for(path: Path) -> bool:
    """Whether somebody waits for the lock on it: proc(5), /proc/locks, has them with an arrow."""
    inode = f":{path.stat().st_ino}"
    lines = Path("/proc/locks").read_text().splitlines()
    return any("->" in line and line.split()[6].endswith(inode) for line in lines)


def test_a_lease_ends_with_its_holder(tmp_path: Path) -> None:
    root = tmp_path / "store"
    prepare(root, "ensure")
    code = HANGS.replace("images.layers.ensure", "lease = images.lease(); lease.keep([digest]); images.layers.ensure")
    with Opened(root) as images:
        images.blobs.put(APP.tars[1])
        os.mkfifo(root / "endless")
        digest = str(APP.contents[1].digest)
        command = [sys.executable, "-c", code, root, digest, root / "endless"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT) as holder, open(root / "endless", "wb"):
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"ready\n"
            images.collect()
            assert images.blobs.has(APP.contents[1].digest)
            holder.kill()
        images.collect()
        assert not images.blobs.has(APP.contents[1].digest)
        can_be_emptied(images)


@pytest.mark.parametrize("seed", range(max(1, MOMENTS // 4)))
def test_pulls_a_prune_and_a_removal_at_once_some_killed(tmp_path: Path, seed: int) -> None:
    root, chance = tmp_path / "store", random.Random(seed)
    prepare(root, "prune")
    names = ["add", "add", "prune", "remove", "ensure", "put"]
    processes = [begin(root, name, str(chance.choice([0, chance.randrange(1, 300)]))) for name in names]
    for process in processes:
        with process:
            _, errors = process.communicate()
            # Another's prune may have taken what was to be removed, or named.
            assert process.returncode in (0, -signal.SIGKILL) or "ImageNotFound: no such image" in errors, errors
    with Opened(root) as images:
        is_sound(images)
        for made in KNOWN.values():
            made.added_to(images, NAMES.get(made.id, "base"))
        is_sound(images)
        can_be_emptied(images)


@pytest.fixture
def full_disk(small_disk: Mounted) -> Path:
    """A store with one image, on a disk of 4 MiB."""
    disk = small_disk("size=4m,nr_inodes=400")
    prepare(disk / "store", "add")
    return disk


@pytest.mark.kernel
@pytest.mark.root
def test_the_disk_is_full(full_disk: Path) -> None:
    with Opened(full_disk / "store") as images:
        assert len(images.every()) == 1, "the state file is open"
        filler = fill(full_disk)
        for bring in (lambda: images.blobs.put(DOWNLOAD), lambda: APP.added_to(images, "app")):
            with pytest.raises(StoreError, match=NO_ROOM) as no:
                bring()
            assert "free some space" in str(no.value)
        is_sound(images)
        assert [record.id for record in images.every()] == [BASE.id]
        filler.unlink()
        APP.added_to(images, "app")
        is_sound(images)
        images.collect()
        can_be_emptied(images)


@pytest.mark.kernel
@pytest.mark.root
@pytest.mark.parametrize("room", range(0, 90_000, 8192))
def test_the_disk_is_full_soon(full_disk: Path, room: int) -> None:
    added: list[str] = []
    with Opened(full_disk / "store") as images:
        assert len(images.every()) == 1, "the state file is open"
        spare = full_disk / "spare"
        spare.write_bytes(bytes(room))
        filler = fill(full_disk)
        spare.unlink()
        with contextlib.suppress(KernelBoxError):
            APP.added_to(images, "app")
            added.append(APP.id)
        assert {record.id for record in images.every()} == {BASE.id, *added}
        is_sound(images)
        filler.unlink()
        APP.added_to(images, "app")
        is_sound(images)
        can_be_emptied(images)


@pytest.mark.kernel
@pytest.mark.root
def test_no_more_files_can_be_made(full_disk: Path) -> None:
    with Opened(full_disk / "store") as images:
        fillers = []
        try:
            for number in range(400):
                fillers.append(full_disk / str(number))
                fillers[-1].touch()
        except OSError:
            pass
        with pytest.raises(StoreError, match="no space left on device"):
            APP.added_to(images, "app")
        for filler in fillers[:3]:
            filler.unlink()
        with pytest.raises(KernelBoxError, match=NO_ROOM):
            APP.added_to(images, "app")
        for filler in fillers:
            filler.unlink(missing_ok=True)
        APP.added_to(images, "app")
        is_sound(images)
        can_be_emptied(images)
