"""What images, containers and volumes take of the disk."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from commands import printed, refused

from kernelbox import Engine

pytestmark = [pytest.mark.kernel, pytest.mark.root]


def test_of_an_empty_store(engine: Engine) -> None:
    assert engine.df() == {
        "LayersSize": 0,
        "BlobsSize": 0,
        "Reclaimable": 0,
        "Unused": 0,
        "Images": [],
        "Containers": [],
        "Volumes": [],
        "BuildCache": [],
    }


def test_of_one_of_each(engine: Engine, busybox_rootfs: Path, tmp_path: Path) -> None:
    archive = tmp_path / "root.tar"
    subprocess.run(["tar", "-C", busybox_rootfs, "-cf", archive, "."], check=True)
    engine.images.import_(archive, "busy:1", changes=["LABEL tier=web"])
    engine.images.tag("busy:1", "lab/busy")
    command = ["sh", "-c", "head -c 5000 /dev/zero > /file; head -c 700 /dev/zero > /data/file"]
    container = engine.containers.create("busy:1", command, name="one", volumes=["data:/data"])
    container.start()
    container.wait()
    usage = engine.df()
    (image,), (one,), (data,) = usage["Images"], usage["Containers"], usage["Volumes"]
    assert set(image["RepoTags"]) == {"busy:1", "lab/busy:latest"}
    assert (image["Labels"], image["Containers"], image["SharedSize"]) == ({"tier": "web"}, 1, 0)
    assert image["Size"] == usage["LayersSize"] > 0
    assert usage["BlobsSize"] >= archive.stat().st_size
    assert (usage["Reclaimable"], usage["Unused"]) == (0, 0)
    assert (one["Id"], one["ImageID"], one["State"]) == (container.id, image["Id"], "exited")
    assert 5000 <= one["SizeRw"] < one["SizeRootFs"]
    assert data["UsageData"] == {"Size": 700, "RefCount": 1}
    container.remove()
    engine.images.store.blobs.put(b"garbage")
    usage = engine.df()
    assert (usage["Images"][0]["Containers"], usage["Unused"]) == (0, 7)
    assert usage["Reclaimable"] == usage["LayersSize"] + usage["BlobsSize"]
    assert usage["Volumes"][0]["UsageData"]["RefCount"] == 0
    for volume in engine.volumes.list():
        volume.remove()


def test_the_command(engine: Engine, busybox_rootfs: Path, tmp_path: Path) -> None:
    nothing = ("Images", "Containers", "Local Volumes", "Build Cache")
    assert printed("system", "df", "--format", "{{.Type}} {{.TotalCount}} {{.Active}} {{.Size}} {{.Reclaimable}}") == (
        "".join(f"{name} 0 0 0B 0B\n" for name in nothing)
    )
    archive = tmp_path / "root.tar"
    subprocess.run(["tar", "-C", busybox_rootfs, "-cf", archive, "."], check=True)
    engine.images.import_(archive, "busy:1")
    container = engine.containers.create("busy:1", ["true"], name="one")
    engine.volumes.create("data")
    lines = [line.split() for line in printed("system", "df").splitlines()]
    assert lines[0] == ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]
    assert lines[1][:3] == ["Images", "1", "1"]
    assert lines[1][4:] == ["0B", "(0%)"]
    assert lines[2] == ["Containers", "1", "0", "0B", "0B"]
    assert lines[3] == ["Local", "Volumes", "1", "0", "0B", "0B"]
    verbose = printed("system", "df", "-v")
    for words in ("Images space usage:", "busy:1", "SHARED SIZE", container.short_id, "VOLUME NAME", "data"):
        assert words in verbose
    container.remove()
    assert "(100%)" in printed("system", "df").splitlines()[1]
    assert "exclude each other" in refused("system", "df", "-v", "--format", "json")
    engine.volumes.get("data").remove()
