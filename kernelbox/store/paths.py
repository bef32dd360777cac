"""Where a store lives: its own folder for what lasts, a runtime folder for sockets."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from kernelbox.errors import StoreError

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
        """The store at `root`, or the default one; nothing is made yet."""
        absolute = Path(root or default_root()).absolute()
        name = hashlib.sha256(os.fsencode(absolute)).hexdigest()[:12]
        return cls(absolute, runtime_base() / name, name)

    @property
    def containers(self) -> Path:
        return self.root / "containers"

    @property
    def trash(self) -> Path:
        return self.root / "trash"

    @property
    def lock(self) -> Path:
        """Held (flock) by the store's monitor for as long as it lives."""
        return self.root / "monitor.lock"

    @property
    def socket(self) -> Path:
        return self.runtime / "monitor.sock"

    def prepare(self) -> None:
        """Makes the folders, closed to other users. Idempotent. Raises StoreError where the place cannot be written."""
        try:
            for folder in (self.root, self.containers, self.trash):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._prepare_runtime()
        except OSError as error:
            raise StoreError(
                f"could not prepare the store at {self.root}: {error.strerror or error}",
                hint="set KERNELBOX_ROOT to a folder that you may write",
            ) from error

    def _prepare_runtime(self) -> None:
        base = self.runtime.parent
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = base.lstat()
        if status.st_uid != os.geteuid() or not base.is_dir() or base.is_symlink():
            raise StoreError(f"{base} belongs to somebody else", hint="set XDG_RUNTIME_DIR to a folder of your own")
