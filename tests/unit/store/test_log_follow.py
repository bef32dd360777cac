"""Following a log while it is written, rotated and ended: each entry once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from unit.store.log_writer import LogWriter, encoded

from kernelbox.store import log_file
from kernelbox.store.log_chain import LogChain
from kernelbox.store.log_file import LogEntry, follow, read


@pytest.fixture
def log(tmp_path: Path) -> LogWriter:
    return LogWriter(tmp_path)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many looks at a log that does not grow would else take long."""
    monkeypatch.setattr(log_file, "_LONGEST_WAIT_S", 0.001)
    monkeypatch.setattr(log_file, "_SHORTEST_WAIT_S", 0.001)


class Script:
    """A `stop` that does one thing more of a list each time it is asked, and is true when all have been done."""

    def __init__(self, *steps: Callable[[], object]) -> None:
        self.steps = list(steps)

    def __call__(self) -> bool:
        if self.steps:
            self.steps.pop(0)()
            return False
        return True


def contents(entries: Iterator[LogEntry]) -> list[bytes]:
    return [entry.content for entry in entries]


def nothing() -> None:
    pass


def test_what_is_there_then_what_comes(log: LogWriter) -> None:
    log.write(b"1\n")
    ended = threading.Event()
    entries = follow(log.folder, stop=ended.is_set)
    assert next(entries).content == b"1\n"
    log.write(b"2\n", "stderr")
    log.write(b"3\n")
    assert (next(entries).content, next(entries).content) == (b"2\n", b"3\n")
    log.rotate()
    log.write(b"4\n")
    log.rotate()
    log.rotate()
    log.write(b"5\n")
    assert (next(entries).content, next(entries).content) == (b"4\n", b"5\n")
    log.write(b"6\n")
    ended.set()
    assert contents(entries) == [b"6\n"]


def test_what_is_new_is_what_comes_after_the_call(log: LogWriter) -> None:
    log.write(b"1\n")
    entries = follow(log.folder, stop=Script(), tail=0)
    log.write(b"2\n")
    assert contents(entries) == [b"2\n"]


def test_a_follower_that_is_asked_for_nothing_leaves_no_file_open(log: LogWriter) -> None:
    log.write(b"1\n")
    before = os.listdir("/proc/self/fd")
    follow(log.folder, stop=Script())
    assert os.listdir("/proc/self/fd") == before


def test_a_log_that_does_not_exist_yet(log: LogWriter) -> None:
    steps = Script(nothing, nothing, lambda: log.write(b"1\n"), log.rotate, lambda: log.write(b"2\n"))
    assert contents(follow(log.folder, stop=steps)) == [b"1\n", b"2\n"]


def test_a_container_that_is_removed_meanwhile(log: LogWriter) -> None:
    def remove() -> None:
        log.path(0).unlink()
        log.folder.rmdir()

    log.write(b"1\n")
    assert contents(follow(log.folder, stop=Script(nothing, remove, nothing))) == [b"1\n"]


@pytest.mark.parametrize("before", range(4))
def test_what_was_written_before_the_end_is_given(log: LogWriter, before: int) -> None:
    asked = 0

    def end() -> bool:
        nonlocal asked
        asked += 1
        if asked == before + 1:
            log.write(b"1\n")
            log.rotate()
            log.write(b"2\n")
        return asked > before

    assert contents(follow(log.folder, stop=end)) == [b"1\n", b"2\n"]


def test_an_entry_that_arrives_in_pieces_is_given_once(log: LogWriter) -> None:
    line = encoded(b"\xffin pieces\n")
    steps = [lambda byte=byte: log.raw(bytes([byte])) for byte in line]
    assert contents(follow(log.folder, stop=Script(*steps))) == [b"\xffin pieces\n"]


@pytest.mark.parametrize("tail", [0, 1, 2, None])
def test_an_entry_half_written_at_the_beginning_is_still_to_come(log: LogWriter, tail: int | None) -> None:
    line = encoded(b"half\n", "stderr")
    log.write(b"1\n")
    log.raw(line[:20])
    steps = Script(nothing, lambda: log.raw(line[20:]), lambda: log.write(b"2\n"))
    before = [] if tail == 0 else [b"1\n"]
    assert contents(follow(log.folder, stop=steps, tail=tail)) == [*before, b"half\n", b"2\n"]


def test_the_writer_is_killed_and_started_again(log: LogWriter) -> None:
    line = encoded(b"cut\n")
    whole = encoded(b"whole\n")
    steps = Script(
        lambda: log.raw(line[:30]),
        lambda: log.write(b"1\n"),
        lambda: log.raw(line[:30]),
        log.rotate,
        lambda: log.raw(whole[:-1]),
        nothing,
        lambda: log.raw(b"\n"),
        lambda: log.raw(whole[:-1]),
        nothing,
        log.rotate,
        lambda: log.raw(whole[:-1]),
    )
    assert contents(follow(log.folder, stop=steps)) == [b"1\n", b"whole\n", b"whole\n", b"whole\n"]


def test_the_last_lines_and_what_comes(log: LogWriter) -> None:
    for number in range(6):
        log.write(b"%d\n" % number, "stderr" if number == 1 else "stdout")
        log.rotate()
    steps = Script(nothing, lambda: log.write(b"new\n", "stderr"), log.rotate, lambda: log.write(b"newer\n"))
    assert contents(follow(log.folder, stop=steps, tail=2)) == [b"4\n", b"5\n", b"new\n", b"newer\n"]


def test_it_ends_behind_until(log: LogWriter) -> None:
    log.write(b"0\n")
    until = next(read(log.folder)).time + 1.5
    steps = Script(*[lambda: log.write(b"%d\n" % log.count)] * 10)
    assert contents(follow(log.folder, stop=steps, until=until)) == [b"0\n", b"1\n"]
    assert log.count < 5
    assert contents(follow(log.folder, stop=Script(), stderr=False, since=until)) == [
        b"%d\n" % number for number in range(2, log.count)
    ]


def test_a_reader_slower_than_the_deletion_still_has_what_was_there(log: LogWriter) -> None:
    log.keep = 3
    for number in range(3):
        log.write(b"%d\n" % number)
        if number < 2:
            log.rotate()
    entries = follow(log.folder, stop=Script())
    assert next(entries).content == b"0\n"
    for number in range(3, 9):
        log.rotate()
        log.write(b"%d\n" % number)
    assert contents(entries) == [b"%d\n" % number for number in (1, 2, 6, 7, 8)]  # 3 to 5 were deleted unseen


def test_every_moment_of_a_rotation(log: LogWriter) -> None:
    """Between any two renames a reader finds all files in their order, and a follower loses and repeats nothing."""
    log.keep = 5
    log.write(b"0\n")
    ended = threading.Event()
    follower = follow(log.folder, stop=ended.is_set)
    followed = [next(follower).content]

    def look() -> None:
        expected = [b"%d\n" % number for number in range(max(log.count - 4, 0), log.count)]
        found = contents(read(log.folder))
        assert found == expected or found == [b"%d\n" % (log.count - 5), *expected]

    for number in range(1, 12):
        log.rotate(look)
        log.write(b"%d\n" % number)
        followed.append(next(follower).content)
    ended.set()
    assert followed + contents(follower) == [b"%d\n" % number for number in range(12)]


def test_a_follower_that_looks_in_the_middle_of_rotations(log: LogWriter) -> None:
    log.keep = 6
    expected = [b"%d\n" % number for number in range(20)]

    def work() -> Iterator[None]:
        for content in expected:
            log.write(content)
            yield
            # a rotation in steps, the follower looking between any two of them
            log.path(log.keep - 1).unlink(missing_ok=True)
            for number in range(log.keep - 2, -1, -1):
                if log.path(number).exists():
                    log.path(number).rename(log.path(number + 1))
                    yield
            log.path(0).touch()

    working = work()
    ended = threading.Event()

    def stop() -> bool:
        if next(working, ended) is ended:
            ended.set()
        return ended.is_set()

    assert contents(follow(log.folder, stop=stop)) == expected


def test_a_gap_that_a_killed_writer_left(log: LogWriter) -> None:
    for number in range(4):
        log.write(b"%d\n" % number)
        log.rotate()
    log.write(b"4\n")
    log.path(4).rename(log.path(6))
    log.path(1).rename(log.path(5))
    assert contents(read(log.folder)) == [b"0\n", b"3\n", b"1\n", b"2\n", b"4\n"]


def test_names_that_are_not_of_the_log(log: LogWriter) -> None:
    log.write(b"1\n")
    for name in ("log.json.x", "log.json.1.gz", "log.json.-1", "log.json.99999999999", "log.json.", "log"):
        (log.folder / name).write_bytes(encoded(b"other\n"))
    assert contents(read(log.folder)) == [b"1\n"]


def test_a_file_opened_while_another_rotation_runs_is_not_taken_twice(log: LogWriter) -> None:
    log.write(b"1\n")
    with LogChain(log.folder) as chain:
        assert not chain.open_newer()
        log.rotate()
        log.rotate()
        assert chain.open_newer()
        assert len(chain.files) == 3
        assert not chain.open_newer()


@pytest.mark.parametrize("tail", [None, 0])
def test_a_thread_that_writes_and_rotates(log: LogWriter, tail: int | None) -> None:
    """The writer may be at most some files ahead, so that none is deleted before it is read."""
    log.keep = 40
    log.raw(b"")
    ended = threading.Event()
    may_rotate = threading.Semaphore(20)
    total = 3000

    def write() -> None:
        try:
            for number in range(total):
                log.write(b"%d\n" % number, "stderr" if number % 7 == 0 else "stdout")
                if number % 20 == 19:
                    may_rotate.acquire()
                    log.rotate()
        finally:
            ended.set()

    writer = threading.Thread(target=write)
    log.write(b"begin\n")
    entries = follow(log.folder, stop=ended.is_set, tail=tail)
    found = []
    if tail is None:
        assert next(entries).content == b"begin\n"
    writer.start()
    try:
        for entry in entries:
            found.append(int(entry.content))
            if found[-1] % 20 == 19:
                may_rotate.release()
    finally:
        for _ in range(total):
            may_rotate.release()
        writer.join()
    assert found == list(range(total))
