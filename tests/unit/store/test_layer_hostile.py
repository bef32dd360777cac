"""What hostile and damaged layers come to: a sentence that names the entry, or what they say within the layer alone.
Whatever it is, a folder that all of them know the path of is as it was."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

import pytest
from hostile_layers import BYTES, EARLY, GROUPS, TAKEN, THROUGH, Case, corpus
from layer_archives import BLOCK, Archive
from layer_folders import archive_of, listing, unpack_bytes

from kernelbox.errors import InvalidContent


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("victim")
    (folder / "secret").write_text("nobody else's")
    (folder / "secret").chmod(0o600)
    (folder / "folder").mkdir(0o700)
    (folder / "link").symlink_to("secret")
    return folder


def outcome(case: Case, folder: Path) -> str:
    """The sentence that refuses it, or nothing where it was taken; then what it made must go there and back."""
    try:
        unpack_bytes(folder / "root", case.archive)
    except InvalidContent as error:
        return error.message
    again = archive_of(folder / "root")
    unpack_bytes(folder / "again", again)
    assert archive_of(folder / "again") == again
    return TAKEN


@pytest.mark.parametrize("group", GROUPS)
def test_hostile_layers(group: str, victim: Path, tmp_path: Path) -> None:
    before, wrong = listing(victim, changed=True), {}
    for number, (name, case) in enumerate(corpus(victim, group).items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        said = outcome(case, folder)
        if not (case.verdict in said if case.verdict else said == TAKEN):
            wrong[name] = (case.verdict, said)
        assert said == TAKEN or re.search(r"(at entry|after) \d+", said)
        assert said.isprintable()
        assert listing(victim, changed=True) == before, name
        assert set(os.listdir(folder)) <= {"root", "again"}, name
    assert not wrong


def test_the_corpus_is_large_enough() -> None:
    assert sum(len(corpus(Path("/nowhere"), group)) for group in GROUPS) >= 150


def test_an_archive_that_ends_anywhere(tmp_path: Path) -> None:
    """Where it is cut at the end of an entry, only the mark for its end is missing."""
    archive = Archive().folder("d", 0o700).add("d/f", b"1" * 1300, xattrs={"user.x": b"y"})
    whole = bytes(archive.sparse("d/holes", [(4096, b"2" * 600)], 9000).hard_link("h", "d/f").symlink("l", "h"))
    marked = len(whole) - 2 * BLOCK
    ends = 0
    for size in [*range(0, marked + 1, BLOCK), *range(1, marked, 389)]:
        with pytest.raises(InvalidContent, match=EARLY):
            unpack_bytes(tmp_path / f"cut{size}", whole[:size])
        with contextlib.suppress(InvalidContent):
            unpack_bytes(tmp_path / f"known{size}", whole[:size], verified=True)
            ends += 1
    assert ends == 6
    unpack_bytes(tmp_path / "whole", whole)


def test_every_bit_of_a_header_counts(tmp_path: Path) -> None:
    whole = bytes(Archive().add("name", b"content", mode=0o755, owner=(3, 4), mtime=5))
    for at in range(BLOCK):
        damaged = bytearray(whole)
        damaged[at] ^= 4
        with pytest.raises(InvalidContent, match="no tar header"):
            unpack_bytes(tmp_path / str(at), bytes(damaged))


def test_more_entries_than_are_allowed(tmp_path: Path) -> None:
    archive = Archive()
    for number in range(100):
        archive.add(f"file{number}")
    assert unpack_bytes(tmp_path / "fits", bytes(archive), most_entries=100).entries == 100
    with pytest.raises(InvalidContent, match="at entry 100, 'file99': there are too many entries"):
        unpack_bytes(tmp_path / "root", bytes(archive), most_entries=99)
    assert not (tmp_path / "root/file99").exists()


def test_more_bytes_than_are_allowed(tmp_path: Path) -> None:
    archive = bytes(Archive().add("a", b"1" * 600).add("b", b"1" * 401))
    unpack_bytes(tmp_path / "fits", archive, most_bytes=1001)
    with pytest.raises(InvalidContent, match=f"at entry 2, 'b': .*{BYTES}"):
        unpack_bytes(tmp_path / "root", archive, most_bytes=1000)


def test_a_name_that_a_terminal_would_obey_is_shown_harmlessly(tmp_path: Path) -> None:
    with pytest.raises(InvalidContent) as refused:
        unpack_bytes(tmp_path / "root", bytes(Archive().add("f").add(b"f/\x1b[2J\xff\n")))
    assert THROUGH in refused.value.message
    assert r"'f/\x1b[2J\\xff\n'" in refused.value.message


def test_a_long_name_is_shortened_in_the_sentence(tmp_path: Path) -> None:
    with pytest.raises(InvalidContent) as refused:
        unpack_bytes(tmp_path / "root", bytes(Archive().add("n" * 5000)))
    assert "nnn'...:" in refused.value.message
    assert len(refused.value.message) < 500
