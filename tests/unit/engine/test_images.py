"""The accounts of an image: read beneath its root, and only from what is plainly a file."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from kernelbox.engine.image import Image, ImageLayer
from kernelbox.errors import InvalidOption
from kernelbox.oci.image_config import ImageConfig


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The root of an image, beside a file that is not the image's."""
    (tmp_path / "root/etc").mkdir(parents=True)
    (tmp_path / "root/etc/group").write_bytes(b"staff:x:50:\n")
    (tmp_path / "passwd").write_bytes(b"machine:x:1:1::/:/bin/sh\n")
    return tmp_path / "root"


def accounts(root: Path) -> tuple[bytes, bytes]:
    return Image("dir:x", ImageConfig(), (ImageLayer(str(root)),)).read_accounts()


def test_files(root: Path) -> None:
    (root / "etc/passwd").write_bytes(b"ada:x:7:7::/:/bin/sh\n")
    assert accounts(root) == (b"ada:x:7:7::/:/bin/sh\n", b"staff:x:50:\n")


@pytest.mark.parametrize("link", ["/usr/passwd", "../usr/passwd", "../../../../usr/passwd"])
def test_a_link_is_followed_beneath_the_root(root: Path, link: str) -> None:
    (root / "usr").mkdir()
    (root / "usr/passwd").write_bytes(b"ada\n")
    (root / "etc/passwd").symlink_to(link)
    assert accounts(root)[0] == b"ada\n"


def test_no_file_is_an_empty_one(root: Path) -> None:
    assert accounts(root)[0] == b""
    (root / "etc/passwd").symlink_to(root.parent / "passwd")
    assert accounts(root)[0] == b""
    (root / "etc/passwd").unlink()
    (root / "etc/group").unlink()
    (root / "etc").rmdir()
    (root / "etc").touch()
    assert accounts(root) == (b"", b"")


def listen(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(path))


UNREADABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "loop": (lambda path: path.symlink_to("passwd"), "cannot be read: too many levels of symbolic links"),
    "folder": (lambda path: path.mkdir(), "is not a regular file"),
    "fifo": (os.mkfifo, "is not a regular file"),
    "socket": (listen, "is not a regular file"),
    "large": (lambda path: path.write_bytes(bytes((1 << 20) + 1)), "is larger than 1 MiB"),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_cannot_be_read_is_not_nothing(root: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, words = UNREADABLE[kind]
    monkeypatch.chdir(root)  # the path of a socket is short
    make(Path("etc/passwd"))
    with pytest.raises(InvalidOption, match=f"user: the image's /etc/passwd {words}"):
        accounts(root)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_of_somebody_else(root: Path) -> None:
    (root / "etc/passwd").touch(0)
    with pytest.raises(InvalidOption, match="user: the image's /etc/passwd cannot be read: permission denied"):
        accounts(root)
