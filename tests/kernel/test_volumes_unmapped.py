"""A store on a file system that cannot map ids: what works there, and what is said of what does not."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import wait_until

from kernelbox import Engine

pytestmark = [pytest.mark.kernel, pytest.mark.root]

SCRIPT = ["sh", "-c", "stat -c %u:%g /home /home/user; touch /home/x && echo wrote; true"]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A ramfs."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "ramfs", "ids", place], check=True)
    yield place
    wait_until(lambda: not subprocess.run(["umount", place], stderr=subprocess.DEVNULL).returncode, "it is let go")


@pytest.fixture
def image(busybox_rootfs: Path, tmp_path: Path) -> str:
    subprocess.run(["cp", "-a", busybox_rootfs, tmp_path / "image"], check=True)
    user = tmp_path / "image/home/user"
    user.mkdir(parents=True)
    subprocess.run(["chown", "1000:1000", user], check=True)
    return f"dir:{tmp_path / 'image'}"


def test_a_run_s_own_volume_is_made_with_the_ids_that_it_has(place: Path, image: str) -> None:
    with Engine(root=place / "store") as box:
        run = box.run(image, SCRIPT, volumes=["/home"])
        assert (run.stdout, run.limits.notes) == ("0:0\n1000:1000\nwrote\n", ())


def test_one_with_a_name_is_nobodys_in_a_container_with_ids_of_its_own(place: Path, image: str) -> None:
    with Engine(root=place / "store") as box:
        run = box.run(image, SCRIPT, volumes=["web:/home"])
        assert run.stdout == "65534:65534\n65534:65534\n"
        assert run.limits.notes == (
            f"{place}/store/volumes/web/_data lies where ids cannot be mapped: its files belong to nobody in the "
            "container, but with userns='host'",
        )
        run = box.run(image, SCRIPT, volumes=["web:/home"], userns="host")
        assert (run.stdout, run.limits.notes) == ("0:0\n1000:1000\nwrote\n", ())
        box.volumes.get("web").remove()
