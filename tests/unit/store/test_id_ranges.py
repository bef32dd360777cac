"""Ranges of ids: no two containers share one, and a process that dies gives its own back."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelbox.errors import NotSupported, StoreError
from kernelbox.store.id_ranges import COUNT, IdRanges

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a user namespace ids of its own")

HOLD = """
import sys
from pathlib import Path
from kernelbox.errors import NotSupported, StoreError
from kernelbox.store.id_ranges import IdRanges
ranges = IdRanges(Path(sys.argv[1]))
print(*(ranges.take().number for _ in range(20)), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def ranges(tmp_path: Path) -> Iterator[IdRanges]:
    made = IdRanges(tmp_path)
    yield made
    made.close()


def test_no_two_overlap_and_the_machines_root_is_in_none(ranges: IdRanges) -> None:
    taken = [ranges.take() for _ in range(10)]
    starts = sorted(each.start for each in taken)
    assert all(b - a >= COUNT for a, b in itertools.pairwise(starts))
    assert starts[0] >= 524_288
    for each in taken:
        ranges.give(each)


def test_what_came_back_is_used_again(ranges: IdRanges) -> None:
    first = ranges.take()
    ranges.give(first)
    again = ranges.take()
    assert again is first
    ranges.give(again)


def test_a_process_that_is_killed_gives_its_ranges_back(tmp_path: Path) -> None:
    others: set[int] = set()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout
        numbers = {int(number) for number in process.stdout.readline().split()}
        assert len(numbers) == 20
        assert not numbers & others
        others |= numbers
    for process in processes:
        process.kill()
        process.communicate()
    files = {str(file.stat().st_ino) for file in (tmp_path / "id-ranges").iterdir()}
    assert files
    locks = Path("/proc/locks").read_text().splitlines()
    assert not [line for line in locks if line.split()[5].rpartition(":")[2] in files]


def test_a_mount_with_mapped_ids_is_kept(ranges: IdRanges, tmp_path: Path) -> None:
    taken = ranges.take()
    descriptor = taken.mapped(str(tmp_path))
    assert taken.mapped(str(tmp_path)) == descriptor
    assert os.stat("id-ranges", dir_fd=descriptor).st_uid == taken.start
    ranges.give(taken)
    ranges.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


FIRST = 524_288
LAST = 32_758
"""The number of the last range."""


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    """The accounts of a machine on which others may map all ids but those of the ranges 5 to 8 and the last."""
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "passwd").write_text("root:x:0:0::/root:/bin/sh\nbroken\n+::::::\n")
    (folder / "group").write_text("root:x:0:\n")
    (folder / "subuid").write_text(f"ada:100000:65536\nbob:165536:{FIRST + 5 * COUNT - 165_536}\nbroken:x:y\n\n")
    (folder / "subgid").write_text(f"eve:{FIRST + 9 * COUNT}:{(LAST - 9) * COUNT}\neve:7\n1000:{FIRST + 5 * COUNT}:0\n")
    return folder


def numbers_of(folder: Path, etc: Path) -> list[int]:
    """The numbers of all ranges that can be had."""
    ranges, taken = IdRanges(folder, etc), []
    with contextlib.suppress(NotSupported):
        while True:
            taken.append(ranges.take())
    for each in taken:
        ranges.give(each)
    ranges.close()
    return sorted(each.number for each in taken)


def test_ids_that_others_may_map_are_left_to_them(tmp_path: Path, etc: Path) -> None:
    assert numbers_of(tmp_path, etc) == [5, 6, 7, 8, LAST]


def test_one_id_too_many_takes_the_whole_range(tmp_path: Path, etc: Path) -> None:
    with (etc / "subuid").open("a") as file:
        file.write(f"mallory:{FIRST + 5 * COUNT}:1\nmallory:{FIRST + 9 * COUNT - 1}:1\n")
    assert numbers_of(tmp_path, etc) == [6, 7, LAST]


def test_ids_of_accounts_are_left_to_them(tmp_path: Path, etc: Path) -> None:
    with (etc / "passwd").open("a") as file:
        file.write(f"ada:x:{FIRST + 5 * COUNT}:{FIRST + 6 * COUNT}::/home/ada:/bin/sh\n")
    with (etc / "group").open("a") as file:
        file.write(f"staff:x:{FIRST + 7 * COUNT + 1000}:ada\n")
    assert numbers_of(tmp_path, etc) == [8, LAST]


def test_all_ids_are_given_away(tmp_path: Path, etc: Path) -> None:
    (etc / "subuid").write_text("root:1:4294967294\n")
    ranges = IdRanges(tmp_path, etc)
    with pytest.raises(NotSupported, match="accounts of this machine have all ids"):
        ranges.take()


def test_a_machine_without_such_files_or_with_others(tmp_path: Path) -> None:
    ranges = IdRanges(tmp_path, tmp_path / "nowhere")
    ranges.give(ranges.take())
    ranges.close()
    (tmp_path / "etc/subuid").mkdir(parents=True)
    with pytest.raises(
        StoreError, match=r"could not read .*/etc/subuid, which says whose ids are whose: Is a directory"
    ):
        IdRanges(tmp_path, tmp_path / "etc").take()


def test_what_came_back_is_kept_up_to_a_number(ranges: IdRanges, tmp_path: Path) -> None:
    taken = [ranges.take() for _ in range(40)]
    for each in taken:
        each.mapped(str(tmp_path))
    before = descriptors()
    for each in taken:
        ranges.give(each)
    assert before - descriptors() == 3 * (40 - 32)
    assert [ranges.take() for _ in range(32)] == taken[:-33:-1]  # the newest are kept
    for each in taken[-32:]:
        ranges.give(each)


def test_mounts_of_one_launch_are_all_there(ranges: IdRanges, tmp_path: Path) -> None:
    folders = [tmp_path / str(number) for number in range(20)]
    for folder in folders:
        folder.mkdir()
    taken = ranges.take()
    mounts = [taken.mapped(str(folder)) for folder in folders]
    for folder, mount in zip(folders, mounts, strict=True):
        assert os.fstat(mount).st_ino == folder.stat().st_ino
    before = descriptors()
    ranges.give(taken)
    assert before - descriptors() == 4
    assert ranges.take() is taken
    assert taken.mapped(str(folders[-1])) == mounts[-1]
    ranges.give(taken)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))
