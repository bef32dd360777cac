"""Archives of layers as anybody could write them: headers with any field, records with any value, ends anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Self

BLOCK = 512
END = bytes(2 * BLOCK)
SIZE, CHECKSUM, LINK = (124, 12), (148, 8), (157, 100)


def binary(number: int, size: int) -> bytes:
    """A number in base 256, as GNU tar writes what octal digits cannot say."""
    return bytes([0xFF if number < 0 else 0x80]) + number.to_bytes(size - 1, "big", signed=number < 0)


def octal(number: int, size: int) -> bytes:
    text = b"%0*o\0" % (size - 1, number)
    return text if len(text) == size else binary(number, size)


def header(
    name: bytes,
    kind: str,
    size: int = 0,
    *,
    link: bytes = b"",
    mode: int = 0o644,
    owner: tuple[int, int] = (0, 0),
    mtime: int = 0,
    device: tuple[int, int] = (0, 0),
    fields: Mapping[int, bytes] | None = None,
    checksum: int | None = None,
) -> bytes:
    """A block; `fields` are put at their offsets before the checksum is made."""
    block = bytearray(BLOCK)

    def put(at: int, value: bytes) -> None:
        block[at : at + len(value)] = value

    put(0, name[:100])
    for at, number, length in ((100, mode, 8), (108, owner[0], 8), (116, owner[1], 8), (124, size, 12)):
        put(at, octal(number, length))
    put(136, octal(mtime, 12))
    put(148, b" " * 8)
    put(156, kind.encode("latin-1"))
    put(157, link[:100])
    put(257, b"ustar\x0000")
    put(329, octal(device[0], 8) + octal(device[1], 8))
    for at, value in (fields or {}).items():
        put(at, value)
    put(148, b"%06o\0 " % (sum(block) if checksum is None else checksum))
    return bytes(block)


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % BLOCK)


def record(key: str, value: bytes | str) -> bytes:
    rest = b" " + key.encode() + b"=" + (value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value)
    length = len(rest) + 1
    while len(str(length)) + len(rest) + 1 != length:
        length = len(str(length)) + len(rest) + 1
    return b"%d" % length + rest + b"\n"


def records(values: Iterable[tuple[str, bytes | str]]) -> bytes:
    return b"".join(record(key, value) for key, value in values)


class Archive:
    """Entries one after the other; `bytes(archive)` has the end too."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def raw(self, *parts: bytes) -> Self:
        self._parts += parts
        return self

    def extended(self, content: bytes, kind: str = "x", name: bytes = b"PaxHeader") -> Self:
        return self.raw(header(name, kind, len(content)), padded(content))

    def pax(self, *values: tuple[str, bytes | str], kind: str = "x") -> Self:
        return self.extended(records(values), kind)

    def add(
        self,
        name: str | bytes,
        content: bytes = b"",
        kind: str = "0",
        *,
        link: str | bytes = b"",
        mode: int = 0o644,
        owner: tuple[int, int] = (0, 0),
        mtime: int = 0,
        device: tuple[int, int] = (0, 0),
        fields: Mapping[int, bytes] | None = None,
        xattrs: Mapping[str, bytes] | None = None,
    ) -> Self:
        """An entry; names too long for the header are put into records, as every program does."""
        name, link = (
            text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text for text in (name, link)
        )
        extra = [(f"SCHILY.xattr.{key}", value) for key, value in (xattrs or {}).items()]
        extra += [("path", name)] if len(name) > 100 else []
        extra += [("linkpath", link)] if len(link) > 100 else []
        if extra:
            self.pax(*extra)
        block = header(
            name, kind, len(content), link=link, mode=mode, owner=owner, mtime=mtime, device=device, fields=fields
        )
        return self.raw(block, padded(content))

    def folder(self, name: str | bytes, mode: int = 0o755, mtime: int = 0, *, owner: tuple[int, int] = (0, 0)) -> Self:
        return self.add(name, kind="5", mode=mode, mtime=mtime, owner=owner)

    def symlink(self, name: str | bytes, link: str | bytes) -> Self:
        return self.add(name, kind="2", link=link, mode=0o777)

    def hard_link(self, name: str | bytes, link: str | bytes) -> Self:
        return self.add(name, kind="1", link=link)

    def device(self, name: str, number: tuple[int, int], kind: str = "3") -> Self:
        return self.add(name, kind=kind, device=number)

    def sparse(
        self, name: str, regions: Sequence[tuple[int, bytes]], size: int | str, mapped: bytes | None = None
    ) -> Self:
        """GNU's version 1.0; `mapped` is written in place of the map that the regions make."""
        text = b"%d\n" % len(regions) + b"".join(b"%d\n%d\n" % (at, len(piece)) for at, piece in regions)
        content = padded(text if mapped is None else mapped) + b"".join(piece for _, piece in regions)
        keys = (("major", "1"), ("minor", "0"), ("name", name), ("realsize", str(size)))
        self.pax(*((f"GNU.sparse.{key}", value) for key, value in keys))
        return self.raw(header(b"GNUSparseFile.0/x", "0", len(content)), padded(content))

    def without_end(self) -> bytes:
        return b"".join(self._parts)

    def __bytes__(self) -> bytes:
        return self.without_end() + END
