"""What a layer holds: its tar, decompressed, hashed and bounded while it is read. Nothing here keeps more than a few
hundred kilobytes at a time (8 MiB, or what the frame asks for up to 128 MiB, for zstd).

gzip is RFC 1952, with several members one after the other; zstd RFC 8878, with several frames.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from kernelbox.errors import InvalidContent, StoreError
from kernelbox.oci.digest import Digest
from kernelbox.oci.units import format_size
from kernelbox.oci.value import frozen
from kernelbox.store import held_files
from kernelbox.store.tar_entries import Readable
from kernelbox.store.zstd_frames import ZstdFrames

if TYPE_CHECKING:
    from isal.igzip_lib import IgzipDecompressor

__all__ = ["GZIP", "PLAIN", "ZSTD", "Bounded", "Bounds", "Hashing", "Readable", "compression_of", "decompressed"]

GZIP, ZSTD, PLAIN = "gzip", "zstd", ""

_CHUNK = 1 << 18
_FIRST = 4
_MOST_WINDOW = 1 << 27
_STEP = 1 << 26


def compression_of(first: bytes) -> str:
    """How content is compressed that begins with these four bytes."""
    if first[:2] == b"\x1f\x8b":
        return GZIP
    if first == b"\x28\xb5\x2f\xfd" or (first[1:] == b"\x2a\x4d\x18" and first[0] & 0xF0 == 0x50):
        return ZSTD
    return PLAIN


def decompressed(file: Readable, compression: str | None = None) -> Readable:
    """What `file` holds, whose first bytes say how it is compressed: as `compression` says (the words of
    `media_types.LAYERS`), where that is known.

    Raises InvalidContent, here or from `read`, where it is compressed otherwise, damaged or cut short. `file` stays the
    caller's to close."""
    first = _exactly(file, _FIRST)
    found = compression_of(first)
    if compression is not None and found != compression:
        raise InvalidContent(
            f"a layer that should be {compression or 'a plain tar'} is {found or 'not compressed so'}",
            hint="its media type does not say what it is",
        )
    whole = _Rejoined(first, file)
    if found == GZIP:
        return _Gunzip(whole)
    return _Unzstd(whole) if found == ZSTD else whole


class Hashing:
    """Passes on what it reads, and knows its `size` in bytes and its `digest` so far; without an algorithm the size
    alone."""

    def __init__(self, file: Readable, algorithm: str = "sha256") -> None:
        self._file = file
        self._algorithm = algorithm
        self._hash = hashlib.new(algorithm) if algorithm else None
        self.size = 0

    def read(self, size: int, /) -> bytes:
        content = self._file.read(size)
        if self._hash is not None:
            self._hash.update(content)
        self.size += len(content)
        return content

    @property
    def digest(self) -> Digest | None:
        return Digest(self._algorithm, self._hash.hexdigest()) if self._hash is not None else None

    def check(self, expected: Digest | None, what: str, size: int | None = None) -> None:
        """Reads what is left, and raises InvalidContent where all of it is not what it should be; `what` names it."""
        while self.read(_CHUNK):
            if size is not None and self.size > size:
                break
        if size is not None and self.size != size:
            more = "more than" if self.size > size else f"{self.size} bytes and not"
            raise InvalidContent(f"{what} has {more} the {size} bytes that it should have")
        if expected is not None and self.digest not in (None, expected):
            raise InvalidContent(f"{what} is damaged: it should be {expected} and is {self.digest}")


@frozen
class Bounds:
    """How much a layer may become: `ratio` bytes for each that it has compressed, or `always` in any case, as long as
    the disk keeps `reserve` bytes (a hundredth of it, where that is less)."""

    ratio: int = 200
    always: int = 1 << 30
    reserve: int = 256 << 20


class Bounded:
    """Passes on what `file` gives, decompressed from `source`, and raises InvalidContent when it becomes more than
    `bounds` allow, StoreError when the disk that `folder` is on would be full."""

    def __init__(self, file: Readable, source: Hashing, bounds: Bounds, folder: Path) -> None:
        self._file = file
        self._source = source
        self._bounds = bounds
        self._folder = folder
        self._next_look = 0
        self.size = 0

    def read(self, size: int, /) -> bytes:
        content = self._file.read(size)
        self.size += len(content)
        if self.size > max(self._bounds.always, self._bounds.ratio * self._source.size):
            raise InvalidContent(
                f"a layer becomes more than {self._bounds.ratio} times as large as it is compressed: after"
                f" {format_size(self._source.size)} of it there are {format_size(self.size)}",
                hint="such content is made to fill disks",
            )
        if self.size >= self._next_look:
            self._next_look = self.size + _STEP
            self._look_at_disk()
        return content

    def _look_at_disk(self) -> None:
        try:
            disk = os.statvfs(self._folder)
        except OSError as error:
            raise held_files.disk_error(f"look at the disk of {self._folder}", error) from error
        free = disk.f_bavail * disk.f_frsize
        if free < min(self._bounds.reserve, disk.f_blocks * disk.f_frsize // 100):
            raise StoreError(
                f"the disk of {self._folder} has only {format_size(free)} left, too little for a layer",
                hint="free some space on that disk",
            )


class _Rejoined:
    """A stream of which the beginning has been read."""

    def __init__(self, first: bytes, file: Readable) -> None:
        self._first = first
        self._file = file

    def read(self, size: int = _CHUNK, /) -> bytes:
        if self._first:
            content, self._first = self._first[:size], self._first[size:]
            return content
        return self._file.read(size)


class _Gunzip:
    def __init__(self, file: Readable) -> None:
        from isal import igzip_lib

        self._error = cast("type[Exception]", igzip_lib.IsalError)
        self._file = file
        self._member: IgzipDecompressor | None = None
        self._input = b""

    def read(self, size: int, /) -> bytes:
        while True:
            if self._member is None and not self._begin_member():
                return b""
            member = self._member
            assert member is not None
            if member.needs_input and not self._input:
                self._input = self._file.read(_CHUNK)
                if not self._input:
                    raise InvalidContent("a layer compressed with gzip is cut short")
            try:
                content: bytes = member.decompress(self._input, size)
            except self._error as error:
                raise InvalidContent(f"a layer compressed with gzip is damaged: {error}") from None
            self._input = b""
            if member.eof:
                self._input, self._member = member.unused_data, None
            if content:
                return content

    def _begin_member(self) -> bool:
        """Whether there is another; zeros may follow the last one, as gzip(1) has it."""
        from isal import igzip_lib

        self._input = self._input.lstrip(b"\0")
        while len(self._input) < 2 and (more := self._file.read(_CHUNK)):
            self._input = (self._input + more).lstrip(b"\0")
        if not self._input:
            return False
        if self._input[:2] != b"\x1f\x8b":
            raise InvalidContent("a layer compressed with gzip is followed by something else")
        self._member = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        return True


class _Unzstd:
    def __init__(self, file: Readable) -> None:
        import zstandard

        self._error = zstandard.ZstdError
        self._frames = ZstdFrames(file)
        decompressor = zstandard.ZstdDecompressor(max_window_size=_MOST_WINDOW)
        source = cast("BinaryIO", self._frames)  # of which it wants no more than `read`
        self._reader = decompressor.stream_reader(source, _CHUNK, read_across_frames=True, closefd=False)

    def read(self, size: int, /) -> bytes:
        try:
            content = self._reader.read(size)
        except self._error as error:
            raise InvalidContent(f"a layer compressed with zstd is damaged: {error}") from None
        if not content and size and not self._frames.whole:
            raise InvalidContent("a layer compressed with zstd is cut short")
        return content


def _exactly(file: Readable, size: int) -> bytes:
    """So many bytes, or fewer at the end."""
    content = b""
    while len(content) < size and (more := file.read(size - len(content))):
        content += more
    return content
