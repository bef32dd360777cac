"""Debian packages that tests look into without installing them, kept in a cache outside the source tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path


class Unavailable(Exception):
    """The package cannot be had here; the message is a reason to skip."""


def cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home, "kernelbox-tests")


def apt(*arguments: str, cwd: Path | None = None) -> str:
    """What an apt command prints. Raises Unavailable with its last words."""
    if not shutil.which(arguments[0]):
        raise Unavailable(f"there is no {arguments[0]} on this machine")
    done = subprocess.run(arguments, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=280)
    if done.returncode:
        raise Unavailable(f"{' '.join(arguments)}: {(done.stderr.strip() or 'failed').splitlines()[-1]}")
    return done.stdout


def dependency(package: str, beginning: str) -> str:
    """The package of that `beginning` which the metapackage `package` depends on now. Raises Unavailable."""
    for line in apt("apt-cache", "depends", package).splitlines():
        kind, _, name = line.strip().partition(": ")
        if kind == "Depends" and name.startswith(beginning):
            return name
    raise Unavailable(f"{package} is not in this machine's package lists (apt-get update brings them)")


def unpacked(package: str) -> Path:
    """The folder in which the files of `package` lie, downloaded and unpacked the first time. Raises Unavailable."""
    folder = cache() / package
    if not folder.exists():
        cache().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache()) as work:
            apt("apt-get", "download", "-q", package, cwd=Path(work))
            (archive,) = Path(work).glob("*.deb")
            apt("dpkg", "-x", str(archive), f"{work}/files")
            Path(work, "files").rename(folder)
    return folder
