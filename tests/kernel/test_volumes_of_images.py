"""Volumes that an image asks for: what it writes there lies inside, whatever the image's names and links say."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from kernelbox import Engine
from kernelbox.engine.image import Image
from kernelbox.errors import InvalidOption

pytestmark = [pytest.mark.kernel, pytest.mark.root]

Wanting = Callable[..., str]


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim/precious").write_text("mine\n")
    return tmp_path / "victim"


@pytest.fixture
def wanting(
    engine: Engine, busybox_rootfs: Path, tmp_path: Path, victim: Path, monkeypatch: pytest.MonkeyPatch
) -> Wanting:
    """The name of an image which asks for volumes at these places, with links that would lead to `victim`."""
    root = tmp_path / "image"
    subprocess.run(["cp", "-a", busybox_rootfs, root], check=True)
    (root / "data").mkdir()
    (root / "data/file").write_text("from the image\n")
    (root / "absolute").symlink_to(victim)
    (root / "dots").symlink_to("../victim")
    (root / "chain").symlink_to("absolute")
    found = engine.images._get

    def make(*places: str) -> str:
        def get(name: str) -> Image:
            image = found(name)
            config = dataclasses.replace(image.config, volumes={place: {} for place in places})
            return dataclasses.replace(image, config=config)

        monkeypatch.setattr(engine.images, "_get", get)
        return f"dir:{root}"

    return make


def test_a_run_has_it_for_itself(engine: Engine, wanting: Wanting) -> None:
    image = wanting("/data")
    run = engine.run(image, ["sh", "-c", "cat /data/file; touch /data/x; grep -c ' /data ' /proc/mounts"])
    assert run.stdout == "from the image\n1\n"
    assert os.listdir(Path(image[4:]) / "data") == ["file"]
    assert engine.volumes.list() == []


def test_one_that_is_kept(engine: Engine, wanting: Wanting) -> None:
    one = engine.containers.run(wanting("/data"), ["sh", "-c", "echo line >> /data/file"])
    assert one.wait() == 0
    (volume,) = engine.volumes.list()
    assert (Path(volume.mountpoint) / "file").read_text() == "from the image\nline\n"
    (mount,) = one.attrs["Mounts"]  # type: ignore[misc]
    assert (mount["Name"], mount["Destination"]) == (volume.name, "/data")
    one.remove(volumes=True)
    assert engine.volumes.list() == []


def test_something_else_at_its_place(engine: Engine, wanting: Wanting) -> None:
    image = wanting("/data")
    assert engine.run(image, ["ls", "/data"], tmpfs=["/data"]).stdout == ""
    assert engine.run(image, ["ls", "/data"], volumes=["web:/data"]).stdout == "file\n"
    assert [volume.name for volume in engine.volumes.list()] == ["web"]


@pytest.mark.leaves("descriptors", reason="the engine keeps the mount of an image for its next run")
@pytest.mark.parametrize(
    "place", ["/absolute", "/dots", "/chain", "/absolute/new", "/dots/new", "/../../dots", "chain/x"]
)
def test_it_leads_nowhere_else(engine: Engine, wanting: Wanting, victim: Path, place: str) -> None:
    where = os.path.normpath(f"/{place.lstrip('/')}")
    run = engine.run(wanting(place), ["sh", "-c", f"touch {where}/new; cat {where}/precious; ls {where}"])
    assert (run.stdout, "mine" in run.stderr) == ("new\n", False)
    assert os.listdir(victim) == ["precious"]


@pytest.mark.parametrize("place", ["/", "/proc", "/proc/self", "/data/../proc/1", ".."])
def test_it_hides_nothing_of_the_kernel_s(engine: Engine, wanting: Wanting, place: str) -> None:
    for start in (engine.run, engine.containers.create):
        with pytest.raises(InvalidOption):
            start(wanting(place), ["true"])  # type: ignore[operator]
    assert engine.containers.list(all=True) == []
