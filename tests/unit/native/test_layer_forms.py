"""Both forms of a layer, side by side: of any archive the image holds what the folder does, or both refuse it for the
same reason at the same entry."""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path

import layer_forms
import pytest
from hypothesis import given, settings

pytestmark = pytest.mark.root


@settings(max_examples=1500, deadline=None)
@given(layer_forms.archives())
def test_both_forms_are_alike(members: list[tarfile.TarInfo]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive = layer_forms.pack(folder / "layer.tar", members)
        one = layer_forms.write_tree(archive, folder / "tree")
        other = layer_forms.write_erofs(archive, folder / "image")
        assert one == other
        if one.outcome == 0:
            assert layer_forms.in_folder(folder / "tree") == layer_forms.in_image(folder / "image")
