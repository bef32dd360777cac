"""Containers that are kept, each ended by the test that made it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from faults.conftest import orphans

from kernelbox import Engine
from kernelbox.engine.container import Container

__all__ = ["busybox_image", "keep", "orphans", "victim"]

Keep = Callable[..., Container]


@pytest.fixture(scope="session")
def busybox_image(busybox_rootfs: Path) -> str:
    return f"dir:{busybox_rootfs}"


@pytest.fixture
def keep(engine: Engine, busybox_image: str) -> Iterator[Keep]:
    """Starts a container in the background that is removed at the end of the test."""
    made: list[Container] = []

    def start(command: Sequence[str] = ("sleep", "infinity"), image: str = busybox_image, **options: Any) -> Container:
        container = engine.containers.run(image, command, **options)
        made.append(container)
        return container

    yield start
    for container in made:
        container.remove(force=True, volumes=True)


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    """A folder of the machine with a secret in it, which is the same afterwards."""
    folder = tmp_path / "victim"
    folder.mkdir()
    (folder / "file").write_text("secret of the machine")
    before = contents(folder)
    yield folder
    assert contents(folder) == before


def contents(folder: Path) -> list[tuple[str, int, int, int, bytes]]:
    return [
        (path.name, path.lstat().st_mode, path.lstat().st_uid, path.lstat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.iterdir())
    ]
