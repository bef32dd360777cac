"""Images as pictures and tables: who shares what, readable where scripts and styles are taken out."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelbox.engine.engine import Engine
from kernelbox.engine.layer_picture import LayerPicture, LayerRow
from kernelbox.errors import NotSupported


def archive(name: str, text: bytes) -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as made:
        entry = tarfile.TarInfo(name)
        entry.size = len(text)
        made.addfile(entry, io.BytesIO(text))
    return output.getvalue()


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Engine]:
    """With lab/base, lab/more on it, and lab/other, which shares nothing."""
    with Engine(tmp_path / "store") as box:
        box.images.import_(archive("greeting", b"Hello"), "lab/base:1", message="the base")
        container = box.containers.create("lab/base:1", ["/never"])
        container.put_archive("/", archive("new", b"put in"))
        container.commit("lab/more:1", message="one more")
        container.remove()
        box.images.import_(archive("other", b"else"), "lab/other:1")
        yield box


def test_what_was_put_into_a_container_that_never_started_is_committed(box: Engine) -> None:
    container = box.containers.create("lab/more:1", ["/never"])
    try:
        with tarfile.open(fileobj=io.BytesIO(b"".join(container.export()))) as made:
            file = made.extractfile("new")
            assert file is not None
            assert file.read() == b"put in"
    finally:
        container.remove()


def test_an_image_is_drawn_beside_those_that_share_its_layers(box: Engine) -> None:
    shown = box.images.get("lab/base:1").picture()
    assert shown.names == ("lab/base:1", "lab/more:1")
    assert [row.images for row in shown.rows] == [(True, True), (False, True)]
    assert shown.kept == box.images.get("lab/more:1").size
    assert shown.saved == box.images.get("lab/base:1").size


def test_a_list_draws_all_of_them(box: Engine) -> None:
    shown = box.images.list().picture()
    assert sorted(shown.names) == ["lab/base:1", "lab/more:1", "lab/other:1"]
    assert sorted(sum(row.images) for row in shown.rows) == [1, 1, 2]
    assert str(shown).startswith("3 images of 3 layers, 1 of them shared: ")


def test_no_picture_of_what_no_store_has(box: Engine) -> None:
    with pytest.raises(NotSupported, match="the image host is not in the store"):
        box.images.get("host").picture()


def test_html_is_what_an_untrusted_notebook_keeps_and_names_are_escaped() -> None:
    shown = LayerPicture(("<script>", "b"), (LayerRow("sha256:" + "a" * 64, 2048, (True, True)),))
    bundle = shown._repr_mimebundle_()
    assert "&lt;script&gt;" in bundle["text/html"]
    for word in ("<script", "<style", "<svg"):
        assert word not in bundle["text/html"]
    assert bundle["text/plain"].splitlines() == [
        "2 images of 1 layer, 1 of them shared: 2 KiB on the disk, 2 KiB saved",
        "layer         size   <script>  b",
        "aaaaaaaaaaaa  2 KiB  █         █",
    ]


def test_frames_of_images_and_of_their_history(box: Engine) -> None:
    frame = box.images.list().frame().set_index("name")
    assert frame.loc["lab/more:1", "layers"] == 2
    assert frame.loc["lab/base:1", "size_bytes"] == box.images.get("lab/base:1").size
    steps = box.images.history("lab/more:1").frame()
    assert list(steps["comment"]) == ["one more", "the base"]
    assert steps["size_bytes"].sum() == box.images.get("lab/more:1").size
    assert str(steps["created"].dtype) == "datetime64[ns, UTC]"


def test_frames_of_nothing_have_their_columns(tmp_path: Path) -> None:
    with Engine(tmp_path / "store") as box:
        assert list(box.images.list().frame()) == ["name", "id", "created", "size_bytes", "platform", "layers"]
