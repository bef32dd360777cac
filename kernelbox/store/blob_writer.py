"""Content on its way into the store: hashed and counted while it is written, and shown only when it is found right."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from kernelbox.errors import InvalidContent
from kernelbox.linux.descriptor import Closing, Descriptor
from kernelbox.oci.digest import Digest
from kernelbox.store import held_files

__all__ = ["BlobWriter"]

_CHUNK = 1 << 20


class BlobWriter(Closing):
    """`write` until all is there, then `commit`; closed without that nothing shows, and only what `keeps` stays to be
    gone on with. Not for several threads at once.

    `offset` is how many bytes are there already. `found`: somebody else has brought it in the meantime, and there is
    nothing to write. The file at `path`, which is held, belongs to this object."""

    def __init__(
        self, blobs: Path, path: Path, file: Descriptor, expected: Digest | None, size: int | None, *, keeps: bool
    ) -> None:
        self._blobs = blobs
        self._path = path
        self._file = file
        self._expected = expected
        self._size = size
        self._keeps = keeps
        self._gone = False
        self.found = False
        self.offset = 0
        self._hash = _hasher(expected)
        try:
            self._go_on()
        except BaseException:
            self.close()
            raise

    def write(self, content: bytes | bytearray | memoryview) -> int:
        """All of it. Raises InvalidContent as soon as it is longer than it should be, StoreError."""
        if self._size is not None and self.offset + len(content) > self._size:
            self.restart()
            raise InvalidContent(f"{self._name} is longer than the {self._size} bytes that it should have")
        left = memoryview(content)
        try:
            while left:
                left = left[os.write(self._file.fileno(), left) :]
        except OSError as error:
            raise held_files.disk_error(f"write {self._name} to {self._blobs}", error) from error
        self._hash.update(content)
        self.offset += len(content)
        return len(content)

    def reading(self) -> Descriptor:
        """For whoever wants to read what has been written so far, and what will be; theirs to close."""
        return Descriptor(os.open(f"/proc/self/fd/{self._file.fileno()}", os.O_RDONLY | os.O_CLOEXEC))

    def restart(self) -> None:
        """Forgets all that was written."""
        os.ftruncate(self._file.fileno(), 0)
        os.lseek(self._file.fileno(), 0, os.SEEK_SET)
        self._hash, self.offset = _hasher(self._expected), 0

    def commit(self) -> Digest:
        """The content is there from now on, under its digest, and survives a power cut. Raises InvalidContent where it
        is something else than expected, and then nothing of it is kept; StoreError."""
        if self.found and self._expected is not None:
            return self._expected
        digest = Digest(self._expected.algorithm if self._expected else "sha256", self._hash.hexdigest())
        self._check(digest)
        place = self._blobs / digest.algorithm / digest.encoded
        try:
            held_files.keep_as(self._path, self._file, place)
            self._gone = True
        except OSError as error:
            raise held_files.disk_error(f"keep {digest} in {self._blobs}", error) from error
        return digest

    def close(self) -> None:
        """Idempotent."""
        kept = self._keeps and self.offset and not self.found
        if not self._gone and not kept:
            self._path.unlink(missing_ok=True)
        self._gone = True
        self._file.close()

    @property
    def _name(self) -> str:
        return str(self._expected) if self._expected else "content"

    def _go_on(self) -> None:
        """Reads what an earlier attempt has left."""
        if self._size is not None and os.fstat(self._file.fileno()).st_size > self._size:
            self.restart()
        while chunk := os.read(self._file.fileno(), _CHUNK):
            self._hash.update(chunk)
            self.offset += len(chunk)

    def _check(self, found: Digest) -> None:
        wrong = ""
        if self._size is not None and self.offset != self._size:
            wrong = f"{self._name} has {self.offset} bytes and should have {self._size}"
        elif self._expected not in (None, found):
            wrong = f"what should be {self._expected} is {found}"
        if wrong:
            self.restart()
            raise InvalidContent(wrong, hint="it was damaged on its way: fetch it again")


def _hasher(expected: Digest | None) -> hashlib._Hash:
    return expected.hasher() if expected else hashlib.sha256()
