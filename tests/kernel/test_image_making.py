"""Images from what is no image yet: a folder, and Debian's packages."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kernelbox import Engine
from kernelbox.errors import InvalidOption, KernelError, NotSupported, StoreError

pytestmark = [pytest.mark.kernel, pytest.mark.root]


def test_a_folder(engine: Engine, busybox_rootfs: Path) -> None:
    made = engine.images.from_dir(busybox_rootfs, "lab:1", changes=['CMD ["sh", "-c", "echo $A"]', "ENV A=5"])
    assert made.tags == ("lab:1",)
    assert engine.run("lab:1").stdout == "5\n"
    assert made.history()[0].Comment == f"from the folder {busybox_rootfs.name}"


def test_the_same_folder_is_the_same_layer(engine: Engine, busybox_rootfs: Path) -> None:
    assert engine.images.from_dir(busybox_rootfs).layers == engine.images.from_dir(busybox_rootfs).layers


def test_owners_modes_and_times_are_those_of_the_folder(engine: Engine, busybox_rootfs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "root"
    folder.mkdir()
    for name in ("bin", "lib", "etc"):
        if (busybox_rootfs / name).exists():
            os.symlink("/nowhere", folder / f"link-{name}")
    (folder / "file").write_text("x")
    os.chown(folder / "file", 5, 6)
    (folder / "file").chmod(0o640)
    os.utime(folder / "file", ns=(1, 1_500_000_000))
    engine.images.from_dir(busybox_rootfs, "base")
    engine.images.from_dir(folder, "lab")
    made = engine.containers.create("lab", ["/file"])
    found = made.stat("/file")
    assert (found.mode & 0o7777, found.size) == (0o640, 1)
    made.remove()


@pytest.mark.parametrize("path", ["/nonesuch", "/etc/passwd"])
def test_no_folder(engine: Engine, path: str) -> None:
    with pytest.raises(KernelError, match="could not open the folder"):
        engine.images.from_dir(path)
    assert not engine.images.list()


def test_without_its_maker(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonesuch")
    with pytest.raises(NotSupported, match="mmdebstrap, which is not installed"):
        engine.images.bootstrap("debian")


@pytest.mark.parametrize("what", ["fedora", "debian:../x", "debian:-x", "debian:A b"])
def test_what_cannot_be_made(engine: Engine, what: str) -> None:
    with pytest.raises(InvalidOption, match="cannot be made here"):
        engine.images.bootstrap(what)


def test_an_option_is_no_package(engine: Engine) -> None:
    with pytest.raises(InvalidOption, match="do not begin with a dash"):
        engine.images.bootstrap(packages=["--customize-hook=touch /tmp/x"])
    with pytest.raises(InvalidOption, match="do not begin with a dash"):
        engine.images.bootstrap(mirror="--setup-hook=true")


def test_a_mirror_that_is_not_there(engine: Engine, tmp_path: Path) -> None:
    """Its maker is really run, and has nothing to make it of."""
    import shutil

    if shutil.which("mmdebstrap") is None:
        pytest.skip("mmdebstrap is not installed")
    with pytest.raises(StoreError, match="mmdebstrap could not make bookworm"):
        engine.images.bootstrap("debian:bookworm", mirror=f"file://{tmp_path}")
    assert not engine.images.list()
    assert engine.images.store.collect().size == 0
