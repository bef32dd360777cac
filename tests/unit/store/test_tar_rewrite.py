"""An archive whose entries are renamed or left out on its way."""

from __future__ import annotations

import io
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from kernelbox.errors import InvalidOption
from kernelbox.store import tar_out
from kernelbox.store.tar_entries import Entry
from kernelbox.store.tar_rewrite import as_file, rewrite


@pytest.fixture
def archive(tmp_path: Path) -> bytes:
    top = tmp_path / "top"
    top.mkdir()
    (top / "a").write_bytes(b"hello" * 1000)
    (top / ("long" * 60)).write_bytes(b"x")
    os.link(top / "a", top / "b")
    os.symlink("a", top / "link")
    os.utime(top / "a", ns=(1_700_000_000_123_456_789, 1_700_000_000_123_456_789))
    (top / os.fsdecode(b"\xff")).write_bytes(b"raw")
    folder = os.open(tmp_path, os.O_PATH)
    try:
        return b"".join(tar_out.pack(folder, "/top"))
    finally:
        os.close(folder)


def rename(entry: Entry) -> Entry | None:
    if entry.name.endswith("link"):
        return None
    link = entry.link.replace("top", "new", 1)
    return replace(entry, name=entry.name.replace("top", "new", 1), link=link)


def test_names_change_and_nothing_else(archive: bytes) -> None:
    pieces = (archive[at : at + 777] for at in range(0, len(archive), 777))
    written = io.BytesIO(b"".join(rewrite(pieces, rename)))
    with tarfile.open(fileobj=written, errors="surrogateescape") as found:
        members = {member.name: member for member in found}
        assert set(members) == {"new", "new/a", "new/b", f"new/{'long' * 60}", "new/\udcff"}
        content = found.extractfile("new/a")
        assert content is not None
        assert content.read() == b"hello" * 1000
    assert (members["new/b"].islnk(), members["new/b"].linkname) == (True, "new/a")
    assert members["new/a"].pax_headers["mtime"] == "1700000000.123456789"


def test_an_archive_that_ends_too_early(archive: bytes) -> None:
    with pytest.raises(InvalidOption, match="the archive is damaged"):
        list(rewrite([archive[:3000]], lambda entry: entry))


def test_pieces_are_read_like_a_file() -> None:
    file = as_file([b"", b"ab", b"", b"cdef", b"g"])
    assert (file.read(3), file.read(3), file.read(3), file.read(1)) == (b"abc", b"def", b"g", b"")
