"""`--volumes-from`: the mounts of another container, and what becomes of them when that goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernelbox import Engine
from kernelbox.engine.container import Container
from kernelbox.engine.containers import Containers
from kernelbox.errors import Conflict, ContainerNotFound, InvalidOption

pytestmark = [pytest.mark.kernel, pytest.mark.root]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shared").mkdir()
    return tmp_path / "shared"


@pytest.fixture
def first(containers: Containers, busybox_image: str, folder: Path) -> Container:
    """One with a volume that has a name, one that has none, and a folder of the machine."""
    script = "for each in /own /web /in; do echo first > $each/file; done"
    one = containers.run(
        busybox_image, ["sh", "-c", script], volumes=["/own", "web:/web", f"{folder}:/in"], name="first"
    )
    assert one.wait() == 0
    return one


WRITE = "cat /own/file /web/file /in/file; for each in /own /web /in; do touch $each/x 2>/dev/null && echo wrote; done"


@pytest.mark.parametrize(("mode", "said"), [("", "wrote\n" * 3), (":rw", "wrote\n" * 3), (":ro", "")])
def test_a_run(engine: Engine, busybox_image: str, first: Container, mode: str, said: str) -> None:
    run = engine.run(busybox_image, ["sh", "-c", WRITE + "; true"], volumes_from=[f"first{mode}"])
    assert run.stdout == "first\n" * 3 + said


def test_one_that_is_kept_keeps_them(
    engine: Engine, containers: Containers, busybox_image: str, first: Container
) -> None:
    own = next(volume.name for volume in engine.volumes.list() if volume.name != "web")
    second = containers.create(
        busybox_image, ["cat", "/own/file", "/in/file"], volumes_from=["first:ro"], name="second"
    )
    assert [each.name for each in containers.list(all=True, filters={"volume": [own]})] == ["second", "first"]
    first.remove(volumes=True)
    with pytest.raises(Conflict, match="in use by the container second"):
        engine.volumes.get(own).remove()
    assert second.start().wait() == 0
    assert second.logs() == "first\nfirst\n"
    shown = {mount["Destination"]: (mount["Type"], mount["RW"]) for mount in second.attrs["Mounts"]}  # type: ignore[attr-defined]
    assert shown == {"/own": ("volume", False), "/web": ("volume", False), "/in": ("bind", False)}
    second.remove(volumes=True)
    assert [volume.name for volume in engine.volumes.list()] == ["web"]


def test_ones_own_mounts_go_before(engine: Engine, busybox_image: str, first: Container) -> None:
    run = engine.run(busybox_image, ["ls", "-A", "/own", "/web"], volumes_from=["first"], tmpfs=["/own"])
    assert run.stdout == "/own:\n\n/web:\nfile\n"


def test_what_cannot_be(engine: Engine, busybox_image: str) -> None:
    for wrong in ("first:rx", ":ro", ""):
        with pytest.raises(InvalidOption, match="is not CONTAINER"):
            engine.run(busybox_image, ["true"], volumes_from=[wrong])
    with pytest.raises(ContainerNotFound):
        engine.run(busybox_image, ["true"], volumes_from=["nonesuch"])
    with pytest.raises(ContainerNotFound):
        engine.containers.create(busybox_image, ["true"], volumes_from=["nonesuch"])
    assert engine.containers.list(all=True) == []
