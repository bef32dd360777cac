"""Ranges of ids: no two containers share one, and a process that dies gives its own back."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelbox.store.id_ranges import COUNT, IdRanges

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a user namespace ids of its own")

HOLD = """
import sys
from pathlib import Path
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
    lock = (tmp_path / "id-ranges.lock").stat()
    locks = Path("/proc/locks").read_text().splitlines()
    assert not [line for line in locks if line.split()[5].endswith(f":{lock.st_ino}")]


def test_a_mount_with_mapped_ids_is_kept(ranges: IdRanges, tmp_path: Path) -> None:
    taken = ranges.take()
    descriptor = taken.mapped(str(tmp_path))
    assert taken.mapped(str(tmp_path)) == descriptor
    assert os.stat("id-ranges.lock", dir_fd=descriptor).st_uid == taken.start
    ranges.give(taken)
    ranges.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
