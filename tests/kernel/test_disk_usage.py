"""What images, containers and volumes take of the disk."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from kernelbox import Engine
from kernelbox.engine.disk_usage import df

pytestmark = [pytest.mark.kernel, pytest.mark.root]


def test_of_an_empty_store(engine: Engine) -> None:
    assert df(engine) == {
        "LayersSize": 0,
        "BlobsSize": 0,
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
    usage = df(engine)
    (image,), (one,), (data,) = usage["Images"], usage["Containers"], usage["Volumes"]
    assert set(image["RepoTags"]) == {"busy:1", "lab/busy:latest"}
    assert (image["Labels"], image["Containers"], image["SharedSize"]) == ({"tier": "web"}, 1, 0)
    assert image["Size"] == usage["LayersSize"] > 0
    assert usage["BlobsSize"] >= archive.stat().st_size
    assert usage["Unused"] == 0
    assert (one["Id"], one["ImageID"], one["State"]) == (container.id, image["Id"], "exited")
    assert 5000 <= one["SizeRw"] < one["SizeRootFs"]
    assert data["UsageData"] == {"Size": 700, "RefCount": 1}
    container.remove()
    engine.images.store.blobs.put(b"garbage")
    usage = df(engine)
    assert (usage["Images"][0]["Containers"], usage["Unused"]) == (0, 7)
    assert usage["Volumes"][0]["UsageData"]["RefCount"] == 0
    for volume in engine.volumes.list():
        volume.remove()
