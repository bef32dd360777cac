"""Volumes, and kill -9 of an engine or a monitor at moments by chance, and disks that are full.

After each: what was reported as made is there with what was written into it, what was reported as removed is not, what
an image has at a volume's place is there as a whole or not yet, and nothing else is left. KERNELBOX_SEEDS says how many
moments are tried (8)."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import leaks
import pytest
from faults.monitors import monitors_of
from faults.test_kept import an_init, kill_monitor
from waiting import wait_until

from kernelbox import Engine
from kernelbox.errors import StoreError

pytestmark = [pytest.mark.kernel, pytest.mark.root, pytest.mark.usefixtures("orphans")]

SEEDS = range(int(os.environ.get("KERNELBOX_SEEDS", "8")))
FILES = 120

# Says what it has done, after it was done.
LIVES = """
import random, sys
from pathlib import Path
import kernelbox as kb
image, seed = sys.argv[1], int(sys.argv[2])
chance = random.Random(seed)
box = kb.Engine()
known, number = {}, 0
def say(*words): print(*words, flush=True)
say("ready")
while True:
    what = chance.choice(["create", "create", "remove", "container", "container", "drop", "run"])
    number += 1
    if what == "create":
        volume = box.volumes.create(f"v{number}")
        Path(volume.mountpoint, "mark").write_text(volume.name)
        say("create", volume.name)
    elif what == "container":
        name = f"c{number}"
        known[name] = box.containers.create(image, ["true"], name=name, volumes=[f"n{number}:/srv", "/srv/dir"])
        say("container", name)
    elif what == "run":
        box.run(image, ["true"], volumes=["/srv", f"r{number}:/srv/dir"])
        say("run", f"r{number}")
    elif what == "drop" and known:
        name = chance.choice(sorted(known))
        known.pop(name).remove(volumes=True)
        say("drop", name)
    elif what == "remove":
        for volume in box.volumes.list(filters={"dangling": True})[:1]:
            volume.remove()
            say("remove", volume.name)
"""


@pytest.fixture
def image(busybox_rootfs: Path, tmp_path: Path) -> str:
    """One with many files at /srv."""
    root = tmp_path / "image"
    subprocess.run(["cp", "-a", busybox_rootfs, root], check=True)
    (root / "srv/dir").mkdir(parents=True)
    for number in range(FILES):
        (root / f"srv/{number}").write_text("x" * number)
    return f"dir:{root}"


@contextlib.contextmanager
def lives(image: str, seed: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", LIVES, image, str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("both", [False, True], ids=["engine", "engine and monitor"])
def test_killed_at_any_moment(store: Path, image: str, seed: int, both: bool) -> None:
    chance = random.Random(seed)
    with lives(image, seed) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        output = b"".join(process.stdout.readline() for _ in range(chance.randrange(2, 25)))
        for _ in range(chance.randrange(300_000)):
            pass
        if both:
            kill_monitor(store)
        process.kill()
        rest, errors = process.communicate()
        assert both or not errors, errors.decode()
    with an_init(), Engine(root=store) as box:
        is_as_said(box, (output + rest).decode().splitlines())
        is_whole(box, image)
        for container in box.containers.list(all=True):
            container.remove(force=True, volumes=True)
        assert all(not volume.record.anonymous for volume in box.volumes.list()), (
            "what was made for them went with them"
        )
        box.volumes.prune(all=True)
        assert os.listdir(box.paths.volumes) == []
    wait_until(lambda: not monitors_of(store), "no monitor is left")
    assert not leaks.left_in_store(store)


def is_as_said(box: Engine, lines: list[str]) -> None:
    said = [line.split() for line in lines if len(line.split()) == 2]
    found = {volume.name for volume in box.volumes.list()}
    containers = {container.name: container for container in box.containers.list(all=True)}
    removed = {name for what, name in said if what == "remove"}
    dropped = {name for what, name in said if what == "drop"}
    assert not found & removed
    assert not containers.keys() & dropped
    missing = {name for what, name in said if what == "create"} - removed - found
    missing |= {name for what, name in said if what == "container"} - dropped - containers.keys()
    assert len(missing) <= 1, "one was just being removed"
    for name in found:
        if name.startswith("v"):
            marks = list((box.paths.volumes / name / "_data").iterdir())
            assert [mark.read_text() for mark in marks] in ([name], [""], []), "one may just have been made"
    on_disk = set(os.listdir(box.paths.volumes))
    assert on_disk <= found, "no folder without a volume"


def is_whole(box: Engine, image: str) -> None:
    """All that the image has is there for whoever uses the volume next."""
    for container in box.containers.list(all=True):
        assert len(box.volumes.store.uses_of(container.id)) == 2
        assert container.start().wait() == 0
    for volume in box.volumes.list():
        if volume.name.startswith("n"):
            run = box.run(image, ["sh", "-c", "cat /srv/* | wc -c; ls /srv | wc -l"], volumes=[f"{volume.name}:/srv"])
            assert run.stdout.split() == [str(sum(range(FILES))), str(FILES + 1)], run.stderr


@pytest.mark.parametrize("whom", ["engine", "monitor"])
def test_a_run_s_volumes_after_a_kill(store: Path, image: str, whom: str) -> None:
    code = (
        "import sys, kernelbox as kb; kb.Engine().run(sys.argv[1], ['sh', '-c', sys.argv[2]], volumes=['/v', 'web:/w'])"
    )
    command = [sys.executable, "-c", code, image, "touch /v/x /w/x; sleep 1000"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        wait_until((store / "volumes/web/_data/x").exists)
        assert list((store / "runs").glob("*/volume-0/x"))
        if whom == "engine":
            process.kill()
        else:
            kill_monitor(store)
    with an_init(), Engine(root=store) as box:
        box.run("host", ["true"])
        wait_until(lambda: not list((store / "runs").iterdir()), "its own volume has gone")
        assert (store / "volumes/web/_data/x").exists()
        wait_until(lambda: not box.volumes.store.is_held("web"), "nobody has the other one")
        box.volumes.get("web").remove()
    wait_until(lambda: not monitors_of(store), "no monitor is left")


BEFORE_THE_LAUNCH = """
import sys, time
import kernelbox as kb
from kernelbox.runtime.launch import Launch
def begin(launch):
    print("ready", flush=True)
    time.sleep(1000)
Launch.begin = begin
kb.Engine().run(sys.argv[1], ["true"], volumes=["/srv", "web:/w"])
"""


def test_an_engine_is_killed_before_its_launch(store: Path, image: str) -> None:
    """While the monitor lives on: whoever looks for volumes next deletes what was made for that run."""
    with Engine(root=store) as box:
        job = box.start(image, ["sleep", "1000"], volumes=["/srv"], name="other")
        wait_until(lambda: list((store / "runs").glob("*/upper")))
        (other,) = (store / "runs").iterdir()
        with subprocess.Popen([sys.executable, "-c", BEFORE_THE_LAUNCH, image], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            assert len(list((store / "runs").glob("*/volume-0/1"))) == 2
            assert [volume.name for volume in box.volumes.list()] == ["web"]
            assert len(list((store / "runs").iterdir())) == 2, "it may yet be launched"
            process.kill()
        box.volumes.get("web").remove()
        assert list((store / "runs").iterdir()) == [other]
        assert len(list(other.glob("volume-0/*"))) == FILES + 1
        job.kill()
        job.wait()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "small", place], check=True)
    yield place
    wait_until(lambda: not subprocess.run(["umount", place], stderr=subprocess.DEVNULL).returncode, "it is let go")


def test_the_disk_is_full_during_the_copy(small_disk: Path, image: str) -> None:
    big = Path(image[4:]) / "srv/big"
    big.write_bytes(bytes(4 << 20))
    with Engine(root=small_disk / "store") as box:
        for volumes in (["web:/srv"], ["/srv"]):
            with pytest.raises(StoreError, match="no space left on device"):
                box.containers.create(image, ["true"], volumes=volumes)
            with pytest.raises(StoreError, match="no space left on device"):
                box.run(image, ["true"], volumes=volumes)
            assert box.containers.list(all=True) == []
            assert [volume.name for volume in box.volumes.list()] == ["web"]
        assert sorted(os.listdir(box.paths.volumes / "web")) == ["_data", "lock"]
        assert os.listdir(box.paths.volumes / "web/_data") == []
        box._open().wait_swept()
        assert os.listdir(box.paths.runs) == []
        big.unlink()
        run = box.run(image, ["sh", "-c", "ls /srv | wc -l"], volumes=["web:/srv"])
        assert run.stdout.split() == [str(FILES + 1)]
        box.volumes.get("web").remove()
