"""Images of containers that nothing is written down of: who runs one holds its image for as long as it runs.

images/holds/HEX    one image; locked (flock), shared by those who run it
images/removing     locked by whoever removes images: only a running container can stand in their way then
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from kernelbox.linux.descriptor import Descriptor
from kernelbox.oci.digest import Digest
from kernelbox.store import held_files

__all__ = ["Holds"]


class Holds:
    """Those of a store. Every call may raise StoreError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._holds = folder / "holds"

    def hold(self, identity: str) -> Descriptor:
        """Nobody removes the image of this whole id as long as a copy of the descriptor is open anywhere; look after it
        whether it is there."""
        with self._explained():
            held_files.make_folder(self._holds)
            return held_files.share(self._path(identity))

    @contextlib.contextmanager
    def unheld(self, identity: str) -> Iterator[bool]:
        """Whether nobody holds the image; then nobody can begin to within the block."""
        with self._alone():
            path = self._path(identity)
            with self._explained():
                file = held_files.hold(path, wait=False)
            if file is None:
                yield False
                return
            with file:
                try:
                    yield True
                finally:
                    path.unlink(missing_ok=True)

    def clean(self) -> None:
        """Removes what those have left that run no more."""
        with self._alone(), self._explained():
            for path in held_files.unheld(self._holds):
                path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with self._explained():
            held_files.make_folder(self._holds)
            lock = held_files.hold(self._folder / "removing")
        assert lock is not None
        with lock:
            yield

    def _path(self, identity: str) -> Path:
        return self._holds / Digest.parse(identity).encoded

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise held_files.disk_error(f"look who runs images in {self._folder}", error) from error
