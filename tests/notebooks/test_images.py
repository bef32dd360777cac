"""Images in a notebook: tables for what is listed, and words for what is not done there."""

from __future__ import annotations

from pathlib import Path

import image_archives
import pytest
from image_archives import Picture

from kernelbox.registry.server.serving import registry

from .conftest import Notebook

pytestmark = [pytest.mark.kernel, pytest.mark.root]


@pytest.fixture
def picture(real_notebook: Notebook, busybox_rootfs: Path, tmp_path: Path) -> Picture:
    """Loaded as lab:1 by a cell."""
    made = Picture([image_archives.of_folder(busybox_rootfs)], {"Cmd": ["echo", "well"]})
    (tmp_path / "lab.tar").write_bytes(made.layout("lab:1"))
    real_notebook.run(f"%container load -i {tmp_path}/lab.tar")
    return made


def test_tables(real_notebook: Notebook, picture: Picture, capsys: pytest.CaptureFixture[str]) -> None:
    for cell in ("%container images", "%container image ls", "%container images lab"):
        frame = real_notebook.value(cell)
        assert frame[["repository", "tag", "layers"]].values.tolist() == [["lab", "1", 1]]
        assert picture.id.partition(":")[2].startswith(frame["id"][0])
    assert real_notebook.value("%container images nonesuch").empty
    assert real_notebook.value("%container image inspect lab:1")["Id"] == picture.id
    assert real_notebook.value("%container history lab:1")["created_by"].tolist() == ["step 0"]
    capsys.readouterr()
    real_notebook.run("%container run lab:1")
    assert "well" in capsys.readouterr().out


def test_a_registry(real_notebook: Notebook, picture: Picture, capsys: pytest.CaptureFixture[str]) -> None:
    with registry() as running:
        name = f"{running.address}/lab:1"
        for cell in (f"tag lab:1 {name}", f"push {name}", f"rmi -f {picture.id}", f"pull {name}"):
            real_notebook.run(f"%container {cell}")
    assert f"Status: Downloaded newer image for {name}" in capsys.readouterr().out
    assert real_notebook.value("%container images")["tag"].tolist() == ["1"]


def test_refusals(real_notebook: Notebook, picture: Picture) -> None:
    for cell, words in (
        ("image inspect nonesuch", "nonesuch"),
        ("image prune", "asks first"),
        ("image save lab:1", "-o FILE"),
        ("image load", "-i FILE"),
        ("image nonsense", "unknown: %container image nonsense"),
    ):
        assert words in str(real_notebook.error(f"%container {cell}")), cell
