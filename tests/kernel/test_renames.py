"""A machine on which things are renamed and mounted all the time: ".." below a root then gives EAGAIN (openat2(2))."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelbox import Engine
from kernelbox.engine.image import Image, ImageLayer
from kernelbox.oci.image_config import ImageConfig

pytestmark = pytest.mark.kernel

RENAME = "import os, sys; a, b = sys.argv[1:]; print(flush=True)\nwhile True: os.rename(a, b); os.rename(b, a)"
ROUNDS = 300


@pytest.fixture
def renames(tmp_path: Path) -> Iterator[None]:
    """A folder is renamed without end, by another process."""
    (tmp_path / "one").mkdir()
    command = [sys.executable, "-c", RENAME, tmp_path / "one", tmp_path / "other"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        yield
        process.kill()


@pytest.fixture
def winding(tmp_path: Path) -> tuple[Path, str]:
    """A folder, and a way through it that leads to `place` there."""
    root = tmp_path / "root"
    (root / "etc/deep").mkdir(parents=True)
    (root / "place").mkdir()
    return root, "/etc/deep/../../place"


@pytest.mark.usefixtures("renames")
def test_the_accounts_of_an_image(winding: tuple[Path, str]) -> None:
    root, way = winding
    (root / "place/passwd").write_bytes(b"ada\n")
    (root / "etc/passwd").symlink_to(f"{way}/passwd")
    image = Image("dir:x", ImageConfig(), (ImageLayer(str(root)),))
    for _ in range(ROUNDS * 20):
        assert image.read_accounts() == (b"ada\n", b"")


@pytest.mark.root
@pytest.mark.usefixtures("renames")
def test_a_mount_behind_a_link(engine: Engine, winding: tuple[Path, str], busybox_rootfs: Path, tmp_path: Path) -> None:
    root, way = winding
    (root / "bin").mkdir()
    (root / "bin/busybox").hardlink_to(busybox_rootfs / "bin/busybox")
    (root / "link").symlink_to(way)
    (tmp_path / "given/file").mkdir(parents=True)
    for _ in range(ROUNDS // 10):
        run = engine.run(f"dir:{root}", ["/bin/busybox", "ls", "/place"], volumes=[f"{tmp_path}/given:/link"])
        assert (run.stdout, run.stderr) == ("file\n", "")
