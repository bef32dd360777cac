"""The rules of `cp`: whose path a word is, where a copy goes, what does not come out of a container."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kernelbox.cli.copy_rules import (
    LeftOut,
    Place,
    Source,
    destination,
    last_name,
    renamed,
    split_word,
    stays_below,
    tamed,
    whole_path,
)
from kernelbox.errors import InvalidOption, NotFound
from kernelbox.store.tar_entries import Entry, Kind


def entry(name: str, kind: Kind = Kind.FILE, link: str = "", mode: int = 0o644) -> Entry:
    return Entry(name, kind, mode, 0, 0, 0, 0, link, (0, 0), {})


@pytest.mark.parametrize(
    ("word", "split"),
    [
        ("web:/etc", ("web", "/etc")),
        ("web:etc:x", ("web", "etc:x")),
        ("web:", ("web", "")),
        ("file", ("", "file")),
        ("-", ("", "-")),
        ("/a:b", ("", "/a:b")),
        ("./a:b", ("", "./a:b")),
        ("../a:b", ("", "../a:b")),
    ],
)
def test_whose_path_it_is(word: str, split: tuple[str, str]) -> None:
    assert split_word(word) == split


def test_a_path_keeps_what_it_ends_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [whole_path(each) for each in ("a", "a/", "a/.", ".", "./b/../c/", "/", "/.")] == [
        f"{tmp_path}/a",
        f"{tmp_path}/a/",
        f"{tmp_path}/a/.",
        f"{tmp_path}/.",
        f"{tmp_path}/c/",
        "/",
        "/.",
    ]
    assert [last_name(each) for each in ("/a/b", "/a/b/", "/a/b/.", "/", "/.", ".")] == ["b", "b", ".", ".", ".", "."]


FILE, FOLDER, CONTENT = Source("src", "src", False), Source("src", "src", True), Source(".", ".", True)


@pytest.mark.parametrize(
    ("source", "place", "goes"),
    [
        (FILE, Place("/d", True, True), ("/d", "src")),
        (FOLDER, Place("/d", True, True), ("/d", "src")),
        (CONTENT, Place("/d", True, True), ("/d", ".")),
        (FILE, Place("/d/f", True, False), ("/d", "f")),
        (FILE, Place("/d/new", False, False), ("/d", "new")),
        (FOLDER, Place("/d/new", False, False), ("/d", "new")),
        (FOLDER, Place("/d/new/", False, False), ("/d", "new")),
        (CONTENT, Place("/d/new", False, False), ("/d", "new")),
    ],
)
def test_where_a_copy_goes(source: Source, place: Place, goes: tuple[str, str]) -> None:
    assert destination(source, place) == goes


@pytest.mark.parametrize(
    ("source", "place", "kind", "message"),
    [
        (FOLDER, Place("/d/f", True, False), InvalidOption, "a folder cannot be copied onto a file: /d/f"),
        (CONTENT, Place("/d/f", True, False), InvalidOption, "a folder cannot be copied onto a file: /d/f"),
        (FILE, Place("/d/new/", False, False), NotFound, "no such folder: /d/new/"),
    ],
)
def test_where_it_cannot_go(source: Source, place: Place, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        destination(source, place)


@pytest.mark.parametrize(
    ("base", "names", "called"),
    [
        ("src", ["src/", "src/a", "src/src/src"], ["new", "new/a", "new/src/src"]),
        (".", ["./", "./a"], ["new", "new/a"]),
        ("", ["etc/", "etc/a"], ["new/etc", "new/etc/a"]),
    ],
)
def test_only_the_first_name_changes(base: str, names: list[str], called: list[str]) -> None:
    change = renamed(Source(base, base, True), "new")
    assert [change(entry(name)).name for name in names] == called


def test_hard_links_follow_links_stay() -> None:
    change = renamed(Source("src", "src", True), "new")
    assert change(entry("src/b", Kind.HARD_LINK, "src/a")).link == "new/a"
    assert change(entry("src/b", Kind.LINK, "src/a")).link == "src/a"


@pytest.mark.parametrize(
    ("name", "target", "stays"),
    [
        ("a/b", "c", True),
        ("a/b", "./c//d", True),
        ("a/b", "../c", True),
        ("./a/b", "../c", True),
        ("a/b", "../../c", False),
        ("a", "..", False),
        ("a", "../b", False),
        ("a/b", "/a/c", False),
        ("a/b", "c/../d", False),
        ("a/b", "c/../../../d", False),
    ],
)
def test_links_that_lead_out(name: str, target: str, stays: bool) -> None:
    assert stays_below(name, target) is stays


def test_links_that_lead_out_of_the_folder_that_is_copied() -> None:
    assert [stays_below("src/a/b", target, 1) for target in ("../c", "../../c", "c")] == [True, False, True]
    assert [stays_below("src/b", target, 1) for target in ("../c", "c")] == [False, True]


def test_links_one_through_the_other_lead_nowhere_else(tmp_path: Path) -> None:
    """Were ".." allowed behind another link, this would lead out, however it reads."""
    (tmp_path / "top/a/b").mkdir(parents=True)
    os.symlink("../..", tmp_path / "top/a/b/up")
    os.symlink("a/b/up/..", tmp_path / "top/out")
    assert os.path.realpath(tmp_path / "top/out") == str(tmp_path)
    assert stays_below("a/b/up", "../..")
    assert not stays_below("out", "a/b/up/..")


def test_what_comes_out_of_a_container_is_only_data() -> None:
    left = LeftOut()
    program = tamed(entry("bin/su", mode=0o6755), left)
    assert program is not None
    assert program.mode == 0o755
    assert tamed(entry("sda", Kind.BLOCKS), left) is None
    assert tamed(entry("etc/mtab", Kind.LINK, "/proc/mounts"), left) is None
    assert tamed(entry("etc/other", Kind.HARD_LINK, "etc/mtab"), left) is None
    assert tamed(entry("etc/inside", Kind.LINK, "passwd"), left) is not None
    assert left.sentences == [
        "sda: a block device",
        "etc/mtab: a link that leads out of there, to /proc/mounts",
        "etc/other: another name of etc/mtab",
    ]


def test_rights_that_are_no_permissions_stay_behind() -> None:
    marked = Entry("x", Kind.FILE, 0o755, 0, 0, 0, 0, "", (0, 0), {"security.capability": b"\1", "user.note": b"n"})
    found = tamed(marked, LeftOut())
    assert found is not None
    assert found.attributes == {"user.note": b"n"}
