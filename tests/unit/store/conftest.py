"""A store that has no monitor and can have images, and layers alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from unit.store.images_made import images_in, prepared
from unit.store.layer_archives import (
    FORMS,
)

from kernelbox.store.image_store import ImageStore
from kernelbox.store.layers import TREE, Layers
from kernelbox.store.paths import StorePaths
from kernelbox.store.state import StateFile


@pytest.fixture
def paths(tmp_path: Path) -> StorePaths:
    return prepared(tmp_path / "store")


@pytest.fixture
def state(paths: StorePaths) -> Iterator[StateFile]:
    file = StateFile(paths.state)
    yield file
    file.close()


@pytest.fixture
def swept() -> list[str]:
    return []


@pytest.fixture
def images(paths: StorePaths, state: StateFile, swept: list[str]) -> ImageStore:
    return images_in(paths, state, swept)


@pytest.fixture
def trash(tmp_path: Path) -> Path:
    (tmp_path / "trash").mkdir()
    return tmp_path / "trash"


@pytest.fixture(params=FORMS)
def layers(tmp_path: Path, trash: Path, swept: list[str], request: pytest.FixtureRequest) -> Layers:
    return Layers(tmp_path / "layers", trash, swept.append, FORMS[request.param])


@pytest.fixture
def trees(tmp_path: Path, trash: Path, swept: list[str]) -> Layers:
    return Layers(tmp_path / "layers", trash, swept.append, FORMS[TREE])
