from __future__ import annotations

from pathlib import Path

import pytest

from kernelbox.errors import InvalidOption
from kernelbox.linux.rlimits import UNLIMITED, Rlimit, clamp, current, parse


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("nofile=1024:2048", Rlimit("nofile", 1024, 2048)),
        ("nofile=1024", Rlimit("nofile", 1024, 1024)),
        ("core=0", Rlimit("core", 0, 0)),
        ("memlock=-1", Rlimit("memlock", UNLIMITED, UNLIMITED)),
        ("stack=8192:unlimited", Rlimit("stack", 8192, UNLIMITED)),
        ("RLIMIT_NPROC=5", Rlimit("nproc", 5, 5)),
    ],
)
def test_parse(text: str, limit: Rlimit) -> None:
    assert parse(text) == limit


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nofile", "is not a limit"),
        ("nofile=", "is not a number"),
        ("nofile=1:2:3", "is not a limit"),
        ("nofile=a", "is not a number"),
        ("nofil=1", "did you mean 'nofile'"),
        ("nofile=2:1", "soft limit is above"),
        ("nofile=unlimited:1", "soft limit is above"),
        ("nofile=-2", "numbers from 0"),
        ("nofile=99999999999999999999", "numbers from 0"),
    ],
)
def test_what_is_not_a_limit(text: str, words: str) -> None:
    with pytest.raises(InvalidOption, match=words):
        parse(text)


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "sys/fs").mkdir(parents=True)
    (tmp_path / "sys/fs/nr_open").write_text("1048576\n")
    return tmp_path


def ceiling(name: str) -> Rlimit:
    return Rlimit(name, 100, 20_000)


def test_what_fits_is_left_alone(proc: Path) -> None:
    limits = (parse("nofile=10:20000"), parse("core=0"))
    assert clamp(limits, ceiling=ceiling, raising=False, proc=proc) == (limits, ())


def test_hard_limits_cannot_be_raised(proc: Path) -> None:
    given, sentences = clamp(
        [parse("nofile=1024:524288"), parse("nproc=-1")], ceiling=ceiling, raising=False, proc=proc
    )
    assert given == (Rlimit("nofile", 1024, 20_000), Rlimit("nproc", 20_000, 20_000))
    why = "this process may not raise hard limits"
    assert sentences == (
        f"nofile=1024:524288 was asked for, nofile=1024:20000 is possible: {why}",
        f"nproc=unlimited:unlimited was asked for, nproc=20000:20000 is possible: {why}",
    )


def test_nofile_has_a_maximum_for_all(proc: Path) -> None:
    given, sentences = clamp([parse("nofile=-1"), parse("nproc=-1")], ceiling=ceiling, raising=True, proc=proc)
    assert given == (Rlimit("nofile", 1048576, 1048576), Rlimit("nproc", -1, -1))
    assert [sentence.rpartition(": ")[2] for sentence in sentences] == ["this is the machine's maximum"]


def test_what_is_possible_here_can_be_set() -> None:
    given, _ = clamp([parse("nofile=unlimited"), parse("core=0")])
    assert given[0].hard > 0
    assert current("nofile").hard >= 256
