"""A tar archive on its way: its entries renamed, changed or left out."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, BinaryIO, cast

from kernelbox.store.tar_entries import Entry, Kind, TarReader

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["as_file", "rewrite"]

_TYPES = {
    Kind.FILE: tarfile.REGTYPE,
    Kind.FOLDER: tarfile.DIRTYPE,
    Kind.LINK: tarfile.SYMTYPE,
    Kind.HARD_LINK: tarfile.LNKTYPE,
    Kind.CHARACTERS: tarfile.CHRTYPE,
    Kind.BLOCKS: tarfile.BLKTYPE,
    Kind.FIFO: tarfile.FIFOTYPE,
}
_SECOND = 10**9


def rewrite(pieces: Iterable[bytes], change: Callable[[Entry], Entry | None]) -> Iterator[bytes]:
    """The archive with each entry as `change` makes it, which may change all but kind and size; None leaves it out.

    Raises InvalidOption for an archive that is damaged, and what `change` raises."""
    reader = TarReader(as_file(pieces))
    for entry in reader:
        changed = change(entry)
        if changed is None:
            continue
        yield _header(changed)
        yield from reader.content()
        yield bytes(-entry.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _header(entry: Entry) -> bytes:
    info = tarfile.TarInfo(entry.name)
    info.type, info.mode, info.size = _TYPES[entry.kind], entry.mode, entry.size
    info.uid, info.gid, info.linkname = entry.user, entry.group, entry.link
    info.devmajor, info.devminor = entry.device
    info.mtime, fraction = divmod(entry.mtime, _SECOND)
    headers = {
        f"SCHILY.xattr.{name}": value.decode("utf-8", "surrogateescape") for name, value in entry.attributes.items()
    }
    if fraction:
        whole, part = divmod(abs(entry.mtime), _SECOND)
        headers["mtime"] = f"{'-' * (entry.mtime < 0)}{whole}.{part:09}"
    info.pax_headers = headers
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def as_file(pieces: Iterable[bytes]) -> BinaryIO:
    """What comes in pieces, to be read like a file."""
    return cast("BinaryIO", io.BufferedReader(_Pieces(iter(pieces)), 1 << 18))


class _Pieces(io.RawIOBase):
    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = memoryview(piece)
        room = memoryview(buffer).cast("B")
        count = min(len(room), len(self._left))
        room[:count] = self._left[:count]
        self._left = self._left[count:]
        return count
