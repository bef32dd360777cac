"""Content and layers that a running pull, load or build counts on before any image has them.

images/leases/RANDOM       held (flock) by whoever works; what it keeps are rows of the owner lease/RANDOM

When its holder dies the kernel lets go of the file, and whoever collects garbage next removes the rows."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from kernelbox.linux.descriptor import Closing, Descriptor
from kernelbox.oci.digest import Digest
from kernelbox.store import held_files
from kernelbox.store import image_rows as rows
from kernelbox.store.blobs import Blobs
from kernelbox.store.image_rows import LayerUse
from kernelbox.store.state import StateFile

if TYPE_CHECKING:
    import sqlite3

__all__ = ["Lease", "Leases"]

_OWNER = "lease/"


class Lease(Closing):
    """Until it is closed nothing that it keeps is removed, nor anything that comes into the store from now on.

    `blobs` are those of the store; what `has` finds among them is kept."""

    def __init__(self, state: StateFile, path: Path, file: Descriptor, blobs: Path) -> None:
        self.blobs: Blobs = _KeptBlobs(blobs, self)
        self._state = state
        self._path = path
        self._file = file
        self._owner = _OWNER + path.name
        self._empty, self._open = True, True

    def keep(self, blobs: Iterable[Digest] = (), layers: Iterable[Digest] = ()) -> None:
        """What is of this in the store when the call returns stays there; look after it, not before. `layers` are
        chain ids."""
        with self._state.transaction(durable=False) as cursor:
            rows.use_blobs(cursor, self._owner, ((each, 0) for each in blobs))
            rows.use_layers(cursor, self._owner, [LayerUse(each, 0) for each in layers])
        self._empty = False

    def close(self) -> None:
        """Idempotent."""
        if self._open:
            self._open = False
            with self._file:  # whatever else fails: who collects garbage sees to the rest
                if not self._empty:
                    with self._state.transaction(durable=False) as cursor:
                        rows.release(cursor, self._owner)
                self._path.unlink(missing_ok=True)


class _KeptBlobs(Blobs):
    def __init__(self, folder: Path, lease: Lease) -> None:
        super().__init__(folder)
        self._lease = lease
        self._kept: set[Digest] = set()

    def has(self, digest: Digest) -> bool:
        if digest not in self._kept:
            self._lease.keep([digest])
            self._kept.add(digest)
        return super().has(digest)


class Leases:
    """Those of a store, whose content is in the folder `blobs`."""

    def __init__(self, state: StateFile, folder: Path, blobs: Path) -> None:
        self._state = state
        self._folder = folder
        self._blobs = blobs

    def begin(self) -> Lease:
        """Raises StoreError."""
        try:
            held_files.make_folder(self._folder)
            path, file = held_files.new_file(self._folder)
        except OSError as error:
            raise held_files.disk_error(f"write to {self._folder}", error) from error
        return Lease(self._state, path, file, self._blobs)

    def clean(self, cursor: sqlite3.Cursor) -> float:
        """Forgets those whose holders have died. When the oldest of the others began, in seconds since 1970; now,
        where there is none."""
        now = time.time()
        for path in held_files.unheld(self._folder):
            path.unlink(missing_ok=True)
        begun = {}
        if self._folder.is_dir():
            for path in self._folder.iterdir():
                try:
                    begun[_OWNER + path.name] = path.stat().st_mtime
                except FileNotFoundError:  # ended just now
                    continue
        for owner in rows.owners(cursor, _OWNER):
            if owner not in begun and not (self._folder / owner.removeprefix(_OWNER)).exists():
                rows.release(cursor, owner)
        return min([now, *begun.values()])
