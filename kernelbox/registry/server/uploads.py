"""Uploads that have begun: each a file, which grows with what comes and becomes a blob in the end.

uploads/ID.REPOSITORY     ID is random, REPOSITORY the beginning of a hash of the repository's name: an upload that was
                          begun in one repository is not there in another

There is nothing else to an upload, so another server on the same storage, or the same one after a crash, goes on with
it. What is hashed while it comes is remembered by this process; where that is lost the file is read once more at the
end.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

from kernelbox.errors import InvalidContent
from kernelbox.linux.descriptor import Closing, Descriptor
from kernelbox.oci.digest import Digest
from kernelbox.oci.value import frozen
from kernelbox.store import held_files

__all__ = ["Busy", "Upload", "Uploads"]

_NAME = re.compile(r"[0-9a-f]{32}")
_PIECE = 1 << 20
_MOST_REMEMBERED = 4096


class Busy(Exception):
    """Somebody else writes to this upload."""


@frozen
class Hashed:
    """What has been hashed of an upload: its first `offset` bytes."""

    offset: int
    algorithm: str
    hasher: hashlib._Hash


class Uploads:
    """Safe for several threads and processes. The folder is made with the first upload."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mutex = threading.Lock()
        self._hashed: OrderedDict[str, Hashed] = OrderedDict()

    def begin(self, repository: str, algorithm: str = "sha256") -> str:
        """An empty one. `algorithm` is that of the digest that it is expected to end with. Returns its name; raises
        StoreError."""
        name = secrets.token_hex(16)
        try:
            held_files.make_folder(self._folder)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(self._path(name, repository), flags, 0o600))
        except OSError as error:
            raise held_files.disk_error(f"begin an upload in {self._folder}", error) from error
        self.remember(name, Hashed(0, algorithm, hashlib.new(algorithm)))
        return name

    def open(self, name: str, repository: str) -> Upload | None:
        """To go on with it, and nobody else until it is closed. None where there is none of this name; raises Busy,
        StoreError."""
        if not _NAME.fullmatch(name):
            return None
        path = self._path(name, repository)
        try:
            file = _held(path)
        except OSError as error:
            raise held_files.disk_error(f"open an upload in {self._folder}", error) from error
        return Upload(self, name, path, file) if file is not None else None

    def size(self, name: str, repository: str) -> int | None:
        """How much of it has come; None where there is none of this name."""
        try:
            return self._path(name, repository).stat().st_size if _NAME.fullmatch(name) else None
        except FileNotFoundError:
            return None

    def stale(self, older_than_s: float) -> Iterator[tuple[Path, int]]:
        """Those to which nobody has written for so long, with their sizes; each is held by us while it is given, and
        may be removed."""
        for path in held_files.unheld(self._folder, time.time() - older_than_s):
            yield path, path.stat().st_size

    def count(self) -> int:
        """How many there are."""
        try:
            return len(os.listdir(self._folder))
        except FileNotFoundError:
            return 0

    def remember(self, name: str, hashed: Hashed) -> None:
        with self._mutex:
            self._hashed[name] = hashed
            while len(self._hashed) > _MOST_REMEMBERED:
                self._hashed.popitem(last=False)

    def recall(self, name: str) -> Hashed | None:
        """Once."""
        with self._mutex:
            return self._hashed.pop(name, None)

    def _path(self, name: str, repository: str) -> Path:
        return self._folder / f"{name}.{hashlib.sha256(repository.encode()).hexdigest()[:16]}"


def _held(path: Path) -> Descriptor | None:
    """The file, locked; None where there is none, and none is made. Raises Busy, OSError."""
    with contextlib.suppress(FileNotFoundError):
        file = Descriptor(os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC))
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file.fileno()), path.lstat()):
                return file
        except BlockingIOError:
            file.close()
            raise Busy from None
        except BaseException:
            file.close()
            raise
        file.close()  # somebody has finished it between our open and our lock
    return None


class Upload(Closing):
    """Held until it is closed. Not for several threads at once. `offset` is how many bytes there are."""

    def __init__(self, uploads: Uploads, name: str, path: Path, file: Descriptor) -> None:
        self._uploads = uploads
        self.name = name
        self._path = path
        self.file = file
        self.offset = os.lseek(file.fileno(), 0, os.SEEK_END)
        hashed = uploads.recall(name)
        self._hashed = hashed if hashed and hashed.offset == self.offset else None
        self._algorithm = hashed.algorithm if hashed else "sha256"
        self._gone = False

    @property
    def path(self) -> Path:
        return self._path

    def write(self, content: bytes) -> None:
        """All of it, at the end. Raises StoreError."""
        left = memoryview(content)
        try:
            while left:
                left = left[os.write(self.file.fileno(), left) :]
        except OSError as error:
            self.truncate(self.offset)
            raise held_files.disk_error("write what was uploaded", error) from error
        self.offset += len(content)
        if self._hashed:
            self._hashed.hasher.update(content)
            self._hashed = Hashed(self.offset, self._hashed.algorithm, self._hashed.hasher)

    def truncate(self, offset: int) -> None:
        """Forgets what came behind that."""
        os.ftruncate(self.file.fileno(), offset)
        self.offset = os.lseek(self.file.fileno(), offset, os.SEEK_SET)
        if self._hashed and self._hashed.offset != offset:
            self._hashed = None

    def check(self, digest: Digest) -> None:
        """Raises InvalidContent where what has come is something else."""
        found = self._digest(digest.algorithm)
        if found != digest.encoded:
            raise InvalidContent(f"what was uploaded is not {digest} but {digest.algorithm}:{found}")

    def remove(self) -> None:
        """There is no such upload any more."""
        self._path.unlink(missing_ok=True)
        self._gone = True

    def taken(self) -> None:
        """Its file has become something else."""
        self._gone = True

    def close(self) -> None:
        """Idempotent. What has come stays, to be gone on with."""
        if self._hashed and not self._gone:
            self._uploads.remember(self.name, self._hashed)
        self._gone = True
        self.file.close()

    def _digest(self, algorithm: str) -> str:
        if self._hashed and self._hashed.algorithm == algorithm:
            return self._hashed.hasher.hexdigest()
        hasher = hashlib.new(algorithm)
        offset = 0
        while piece := os.pread(self.file.fileno(), _PIECE, offset):
            hasher.update(piece)
            offset += len(piece)
        return hasher.hexdigest()
