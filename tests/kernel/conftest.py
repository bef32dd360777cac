"""An engine that all tests of one file share, whose monitor, connections and ids are there before the first of them;
images and bundles of busybox."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bundles
import leaks
import pytest

if TYPE_CHECKING:
    from kernelbox import Engine, RunResult
    from kernelbox.engine.container import Container
    from kernelbox.engine.containers import Containers


@pytest.fixture(scope="session")
def busybox_image(busybox_rootfs: Path) -> str:
    """The name of the image that most tests run."""
    return f"dir:{busybox_rootfs}"


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory, busybox_image: str) -> Iterator[Engine]:
    """A test whose run makes an engine keep something new (a device program, more ids) uses `engine` instead."""
    from kernelbox import Engine

    root = tmp_path_factory.mktemp("box") / "store"
    with Engine(root=root) as engine:
        engine.run("host", ["true"])
        engine.run(busybox_image, ["sleep", "infinity"], timeout=0.05)
        yield engine
    assert not leaks.left_in_store(root)


@pytest.fixture(scope="module")
def sh(box: Engine, busybox_image: str) -> Callable[..., RunResult]:
    """Runs a shell script in a container of busybox, and checks that it succeeded."""

    def run(script: str, **options: Any) -> RunResult:
        result = box.run(busybox_image, ["sh", "-c", script], **options)
        assert result.exit_code == 0, result.stderr
        return result

    return run


@pytest.fixture
def bundle(busybox_rootfs: Path, tmp_path: Path) -> bundles.Bundle:
    """Makes a bundle on a copy of busybox, its configuration changed by a function; returns its image's name."""

    def make(change: bundles.Change = lambda _: None) -> str:
        folder = tmp_path / "bundle"
        if not folder.exists():
            folder.mkdir()
            subprocess.run(["cp", "-a", busybox_rootfs, folder / "rootfs"], check=True)
        config = bundles.config()
        change(config)
        return bundles.write(folder, config)

    return make


@pytest.fixture
def containers(engine: Engine) -> Iterator[Containers]:
    """The containers that `engine` keeps; those that a test leaves are removed at its end."""
    yield engine.containers
    for container in engine.containers.list(all=True):
        container.remove(force=True)


@pytest.fixture
def sleeper(containers: Containers, busybox_image: str) -> Container:
    """One that runs, and does not end by itself."""
    return containers.run(busybox_image, ["sleep", "infinity"], name="sleeper")


@pytest.fixture
def orphans() -> Iterator[None]:
    """Reaps at the end what lost its parent: a container without a pid namespace leaves that to init, which is the
    subreaper pytest here."""
    yield
    for process in leaks.descendants():
        if process.state == "Z" and process.parent == os.getpid():
            os.waitpid(process.pid, 0)
