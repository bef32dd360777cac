"""Both forms of a layer, side by side: of any archive the image holds what the folder does, or both refuse it for the
same reason at the same entry."""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path

import layer_forms
import pytest
from hostile_layers import GROUPS, corpus
from hypothesis import given, settings
from layer_archives import Archive

pytestmark = pytest.mark.root


@settings(max_examples=150, deadline=None)
@given(layer_forms.archives())
def test_both_forms_are_alike(members: list[tarfile.TarInfo]) -> None:
    """What is refused is left out of the archive, then the rest is tried, until it is taken."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for trial in range(len(members) + 1):
            archive = layer_forms.pack(folder / "layer.tar", members)
            one = layer_forms.write_tree(archive, folder / f"tree{trial}")
            other = layer_forms.write_erofs(archive, folder / "image")
            assert one == other
            if one.outcome == 0:
                break
            del members[one.entries - 1]
        assert one.outcome == 0
        assert layer_forms.in_folder(folder / f"tree{trial}") == layer_forms.in_image(folder / "image")


THROUGH_LINKS = {
    "by another way, later": Archive().add("a/b/x").symlink("c", "a").folder("c/b", 0o711, mtime=5),
    "by another way, earlier": Archive()
    .folder("a")
    .symlink("c", "a")
    .folder("c/b", 0o711, mtime=5)
    .folder("a/b", 0o750),
    "by a way that is cut": Archive().folder("a").symlink("c", "a").folder("c/b", 0o711, mtime=5).add("c", b"1"),
    "implied, by a way that is cut": Archive().folder("a").symlink("c", "a").add("c/b/x", mtime=5).add("c", b"1"),
}


@pytest.mark.parametrize("archive", THROUGH_LINKS.values(), ids=THROUGH_LINKS)
def test_folders_that_are_reached_through_links(tmp_path: Path, archive: Archive) -> None:
    (tmp_path / "layer.tar").write_bytes(bytes(archive))
    assert layer_forms.write_tree(tmp_path / "layer.tar", tmp_path / "tree").outcome == 0
    assert layer_forms.write_erofs(tmp_path / "layer.tar", tmp_path / "image").outcome == 0
    found = layer_forms.in_folder(tmp_path / "tree")
    assert found == layer_forms.in_image(tmp_path / "image")
    assert found[b"a/b"].mode & 0o777 in (0o711, 0o750, 0o755)


@pytest.mark.parametrize("group", GROUPS)
def test_both_forms_of_hostile_layers_are_alike(tmp_path: Path, group: str) -> None:
    for number, (name, case) in enumerate(corpus(Path("/nowhere"), group).items()):
        archive, tree = tmp_path / f"{number}.tar", tmp_path / f"tree{number}"
        archive.write_bytes(case.archive)
        one, other = layer_forms.write_tree(archive, tree), layer_forms.write_erofs(archive, tmp_path / "image")
        assert one == other, name
        if one.outcome == 0:
            assert layer_forms.in_folder(tree) == layer_forms.in_image(tmp_path / "image"), name
