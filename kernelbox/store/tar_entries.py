"""Reads a tar stream that somebody else wrote: its entries one after the other, everything bounded.

The standard library takes a header apart; what surrounds it is read here, since `tarfile` believes the lengths in
extended headers (one entry can ask for all memory, a chain of them for all of the stack).
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from kernelbox.errors import InvalidOption

__all__ = ["Entry", "Kind", "Readable", "TarReader"]

_BLOCK = tarfile.BLOCKSIZE
_CHUNK = 1 << 18
_MOST_HEADER = 1 << 21  # the largest set of attributes, and names
_MOST_HEADERS = 16  # in front of one entry
_MOST_NAME = 4096
_MOST_SIZE = 1 << 62
_MOST_ID = (1 << 32) - 2  # -1 says "leave it" to chown(2)
_MOST_SECONDS = 1 << 40
_MOST_MAJOR, _MOST_MINOR = (1 << 12) - 1, (1 << 20) - 1
_MTIME = re.compile(rb"(-?\d{1,13})(?:\.\d{0,30})?")
_ATTRIBUTE = "SCHILY.xattr."


class Readable(Protocol):
    """A stream of bytes: any binary file, the body of a request."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, none at the end only."""


class Kind(StrEnum):
    """What an entry is."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "symbolic link"
    HARD_LINK = "hard link"
    CHARACTERS = "character device"
    BLOCKS = "block device"
    FIFO = "FIFO"


_KINDS = {
    tarfile.REGTYPE: Kind.FILE,
    tarfile.AREGTYPE: Kind.FILE,
    tarfile.CONTTYPE: Kind.FILE,
    tarfile.DIRTYPE: Kind.FOLDER,
    tarfile.SYMTYPE: Kind.LINK,
    tarfile.LNKTYPE: Kind.HARD_LINK,
    tarfile.CHRTYPE: Kind.CHARACTERS,
    tarfile.BLKTYPE: Kind.BLOCKS,
    tarfile.FIFOTYPE: Kind.FIFO,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry, as it stands there: nothing of it has been compared with a file system. `mtime` in nanoseconds, `size`
    in bytes (of files only), `device` its (major, minor) numbers, `link` where either kind of link leads."""

    name: str
    kind: Kind
    mode: int
    user: int
    group: int
    size: int
    mtime: int
    link: str
    device: tuple[int, int]
    attributes: Mapping[str, bytes]


def _damaged(why: str) -> InvalidOption:
    return InvalidOption(f"the archive is damaged: {why}")


class TarReader:
    """The entries of a stream, once. Formats: POSIX.1-2001 (pax), ustar, GNU's long names; no sparse files.

    Raises InvalidOption for what is no such archive, ends too early or exceeds a bound."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._left = self._padding = 0
        self._global: dict[str, bytes] = {}

    def __iter__(self) -> Iterator[Entry]:
        while entry := self._next():
            yield entry

    def content(self) -> Iterator[bytes]:
        """What is left of the content of the entry that came last, in pieces."""
        while self._left:
            piece = self._stream.read(min(self._left, _CHUNK))
            if not piece:
                raise _damaged("it ends in the middle of a file")
            self._left -= len(piece)
            yield piece

    def _next(self) -> Entry | None:
        records: dict[str, bytes] = {}
        for _ in range(_MOST_HEADERS):
            for _ in self.content():
                pass
            self._exactly(self._padding)
            self._padding = 0
            info = self._header()
            if info is None:
                if records:
                    raise _damaged("it ends after half a header")
                return None
            if info.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
                records |= _records(self._payload(info))
            elif info.type == tarfile.XGLTYPE:
                self._keep_for_all(_records(self._payload(info)))
            elif info.type in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
                key = "path" if info.type == tarfile.GNUTYPE_LONGNAME else "linkpath"
                records[key] = self._payload(info).partition(b"\0")[0]
            else:
                return self._entry(info, self._global | records)
        raise _damaged(f"more than {_MOST_HEADERS} headers belong to one entry")

    def _header(self) -> tarfile.TarInfo | None:
        """The next header block; None at the end, with or without the mark for it."""
        block = self._exactly(_BLOCK, or_nothing=True)
        if not block.strip(b"\0"):
            return None
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise _damaged(f"{error}") from error
        if not 0 <= info.size <= _MOST_SIZE:
            raise _damaged("the size of an entry is impossible")
        return info

    def _exactly(self, size: int, *, or_nothing: bool = False) -> bytes:
        found = bytearray()
        while len(found) < size:
            piece = self._stream.read(size - len(found))
            if not piece:
                if or_nothing and not found:
                    break
                raise _damaged("it ends too early")
            found += piece
        return bytes(found)

    def _payload(self, info: tarfile.TarInfo) -> bytes:
        if info.size > _MOST_HEADER:
            raise _damaged(f"a header has more than {_MOST_HEADER >> 20} MiB")
        return self._exactly(info.size + -info.size % _BLOCK)[: info.size]

    def _keep_for_all(self, records: Mapping[str, bytes]) -> None:
        self._global |= records
        if sum(len(key) + len(value) for key, value in self._global.items()) > _MOST_HEADER:
            raise _damaged(f"its global headers have more than {_MOST_HEADER >> 20} MiB")

    def _entry(self, info: tarfile.TarInfo, records: Mapping[str, bytes]) -> Entry:
        name = _text(records.get("path") or info.name.encode("utf-8", "surrogateescape"), "name")
        kind = _KINDS.get(info.type)
        if info.type == tarfile.GNUTYPE_SPARSE or any(key.startswith("GNU.sparse.") for key in records):
            raise InvalidOption(f"{name} is a sparse file in the archive", hint="make it without --sparse")
        if kind is None:
            raise _damaged(f"{name} is of an unknown kind")
        device = (info.devmajor, info.devminor) if kind in (Kind.CHARACTERS, Kind.BLOCKS) else (0, 0)
        if not (0 <= device[0] <= _MOST_MAJOR and 0 <= device[1] <= _MOST_MINOR):
            raise _damaged(f"{name} has the number of no device")
        link = ""
        if kind in (Kind.LINK, Kind.HARD_LINK):
            link = _text(records.get("linkpath") or info.linkname.encode("utf-8", "surrogateescape"), "link")
        size = _number(records, "size", info.size, _MOST_SIZE) if kind is Kind.FILE else 0
        self._left, self._padding = size, -size % _BLOCK
        return Entry(
            name,
            kind,
            info.mode & 0o7777,
            _number(records, "uid", info.uid, _MOST_ID),
            _number(records, "gid", info.gid, _MOST_ID),
            size,
            _mtime(records.get("mtime"), int(info.mtime)),
            link,
            device,
            {key[len(_ATTRIBUTE) :]: value for key, value in records.items() if key.startswith(_ATTRIBUTE)},
        )


def _records(payload: bytes) -> dict[str, bytes]:
    """The records of an extended header, "LENGTH KEY=VALUE\\n" each."""
    found: dict[str, bytes] = {}
    at = 0
    while at < len(payload):
        space = payload.find(b" ", at, at + 10)
        digits = payload[at:space] if space > at else b""
        end = at + int(digits) if digits.isdigit() else 0
        key, equals, value = payload[space + 1 : end - 1].partition(b"=")
        if not at < space < end <= len(payload) or payload[end - 1] != ord("\n") or not key or not equals:
            raise _damaged("an extended header makes no sense")
        found[key.decode("utf-8", "surrogateescape")] = value
        at = end
    return found


def _text(value: bytes, what: str) -> str:
    if not value or b"\0" in value:
        raise _damaged(f"a {what} is empty or has a NUL in it")
    if len(value) > _MOST_NAME:
        raise InvalidOption(f"a {what} in the archive has more than {_MOST_NAME} bytes: {value[:60]!r}...")
    return value.decode("utf-8", "surrogateescape")


def _number(records: Mapping[str, bytes], key: str, plain: int, most: int) -> int:
    text = records.get(key)
    if text and not (text.isdigit() and len(text) < 20):
        raise _damaged(f"{key} is no number: {text[:20]!r}")
    number = int(text) if text else plain
    if not 0 <= number <= most:
        raise _damaged(f"{key} is out of range: {number}")
    return number


def _mtime(text: bytes | None, seconds: int) -> int:
    """Nanoseconds; 0 for a time that no file system knows, as other tools write such."""
    if text:
        if not _MTIME.fullmatch(text):
            raise _damaged(f"mtime is no time: {text[:20]!r}")
        return int(Decimal(text.decode()).scaleb(9))
    return seconds * 10**9 if abs(seconds) <= _MOST_SECONDS else 0
