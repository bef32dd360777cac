from __future__ import annotations

from pathlib import Path

import pytest

from kernelbox.errors import InvalidOption
from kernelbox.linux.idmap import IdRange, parse, subordinate, text, translate

CONTAINER = [IdRange(0, 524_288, 1000), IdRange(1000, 4000, 1), IdRange(1001, 525_289, 64_535)]


def test_text_and_back() -> None:
    assert text(CONTAINER) == "0 524288 1000\n1000 4000 1\n1001 525289 64535\n"
    assert parse(text(CONTAINER)) == tuple(CONTAINER)
    assert parse(Path("/proc/self/uid_map").read_text())


@pytest.mark.parametrize(
    ("inside", "outside"),
    [(0, 524_288), (999, 525_287), (1000, 4000), (1001, 525_289), (65_535, 589_823), (65_536, None)],
)
def test_translate(inside: int, outside: int | None) -> None:
    assert translate(CONTAINER, inside) == outside


@pytest.mark.parametrize("numbers", [(-1, 0, 1), (0, -1, 1), (0, 0, 0), (0, 2**32 - 1, 2), (2**32, 0, 1)])
def test_what_is_not_a_range(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(InvalidOption, match="not a range"):
        IdRange(*numbers)


@pytest.mark.parametrize(
    ("ranges", "side"),
    [
        ([IdRange(0, 100, 10), IdRange(9, 200, 1)], "inside"),
        ([IdRange(0, 100, 10), IdRange(20, 109, 1)], "outside"),
    ],
)
def test_overlaps(ranges: list[IdRange], side: str) -> None:
    with pytest.raises(InvalidOption, match=f"overlap {side}"):
        text(ranges)


def test_too_many() -> None:
    with pytest.raises(InvalidOption, match="at most 340"):
        text([IdRange(number, number, 1) for number in range(341)])


def test_subordinate(tmp_path: Path) -> None:
    file = tmp_path / "subuid"
    file.write_text("alice:100000:65536\n4711:300000:10\nbob:5:x\n\nalice:200000:0\nalice:400000:5\n")
    assert subordinate("alice", file) == (IdRange(1, 100_000, 65_536), IdRange(65_537, 400_000, 5))
    assert subordinate(4711, file, first=0) == (IdRange(0, 300_000, 10),)
    assert subordinate("bob", file) == ()
    assert subordinate("alice", tmp_path / "missing") == ()


def test_subordinate_by_number_or_name(tmp_path: Path) -> None:
    file = tmp_path / "subuid"
    file.write_text("0:100000:10\nroot:200000:10\n")
    assert len(subordinate("root", file)) == len(subordinate(0, file)) == 2
