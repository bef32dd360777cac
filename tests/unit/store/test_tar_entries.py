"""Reading a tar stream that somebody else wrote: formats, damage, bounds."""

from __future__ import annotations

import io
import itertools
import tarfile
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelbox.errors import InvalidOption
from kernelbox.store.tar_entries import Entry, Kind, TarReader

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def member(name: str, content: bytes = b"", **fields: object) -> bytes:
    """A header in pax format, and the content."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape") + padded(content)


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 512)


def header(kind: bytes, payload: bytes, size: int | None = None) -> bytes:
    """A header that belongs to the next entry, such as an extended one."""
    info = tarfile.TarInfo("header")
    info.type = kind
    info.size = len(payload) if size is None else size
    return info.tobuf(tarfile.GNU_FORMAT) + padded(payload)


def record(key: str, value: bytes) -> bytes:
    rest = b" " + key.encode() + b"=" + value + b"\n"
    length = next(n for n in itertools.count(len(rest) + 1) if len(str(n)) + len(rest) == n)
    return str(length).encode() + rest


def entries(archive: bytes) -> list[Entry]:
    return list(TarReader(io.BytesIO(archive)))


@pytest.mark.parametrize("kind", FORMATS)
def test_formats_of_the_standard_library(kind: str) -> None:
    buffer = io.BytesIO()
    long = "folder/" + "n" * 90 if kind == "ustar" else "x" * 300 + "/ü"
    with tarfile.open(fileobj=buffer, mode="w", format=FORMATS[kind]) as archive:
        info = tarfile.TarInfo(long)
        info.size, info.mode, info.uid, info.gid, info.mtime = 1000, 0o4755, 12, 34, 1_700_000_000
        archive.addfile(info, io.BytesIO(b"x" * 1000))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, long
        archive.addfile(link)
    first, second = entries(buffer.getvalue())
    assert (first.name, first.kind, first.size, first.mode) == (long, Kind.FILE, 1000, 0o4755)
    assert (first.user, first.group, first.mtime) == (12, 34, 1_700_000_000 * 10**9)
    assert (second.name, second.kind, second.link) == ("link", Kind.LINK, long)


def test_content_is_read_in_pieces_and_what_is_not_read_is_skipped() -> None:
    reader = TarReader(io.BytesIO(member("a", b"1" * 700_000) + member("b", b"2" * 513) + member("c", b"3")))
    found = {}
    for entry in reader:
        if entry.name == "a":
            assert len(next(reader.content())) < 700_000
        else:
            found[entry.name] = b"".join(reader.content())
    assert found == {"b": b"2" * 513, "c": b"3"}


def test_extended_headers() -> None:
    payload = b"".join(
        (
            record("path", b"real\xff"),
            record("mtime", b"-1.5"),
            record("uid", b"3000000"),
            record("size", b"3"),
            record("SCHILY.xattr.user.a", b"\0=\n\xff"),
        )
    )
    (entry,) = entries(header(tarfile.XHDTYPE, payload) + member("short") + padded(b"abc"))
    assert entry.name.encode("utf-8", "surrogateescape") == b"real\xff"
    assert (entry.mtime, entry.user, entry.size) == (-1_500_000_000, 3_000_000, 3)
    assert entry.attributes == {"user.a": b"\0=\n\xff"}


def test_global_headers_hold_for_all_that_follow() -> None:
    archive = header(tarfile.XGLTYPE, record("gid", b"77")) + member("a") + member("b", gid=5)
    assert [entry.group for entry in entries(archive)] == [77, 77]


@pytest.mark.parametrize("end", [b"", bytes(512), bytes(1024), bytes(10_240), bytes(1024) + b"what follows"])
def test_ends(end: bytes) -> None:
    assert [entry.name for entry in entries(member("a", b"x") + end)] == ["a"]
    assert entries(end[:1024]) == []


class Endless(io.RawIOBase):
    """A stream that begins with some bytes and never ends; counts what was read."""

    def __init__(self, begin: bytes, rest: bytes) -> None:
        self._begin, self._rest, self.given = begin, rest, 0

    def read(self, size: int = -1) -> bytes:
        assert 0 <= size <= 1 << 22
        left = self._begin or self._rest
        piece, self._begin = left[:size], left[size:]
        self.given += len(piece)
        return piece


SPARSE = record("GNU.sparse.major", b"1") + record("GNU.sparse.minor", b"0")
DAMAGED = {
    "no archive": b"x" * 512,
    "half a header": member("a")[:300],
    "half a file": member("a", b"x" * 1000)[:-600],
    "no padding": member("a", b"x")[:-1],
    "a size below zero": header(b"0", b"", size=-512),
    "a size beyond all": header(b"0", b"", size=1 << 80),
    "an unknown kind": header(b"Z", b""),
    "an old sparse file": header(tarfile.GNUTYPE_SPARSE, b""),
    "a sparse file": header(tarfile.XHDTYPE, SPARSE) + member("a"),
    "nothing after a header": header(tarfile.XHDTYPE, record("path", b"a")) + bytes(1024),
    "a NUL in a name": header(tarfile.XHDTYPE, record("path", b"a\0b")) + member("a"),
    "a name that is too long": header(tarfile.XHDTYPE, record("path", b"a" * 4097)) + member("a"),
    "a GNU name that is too long": header(tarfile.GNUTYPE_LONGNAME, b"a" * 4097) + member("a"),
    "a target that is too long": member("a", type=tarfile.SYMTYPE, linkname="a" * 4097),
    "a link to nothing": member("a", type=tarfile.SYMTYPE, linkname=""),
    "no name": member(""),
    "an owner of -1": header(tarfile.XHDTYPE, record("uid", b"4294967295")) + member("a"),
    "an owner below zero": header(tarfile.XHDTYPE, record("uid", b"-1")) + member("a"),
    "an owner in words": header(tarfile.XHDTYPE, record("gid", "٣".encode())) + member("a"),
    "a size in words": header(tarfile.XHDTYPE, record("size", b"many")) + member("a"),
    "a time in words": header(tarfile.XHDTYPE, record("mtime", b"1e99999")) + member("a"),
    "a device of too large a number": member("a", type=tarfile.CHRTYPE, devmajor=1 << 13),
    "a record without an end": header(tarfile.XHDTYPE, b"99 path=a\n") + member("a"),
    "a record of no length": header(tarfile.XHDTYPE, b"0 path=a\n") + member("a"),
    "a record that is no record": header(tarfile.XHDTYPE, b"path=a\n") + member("a"),
    "a record of digits": header(tarfile.XHDTYPE, b"1" * 1_000_000) + member("a"),
    "a record without a value": header(tarfile.XHDTYPE, b"7 path\n") + member("a"),
    "headers upon headers": header(tarfile.XHDTYPE, record("path", b"a")) * 100_000 + member("a"),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_damaged(what: str) -> None:
    with pytest.raises(InvalidOption):
        entries(DAMAGED[what])


@pytest.mark.parametrize(
    ("begin", "rest"),
    [
        (header(tarfile.XHDTYPE, b"", size=1 << 33), b"1"),
        (header(tarfile.XGLTYPE, b"", size=1 << 33), b"1"),
        (header(tarfile.GNUTYPE_LONGNAME, b"", size=1 << 33), b"1"),
        (b"", header(tarfile.XHDTYPE, record("path", b"a"))),
        (b"", header(tarfile.GNUTYPE_LONGLINK, b"a")),
    ],
)
def test_memory_is_bounded(begin: bytes, rest: bytes) -> None:
    stream = Endless(begin, rest)
    with pytest.raises(InvalidOption, match=r"more than (2 MiB|16 headers)"):
        next(iter(TarReader(stream)))
    assert stream.given < 1 << 22


def test_global_headers_are_bounded_together() -> None:
    def archive() -> Iterator[bytes]:
        for number in itertools.count():
            yield header(tarfile.XGLTYPE, record(f"key{number}", b"x" * 500_000)) + member(f"file{number}")

    with pytest.raises(InvalidOption, match="global headers have more than 2 MiB"):
        entries(b"".join(itertools.islice(archive(), 10)))


BASE = (
    header(
        tarfile.XHDTYPE, record("path", b"some/name") + record("mtime", b"1.5") + record("SCHILY.xattr.user.a", b"x")
    )
    + member("a", b"content" * 100)
    + header(tarfile.GNUTYPE_LONGNAME, b"long" * 50)
    + member("b", type=tarfile.SYMTYPE, linkname="a")
)


@given(
    st.lists(st.tuples(st.integers(0, len(BASE) - 1), st.binary(min_size=1, max_size=8)), max_size=6),
    st.integers(0, len(BASE)),
)
def test_any_damage_is_told_in_words(changes: list[tuple[int, bytes]], length: int) -> None:
    damaged = bytearray(BASE)
    for at, text in changes:
        damaged[at : at + len(text)] = text
    try:
        found = entries(bytes(damaged[:length]))
    except InvalidOption:
        return
    assert len(found) <= 8


@given(st.integers(0, 30), st.binary(max_size=60))
def test_any_extended_header(digits: int, text: bytes) -> None:
    try:
        entries(header(tarfile.XHDTYPE, str(digits).encode() + b" " + text) + member("a"))
    except InvalidOption:
        return
