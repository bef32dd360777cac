"""Where a store lives: its own folder for what lasts, a runtime folder for sockets."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from kernelbox.errors import StoreError, reason_of

__all__ = ["StorePaths", "default_root", "runtime_base"]


def default_root() -> Path:
    """KERNELBOX_ROOT, or /var/lib/kernelbox for root and $XDG_DATA_HOME/kernelbox for others."""
    chosen = os.environ.get("KERNELBOX_ROOT")
    if chosen:
        return Path(chosen)
    if os.geteuid() == 0:
        return Path("/var/lib/kernelbox")
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share"
    return Path(data, "kernelbox")


def runtime_base() -> Path:
    """/run/kernelbox for root; below $XDG_RUNTIME_DIR, or a private folder of /tmp, for others."""
    if os.geteuid() == 0:
        return Path("/run/kernelbox")
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime, "kernelbox") if runtime else Path(f"/tmp/kernelbox-{os.geteuid()}")


@dataclass(frozen=True, slots=True)
class StorePaths:
    """The folders of one store. `name` is short, differs between stores, and names its control groups."""

    root: Path
    runtime: Path
    name: str

    @classmethod
    def of(cls, root: Path | str | None = None) -> StorePaths:
        """The store at `root`, or the default one, however its path is spelled; nothing is made yet."""
        real = Path(os.path.realpath(root or default_root()))
        name = hashlib.sha256(os.fsencode(real)).hexdigest()[:12]
        return cls(real, runtime_base() / name, name)

    @property
    def containers(self) -> Path:
        """A folder for each container that is kept: an OCI bundle, its upper layer, its log and its records."""
        return self.root / "containers"

    @property
    def runs(self) -> Path:
        """What belongs to containers that are removed when they end."""
        return self.root / "runs"

    @property
    def volumes(self) -> Path:
        """A folder for each volume; made with the first of them."""
        return self.root / "volumes"

    @property
    def images(self) -> Path:
        """Who works with images, and with which."""
        return self.root / "images"

    @property
    def blobs(self) -> Path:
        return self.root / "blobs"

    @property
    def layers(self) -> Path:
        return self.root / "layers"

    @property
    def state(self) -> Path:
        return self.root / "state.db"

    @property
    def trash(self) -> Path:
        return self.root / "trash"

    @property
    def lock(self) -> Path:
        """Held (flock) by the store's monitor for as long as it lives; holds the path of its socket, which another
        process of the same user may expect elsewhere ($XDG_RUNTIME_DIR)."""
        return self.root / "monitor.lock"

    @property
    def socket(self) -> Path:
        return self.runtime / "monitor.sock"

    def prepare(self) -> None:
        """Makes the folders, closed to other users. Idempotent. Raises StoreError where a place cannot be written, or
        where somebody else could."""
        try:
            for folder in (self.root, self.containers, self.runs, self.trash):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                if folder == self.root:
                    _close_new(folder)
                _check_ours(folder, "set KERNELBOX_ROOT to a folder of your own")
        except OSError as error:
            raise StoreError(
                f"could not prepare the store at {self.root}: {error.strerror or error}",
                hint="set KERNELBOX_ROOT to a folder that you may write",
            ) from error
        self._prepare_runtime()

    def _prepare_runtime(self) -> None:
        base = self.runtime.parent
        mend = f"move {base} away"
        if os.geteuid():
            unset = ", or unset it" if "XDG_RUNTIME_DIR" in os.environ else ""
            mend = f"set XDG_RUNTIME_DIR to a folder of your own{unset}"
        try:
            base.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_ours(base, mend)
        except OSError as error:
            reason = reason_of(error)
            raise StoreError(f"could not make {base} for the monitor's socket: {reason}", hint=mend) from error


def _close_new(folder: Path) -> None:
    """An empty folder of ours is to be a store: a disk mounted there, which everybody may write at first."""
    status = folder.lstat()
    if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not os.listdir(folder):
        folder.chmod(stat.S_IMODE(status.st_mode) & ~(stat.S_IWGRP | stat.S_IWOTH))
        if os.listdir(folder):  # somebody was quicker
            folder.chmod(stat.S_IMODE(status.st_mode))


def _check_ours(folder: Path, mend: str) -> None:
    """Whoever else can write there would choose what is opened, deleted and connected to."""
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise StoreError(f"{folder} is a link, not a folder", hint=mend)
    if status.st_uid != os.geteuid():
        raise StoreError(f"{folder} belongs to somebody else (user id {status.st_uid})", hint=mend)
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StoreError(f"other users may write to {folder}", hint=f"chmod go-w {folder}")
