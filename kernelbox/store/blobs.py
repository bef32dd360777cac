"""Content at rest under its digest: layers as they were moved, manifests, configurations (image-spec v1.1,
image-layout.md, has the same folders).

blobs/sha256/HEX           whole, right when it was written, and durable: it came here by rename
blobs/new/RANDOM           on its way here
blobs/partial/sha256-HEX   on its way here from afar: the next attempt goes on where this one ends
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from kernelbox.errors import BlobNotFound, InvalidContent
from kernelbox.linux.descriptor import Descriptor
from kernelbox.oci.digest import ALGORITHMS, Digest
from kernelbox.store import held_files
from kernelbox.store.blob_writer import BlobWriter
from kernelbox.store.held_files import Waiting

__all__ = ["Blobs"]

PARTIAL_KEPT_S = 7 * 24 * 3600.0
"""How long what has come of a broken download waits to be gone on with."""


class Blobs:
    """Safe for several threads and processes. The folder is made with the first content."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cleaned = False

    @property
    def folder(self) -> Path:
        return self._folder

    def path(self, digest: Digest) -> Path:
        """Where it is, or would be."""
        return self._folder / digest.algorithm / digest.encoded

    def has(self, digest: Digest) -> bool:
        return self.path(digest).is_file()

    def size(self, digest: Digest) -> int:
        """In bytes. Raises BlobNotFound."""
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError:
            raise _not_found(digest) from None

    def open(self, digest: Digest) -> BinaryIO:
        """For reading, from the start; whoever reads checks. It stays readable when it is removed. Raises
        BlobNotFound, StoreError."""
        try:
            return open(self.path(digest), "rb", buffering=0)
        except FileNotFoundError:
            raise _not_found(digest) from None
        except OSError as error:
            raise held_files.disk_error(f"read {digest}", error) from error

    def read(self, digest: Digest, most: int) -> bytes:
        """All of it, checked. Raises BlobNotFound, and InvalidContent for what is longer than `most` bytes, or is not
        what it was any more."""
        with self.open(digest) as file:
            content = b"".join(_pieces(file, most + 1))
        if len(content) > most:
            raise InvalidContent(f"{digest} is longer than the {most} bytes that it may have")
        try:
            digest.check(content, f"the content at {self.path(digest)}")
        except InvalidContent as error:
            raise InvalidContent(error.message, hint="remove its images and bring them again") from None
        return content

    def put(self, content: bytes, digest: Digest | None = None) -> Digest:
        """Keeps this content, whose digest is to be that one; the same once more changes nothing, but for mending what
        was damaged. Raises InvalidContent, StoreError."""
        known = digest or Digest.of(content)
        if self.has(known) and self._is(known, content):
            return known
        with self.writer(digest) as writer:
            writer.write(content)
            return writer.commit()

    def writer(self, expected: Digest | None = None, size: int | None = None) -> BlobWriter:
        """For content that comes in pieces: see BlobWriter. Raises StoreError."""
        try:
            self._begin("new")
            path, file = held_files.new_file(self._folder / "new")
        except OSError as error:
            raise held_files.disk_error(f"write to {self._folder}", error) from error
        return BlobWriter(self._folder, path, file, expected, size, keeps=False)

    def adopt(self, path: Path, file: Descriptor, digest: Digest) -> None:
        """Takes over a file of the same file system, which the caller holds and has found to have this content. Raises
        StoreError."""
        try:
            held_files.keep_as(path, file, self.path(digest))
        except OSError as error:
            raise held_files.disk_error(f"keep {digest} in {self._folder}", error) from error

    def partial(self, digest: Digest, size: int | None = None, waiting: Waiting | None = None) -> BlobWriter:
        """As `writer`, for what somebody may have begun: they are waited for if they still write (`waiting` may end
        that), and gone on with where they ended if not. What is closed before it is whole stays for the next
        attempt."""
        try:
            self._begin("partial")
            path = self._folder / "partial" / f"{digest.algorithm}-{digest.encoded}"
            file = held_files.hold(path, waiting=waiting)
        except OSError as error:
            raise held_files.disk_error(f"write to {self._folder}", error) from error
        assert file is not None
        writer = BlobWriter(self._folder, path, file, digest, size, keeps=True)
        writer.found = self.has(digest)
        return writer

    def remove(self, digest: Digest) -> None:
        """Idempotent. Raises StoreError."""
        try:
            self.path(digest).unlink(missing_ok=True)
        except OSError as error:
            raise held_files.disk_error(f"remove {digest}", error) from error

    def take_out(self, digest: Digest, trash: Path) -> str:
        """As `remove`, but quickly however large it is: it is something in the folder `trash` then, whose name is
        given; "" where there was none. Raises StoreError."""
        fresh = secrets.token_hex(32)
        try:
            os.rename(self.path(digest), trash / fresh)
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise held_files.disk_error(f"remove {digest}", error) from error
        return fresh

    def came(self, digest: Digest) -> float:
        """When it came here, in seconds since 1970. Raises BlobNotFound."""
        try:
            return self.path(digest).stat().st_ctime
        except FileNotFoundError:
            raise _not_found(digest) from None

    def every(self) -> Iterator[Digest]:
        """What is here, in no order."""
        for algorithm, digits in ALGORITHMS.items():
            with contextlib.suppress(FileNotFoundError), os.scandir(self._folder / algorithm) as entries:
                for entry in entries:
                    if len(entry.name) == digits:
                        yield Digest(algorithm, entry.name)

    def clean(self, partials_before: float | None = None) -> None:
        """Removes what somebody who was killed has left half written, and of what waits to be gone on with that which
        was last written before that moment (seconds since 1970; PARTIAL_KEPT_S ago)."""
        before = time.time() - PARTIAL_KEPT_S if partials_before is None else partials_before
        for path in held_files.unheld(self._folder / "new"):
            path.unlink(missing_ok=True)
        for path in held_files.unheld(self._folder / "partial", before):
            path.unlink(missing_ok=True)

    def _is(self, digest: Digest, content: bytes) -> bool:
        """Whether the very bytes are there, and sure to last: whoever has brought them may not have come so far."""
        try:
            with open(self.path(digest), "rb") as file:
                same = file.read(len(content) + 1) == content
            held_files.sync_folder(self.path(digest).parent)
        except OSError:
            return False
        return same

    def _begin(self, name: str) -> None:
        held_files.make_folder(self._folder / name)
        if not self._cleaned:
            self._cleaned = True
            self.clean()


def _pieces(file: BinaryIO, most: int) -> Iterator[bytes]:
    while most > 0 and (piece := file.read(min(most, 1 << 20))):
        most -= len(piece)
        yield piece


def _not_found(digest: Digest) -> BlobNotFound:
    return BlobNotFound(f"no such content in the store: {digest}", hint="pull or load its image again")
