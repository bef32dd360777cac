"""The root file system of most tests: a static program, links for its commands, a passwd and a group file."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import debian

PASSWD = """\
root:x:0:0:root:/root:/bin/sh
nobody:x:65534:65534:nobody:/:/bin/false
alice:x:1000:1000:Alice:/home/alice:/bin/sh
"""
GROUP = """\
root:x:0:
tty:x:5:
staff:x:50:alice
alice:x:1000:
nogroup:x:65534:
"""
FOLDERS = ("bin", "dev", "etc", "home/alice", "proc", "root", "run", "sbin", "sys", "tmp", "usr/bin", "var/tmp")
PT_INTERP = 3


class Missing(Exception):
    """There is no static busybox on this machine, and none could be fetched; the message is a reason to skip."""


def is_static(program: Path) -> bool:
    """An ELF program that asks for no dynamic loader (elf(5): no PT_INTERP among its program headers)."""
    image = program.read_bytes()
    if image[:6] != b"\x7fELF\x02\x01":
        return False
    start, size, count = (int.from_bytes(image[at : at + n], "little") for at, n in ((32, 8), (54, 2), (56, 2)))
    return all(int.from_bytes(image[start + i * size :][:4], "little") != PT_INTERP for i in range(count))


def find() -> Path:
    """The machine's static busybox, or Debian's, unpacked into the test cache. Raises Missing."""
    installed = shutil.which("busybox", path=f"{os.environ.get('PATH', '')}:/bin:/usr/bin")
    if installed and is_static(Path(installed)):
        return Path(installed)
    try:
        return debian.unpacked("busybox-static") / "bin/busybox"
    except debian.Unavailable as error:
        raise Missing(f"no static busybox: {error}") from error


def build(root: Path) -> Path:
    """Fill the empty or missing folder `root`; returns it. Raises Missing."""
    program = find()
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
    for folder in ("tmp", "var/tmp"):
        (root / folder).chmod(0o1777)
    shutil.copy(program, root / "bin/busybox")
    for command in subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split():
        if command != "busybox":
            (root / "bin" / command).symlink_to("busybox")
    (root / "etc/passwd").write_text(PASSWD)
    (root / "etc/group").write_text(GROUP)
    return root
