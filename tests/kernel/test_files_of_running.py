"""What is copied out of a container that runs: its files and what is mounted in it, but not what the kernel shows."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelbox import Engine
from kernelbox.engine.container import Container

pytestmark = [pytest.mark.kernel, pytest.mark.root]


@pytest.fixture
def container(engine: Engine, busybox_rootfs: Path, tmp_path: Path) -> Iterator[Container]:
    (tmp_path / "file").write_text("of the machine")
    made = engine.containers.run(
        f"dir:{busybox_rootfs}", ["sleep", "600"], volumes=[f"{tmp_path}:/bound", "/volume"], tmpfs=["/memory"]
    )
    assert made.exec(["sh", "-c", "echo x > /volume/x; echo x > /memory/x; echo x > /own"]).exit_code == 0
    yield made
    made.remove(force=True, volumes=True)


def names(container: Container, path: str) -> list[str]:
    pieces, _ = container.get_archive(path)
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as tar:
        return tar.getnames()


@pytest.mark.parametrize("path", ["/", "/."])
def test_all_of_it(container: Container, path: str) -> None:
    found = names(container, path)
    below = {name.removeprefix("./").removeprefix("/") for name in found}
    assert {"own", "bound/file", "volume/x", "memory/x", "proc", "sys", "dev/null"} <= below
    assert not [name for name in below if name.startswith(("proc/", "sys/", "dev/pts/", "dev/mqueue/"))]


def test_what_the_kernel_shows_is_copied_where_it_is_asked_for(container: Container) -> None:
    assert "status" in {name.rpartition("/")[2] for name in names(container, "/proc/1/status")}
    assert len(names(container, "/proc/sys/kernel/random/.")) > 3
