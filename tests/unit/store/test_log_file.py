"""A container's log: every byte of it comes back, its end is found, broken places are passed over."""

from __future__ import annotations

import os
import tempfile
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.store.log_writer import START_NS, LogWriter, encoded

from kernelbox.errors import StoreError
from kernelbox.store import log_chain
from kernelbox.store.log_file import LogEntry, read, render

STREAMS = st.sampled_from(["stdout", "stderr"])
PIECES = st.sampled_from([b"a\n", b"bc\n", b"d", b"e", b"\n", b"\xff\n"])
WRITTEN = st.lists(st.tuples(STREAMS, PIECES, st.booleans()), max_size=30)
"""Stream, content, and whether the file is rotated after it."""


@pytest.fixture
def log(tmp_path: Path) -> LogWriter:
    return LogWriter(tmp_path)


@contextmanager
def small_blocks(size: int) -> Iterator[Path]:
    """A folder for a log that is read in blocks of that many bytes."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(log_chain, "_FORWARD_BLOCK", size)
        patch.setattr(log_chain, "_BACKWARD_BLOCK", size)
        yield Path(folder)


def write_all(log: LogWriter, written: list[tuple[str, bytes, bool]]) -> None:
    for stream, content, rotates in written:
        log.write(content, stream)
        if rotates:
            log.rotate()


def contents(entries: Iterator[LogEntry]) -> list[bytes]:
    return [entry.content for entry in entries]


def last_lines(written: list[tuple[str, bytes, bool]], count: int) -> list[int]:
    """Which of the entries are pieces of the last lines, slowly and plainly. A line is where its end is."""
    lines: list[list[int]] = []
    open_lines: dict[str, list[int]] = {}
    for number, (stream, content, _) in enumerate(written):
        line = open_lines.setdefault(stream, [])
        line.append(number)
        if content.endswith(b"\n"):
            lines.append(open_lines.pop(stream))
    lines += open_lines.values()
    lines.sort(key=lambda line: line[-1])
    return sorted(number for line in lines[len(lines) - count if count < len(lines) else 0 :] for number in line)


@settings(deadline=None)
@given(st.lists(st.tuples(STREAMS, st.binary(min_size=1, max_size=40))), st.integers(1, 300))
def test_every_byte_comes_back(chunks: list[tuple[str, bytes]], block: int) -> None:
    with small_blocks(block) as folder:
        log = LogWriter(folder)
        for stream, content in chunks:
            log.write(content, stream)
        found = list(read(folder))
    assert [(entry.stream, entry.content) for entry in found] == chunks
    assert [entry.time_ns for entry in found] == [START_NS + i * 1_000_000_000 for i in range(len(chunks))]


@pytest.mark.parametrize("step", [1, 7, 64])
def test_a_text_cut_within_its_letters_comes_back(log: LogWriter, step: int) -> None:
    text = "naïve → 日本 🦀\n".encode() + bytes(range(256)) + b'\\udc80 {"log":"x"}\xed\xa0\xbd\xed\xb2\x80\n'
    for begin in range(0, len(text), step):
        log.write(text[begin : begin + step])
    assert b"".join(contents(read(log.folder))) == text


@settings(deadline=None, max_examples=300)
@given(WRITTEN, st.integers(0, 35), st.integers(1, 300))
def test_the_last_lines_over_files_and_streams(written: list[tuple[str, bytes, bool]], count: int, block: int) -> None:
    with small_blocks(block) as folder:
        log = LogWriter(folder)
        write_all(log, written)
        found = list(read(folder, tail=count))
    numbers = [(entry.time_ns - START_NS) // 1_000_000_000 for entry in found]
    assert numbers == last_lines(written, count)


def test_no_tail_is_all_and_a_negative_one_too(log: LogWriter) -> None:
    write_all(log, [("stdout", b"1\n", True), ("stderr", b"2\n", True), ("stdout", b"3\n", False)])
    assert contents(read(log.folder)) == contents(read(log.folder, tail=-1)) == [b"1\n", b"2\n", b"3\n"]


def test_the_end_of_a_long_log_is_found_without_reading_it(log: LogWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    log.raw(encoded(b"x" * 1000 + b"\n") * 5000)
    log.write(b"last\n")
    passed: list[int] = []
    whole = log_chain.LogFile.lines_backwards

    def counting(file: log_chain.LogFile, end: int) -> Iterator[tuple[int, bytes]]:
        for begin, line in whole(file, end):
            passed.append(len(line))
            yield begin, line

    monkeypatch.setattr(log_chain.LogFile, "lines_backwards", counting)
    assert contents(read(log.folder, tail=2)) == [b"x" * 1000 + b"\n", b"last\n"]
    assert len(passed) < 10


def test_a_line_that_began_long_before_counts_once(log: LogWriter) -> None:
    log.write(b"question? ")
    log.raw(encoded(b"y" * 60_000 + b"\n", "stderr") * 40)
    log.write(b"answer\n")
    assert contents(read(log.folder, tail=1)) == [b"answer\n"]  # its beginning is 2.4 MB before
    assert len(contents(read(log.folder, tail=42))) == 42


def test_a_line_of_many_pieces_is_whole(log: LogWriter) -> None:
    log.write(b"before\n")
    pieces = [b"z" * 65_536] * 50 + [b"end\n"]
    for piece in pieces:
        log.write(piece)
    assert contents(read(log.folder, tail=1)) == pieces


def test_a_line_of_the_file_longer_than_a_block(log: LogWriter) -> None:
    log.write(b"before\n")
    log.write(b"\xff" * 400_000 + b"\n")
    log.write(b"after\n")
    assert [len(content) for content in contents(read(log.folder))] == [7, 400_001, 6]
    assert [len(content) for content in contents(read(log.folder, tail=2))] == [400_001, 6]


@pytest.mark.parametrize("end", [b"\n", b""], ids=["ended", "last"])
def test_what_is_too_long_for_an_entry_is_passed_over(log: LogWriter, end: bytes) -> None:
    log.write(b"before\n")
    log.raw(b'{"log":"' + b"x" * (log_chain.MAX_LINE + 300_000) + end)
    if end:
        log.write(b"after\n")
    expected = [b"before\n", b"after\n"] if end else [b"before\n"]
    assert contents(read(log.folder)) == contents(read(log.folder, tail=2)) == expected


def test_places_are_right_behind_what_was_passed_over(log: LogWriter) -> None:
    log.write(b"error\n", "stderr")
    log.raw(b"x" * (log_chain.MAX_LINE + 300_000) + b"\n")
    log.write(b"after\n")
    assert contents(read(log.folder, tail=2)) == [b"error\n", b"after\n"]


def test_what_has_no_end_takes_little_memory(log: LogWriter) -> None:
    """As a file system leaves it after a power cut: a hole."""
    log.write(b"before\n")
    os.truncate(log.path(0), 40 * log_chain.MAX_LINE)
    log.raw(b"\n")
    log.write(b"after\n")
    tracemalloc.start()
    try:
        assert contents(read(log.folder)) == contents(read(log.folder, tail=2)) == [b"before\n", b"after\n"]
        assert tracemalloc.get_traced_memory()[1] < 5 * log_chain.MAX_LINE
    finally:
        tracemalloc.stop()


def test_what_is_written_while_reading_is_not_read(log: LogWriter) -> None:
    """Else the log of a busy program would have no end."""
    log.write(b"1\n")
    log.rotate()
    log.write(b"2\n")
    entries = read(log.folder)
    assert next(entries).content == b"1\n"
    log.write(b"3\n")
    log.rotate()
    log.write(b"4\n")
    assert contents(entries) == [b"2\n"]


def test_files_that_are_deleted_while_they_are_read(log: LogWriter) -> None:
    log.keep = 3
    for number in range(3):
        log.write(b"%d\n" % number)
        log.rotate()
    entries = read(log.folder)
    assert next(entries).content == b"1\n"
    log.rotate()
    log.rotate()
    assert contents(entries) == [b"2\n"]


def test_rotations_while_the_files_are_opened(log: LogWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    log.keep = 2
    write_all(log, [("stdout", b"1\n", True), ("stdout", b"2\n", False)])
    opening = log_chain.LogChain._open_one

    def rotating(chain: log_chain.LogChain, number: int, found: dict[tuple[int, int], log_chain.LogFile]) -> None:
        opening(chain, number, found)
        if number == 0 and log.count < 6:
            log.rotate()
            log.write(b"%d\n" % (log.count + 1))
            log.rotate()
            log.write(b"%d\n" % (log.count + 1))

    monkeypatch.setattr(log_chain.LogChain, "_open_one", rotating)
    assert contents(read(log.folder)) == [b"5\n", b"6\n"]


def test_a_rotation_half_done_while_the_files_are_opened(log: LogWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that moves on is met again under its next number, and the oldest has a number that no file had before."""
    write_all(log, [("stdout", b"1\n", True), ("stdout", b"2\n", True), ("stdout", b"3\n", False)])
    opening = log_chain.LogChain._open_one

    def moving(chain: log_chain.LogChain, number: int, found: dict[tuple[int, int], log_chain.LogFile]) -> None:
        opening(chain, number, found)
        if number == 1:
            log.path(2).rename(log.path(3))
            log.path(1).rename(log.path(2))

    monkeypatch.setattr(log_chain.LogChain, "_open_one", moving)
    assert contents(read(log.folder)) == [b"1\n", b"2\n", b"3\n"]


def test_bytes_that_were_not_escaped(log: LogWriter) -> None:
    log.raw(b'{"log":"\xff\t\xed\xa0\x80\\udcfe\\n","stream":"stdout","time":"2026-11-24T14:00:00Z"}\n')
    assert contents(read(log.folder)) == [b"\xff\t\xed\xa0\x80\xfe\n"]


def test_a_last_line_that_is_cut_off(log: LogWriter) -> None:
    log.write(b"whole\n")
    line = encoded(b"cut\n", "stderr")
    size = log.path(0).stat().st_size
    for length in range(len(line) - 1):
        with log.path(0).open("r+b") as file:
            file.truncate(size)
        log.raw(line[:length])
        assert contents(read(log.folder)) == contents(read(log.folder, tail=1)) == [b"whole\n"]
    log.raw(line[length:-1])
    assert contents(read(log.folder)) == [b"whole\n", b"cut\n"]  # only its newline is missing
    assert contents(read(log.folder, tail=1)) == [b"cut\n"]


@pytest.mark.parametrize("mended", [True, False], ids=["newline", "glued"])
def test_a_writer_that_was_killed_and_started_again(log: LogWriter, mended: bool) -> None:
    line = encoded(b'say {"log": "hi"}\\\n')
    for length in range(len(line) - 1):
        log.raw(line[:length] + (b"\n" if mended else b""))
        log.write(b"%d\n" % length)
    expected = [b"%d\n" % length for length in range(len(line) - 1)]
    assert contents(read(log.folder)) == expected
    assert contents(read(log.folder, tail=5)) == expected[-5:]


def test_only_the_newline_was_missing(log: LogWriter) -> None:
    log.raw(encoded(b"1\n")[:-1])
    log.write(b"2\n", "stderr")
    log.raw(encoded(b"3")[:-1])
    log.rotate()
    log.write(b"4\n")
    assert contents(read(log.folder)) == [b"1\n", b"2\n", b"3", b"4\n"]
    assert contents(read(log.folder, tail=2)) == [b"2\n", b"3", b"4\n"]
    assert contents(read(log.folder, tail=3)) == [b"1\n", b"2\n", b"3", b"4\n"]


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"not JSON",
        b"\0" * 5000,
        b"{}",
        b"[]",
        b'{"log":1,"stream":"stdout","time":"2026-11-24T14:00:00Z"}',
        b'{"log":"x\\n","stream":"stdout"}',
        b'{"log":"x\\n","stream":"stdout","time":"yesterday"}',
        b'{"log":"x\\n","stream":"stdout","time":"2026-11-24T14:00:00+01:00"}',
        b'{"log":"x\\n","stream":"stdout","time":"2026-11-24T14:00:00.1234567890Z"}',
        b'{"log":"x\\n","stream":"stdout","time":7}',
        b'{"log":"\\ud800\\n","stream":"stdout","time":"2026-11-24T14:00:00Z"}',
    ],
)
def test_broken_lines_are_passed_over(log: LogWriter, broken: bytes) -> None:
    log.write(b"1\n")
    log.raw(broken + b"\n")
    log.write(b"2\n")
    assert contents(read(log.folder)) == contents(read(log.folder, tail=2)) == [b"1\n", b"2\n"]


@pytest.mark.parametrize(
    ("text", "nanoseconds"), [("", 0), (".5", 500_000_000), (".000000001", 1), (".12345", 123_450_000)]
)
def test_times_have_as_many_digits_as_they_need(log: LogWriter, text: str, nanoseconds: int) -> None:
    log.raw(encoded(b"x", time=f"1970-01-02T00:00:01{text}Z"))
    assert [entry.time_ns for entry in read(log.folder)] == [86_401_000_000_000 + nanoseconds]


def test_what_docker_wrote_can_be_read(log: LogWriter) -> None:
    log.raw(
        b'{"log":"\\u003cb\\u003e\\ufffd\\n","stream":"stderr","attrs":{"a":"b"},"time":"2026-11-24T14:00:00.1Z"}\n'
    )
    assert [(entry.stream, entry.content) for entry in read(log.folder)] == [("stderr", "<b>\ufffd\n".encode())]


def test_streams_and_spans_of_time(log: LogWriter) -> None:
    for number in range(10):
        log.write(b"%d" % number, "stderr" if number % 2 else "stdout")
        if number % 3 == 2:
            log.rotate()
    times = [entry.time for entry in read(log.folder)]
    assert contents(read(log.folder, stdout=False)) == [b"1", b"3", b"5", b"7", b"9"]
    assert contents(read(log.folder, stderr=False)) == [b"0", b"2", b"4", b"6", b"8"]
    assert contents(read(log.folder, since=times[4], until=times[6])) == [b"4", b"5", b"6"]  # both are within
    assert contents(read(log.folder, since=times[4] + 0.1, until=times[6] - 0.1)) == [b"5"]
    assert contents(read(log.folder, since=times[9] + 1)) == []
    assert contents(read(log.folder, until=times[0] - 1)) == []


def test_the_tail_is_taken_before_times_and_streams(log: LogWriter) -> None:
    for number in range(6):
        log.write(b"%d\n" % number, "stderr" if number % 2 else "stdout")
    times = [entry.time for entry in read(log.folder)]
    assert contents(read(log.folder, tail=3, stdout=False)) == [b"3\n", b"5\n"]
    assert contents(read(log.folder, tail=3, since=times[1])) == [b"3\n", b"4\n", b"5\n"]
    assert contents(read(log.folder, tail=3, until=times[3])) == [b"3\n"]


def test_a_clock_that_was_set_back_hides_nothing_after_the_beginning(log: LogWriter) -> None:
    for time in ("14:00:00Z", "14:00:05Z", "14:00:01Z", "14:00:09Z", "14:00:02Z"):
        log.raw(encoded(time.encode(), time=f"2026-11-24T{time}"))
    begin = START_NS // 1_000_000_000
    assert contents(read(log.folder, since=begin + 3, until=begin + 6)) == [b"14:00:05Z", b"14:00:01Z"]


def test_no_log_at_all(tmp_path: Path) -> None:
    assert list(read(tmp_path, tail=5)) == list(read(tmp_path / "nowhere")) == []


def test_an_empty_file(log: LogWriter) -> None:
    log.raw(b"")
    assert list(read(log.folder, tail=5)) == list(read(log.folder)) == []


def test_a_log_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(encoded(b"secret"))
    (tmp_path / "log.json").symlink_to("secret")
    with pytest.raises(StoreError, match=r"could not open the log .*log\.json"):
        list(read(tmp_path))


def test_printing_with_times() -> None:
    entry = LogEntry("stdout", START_NS // 10 * 10, b"text\n")
    assert render(entry, timestamps=False, begins_line=True) == b"text\n"
    assert render(entry, timestamps=True, begins_line=False) == b"text\n"
    assert render(entry, timestamps=True, begins_line=True) == b"2026-11-24T14:00:00.123456780Z text\n"
