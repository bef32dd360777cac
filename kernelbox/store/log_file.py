"""A container's log, read as `docker logs` reads it: all of it, its end, a span of time, and what is still to come.

Nothing here takes more memory than a few lines, whatever the size of the log. The files and their rotation are
`log_chain`'s, the form of an entry is `log_entry`'s.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kernelbox.store.log_chain import LogChain
from kernelbox.store.log_entry import LogEntry, entries_in, render
from kernelbox.store.log_times import parse_time

__all__ = ["LogEntry", "follow", "parse_time", "read", "render"]

_SHORTEST_WAIT_S = 0.005
_LONGEST_WAIT_S = 0.1
_LOOK_BACK = 1 << 20  # bytes, in which the beginning of a line is looked for that the other stream interrupts

_Place = tuple[int, int]  # the number of the file, 0 being the oldest, and the offset in it


def read(
    folder: Path,
    *,
    stdout: bool = True,
    stderr: bool = True,
    since: float | None = None,
    until: float | None = None,
    tail: int | None = None,
) -> Iterator[LogEntry]:
    """What is in the log in `folder` when this begins. Times are seconds since 1970.

    As in Docker: `tail` is how many lines from the end, of both streams together; of these `since` leaves out what is
    before the first entry of that time or later, and `until` ends before the first one that is later; what is left
    is narrowed to the streams asked for. Raises StoreError where a file cannot be read."""
    with LogChain(folder) as chain:
        chosen = _Choice(stdout, stderr, since, until, _tail_of(chain, tail))
        yield from chosen.among(_all_there(chain))


def follow(
    folder: Path,
    *,
    stop: Callable[[], bool],
    stdout: bool = True,
    stderr: bool = True,
    since: float | None = None,
    until: float | None = None,
    tail: int | None = None,
) -> Iterator[LogEntry]:
    """What `read` gives, then what is written from this call on, over rotations: no entry is lost or given twice unless
    the writer deletes files faster than they are read.

    It ends when `stop()` was true (nobody will write any more) and all has been given, or at the first entry after
    `until`. New entries are looked for after 5 ms, then after twice as long each time that there is none, up to 100 ms;
    `stop` is called each time. Raises StoreError where a file cannot be read."""
    chain = LogChain(folder)
    try:
        chosen = _Choice(stdout, stderr, since, until, _tail_of(chain, tail))
    except BaseException:
        chain.close()
        raise
    return _closing(chain, chosen.among(_all_to_come(chain, stop)))


def _closing(chain: LogChain, entries: Iterator[LogEntry]) -> Iterator[LogEntry]:
    with chain:
        yield from entries


@dataclass(slots=True)
class _Tail:
    """Which entries are the last lines: those of each stream from a place on, or from `end` on."""

    end: _Place
    begins: dict[str, _Place] = field(default_factory=dict)

    def has(self, stream: str, place: _Place) -> bool:
        return place >= self.begins.get(stream, self.end)


@dataclass(slots=True)
class _Choice:
    """Which of a log's entries were asked for."""

    stdout: bool
    stderr: bool
    since: float | None
    until: float | None
    tail: _Tail | None

    def among(self, entries: Iterator[tuple[_Place, LogEntry]]) -> Iterator[LogEntry]:
        begin = self.since
        for place, entry in entries:
            if self.tail and not self.tail.has(entry.stream, place):
                continue
            if begin is not None and entry.time < begin:
                continue
            begin = None
            if self.until is not None and entry.time > self.until:
                return
            if self.stderr if entry.stream == "stderr" else self.stdout:
                yield entry


def _all_there(chain: LogChain) -> Iterator[tuple[_Place, LogEntry]]:
    while len(chain.files) > 1:
        yield from _finish_oldest(chain)
    if chain.files:
        yield from _entries(chain, chain.end)
        yield from _last_entry(chain)


def _all_to_come(chain: LogChain, stop: Callable[[], bool]) -> Iterator[tuple[_Place, LogEntry]]:
    wait = _SHORTEST_WAIT_S
    while True:
        ended = stop()  # asked before reading: what was written until then is read
        for each in _entries(chain):
            wait = _SHORTEST_WAIT_S
            yield each
        if chain.open_newer() or len(chain.files) > 1:
            while len(chain.files) > 1:
                yield from _finish_oldest(chain)
        elif ended:
            break
        else:
            time.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT_S)
    yield from _last_entry(chain)


def _finish_oldest(chain: LogChain) -> Iterator[tuple[_Place, LogEntry]]:
    """There is a newer file, so nothing will be added to this one."""
    yield from _entries(chain)
    yield from _last_entry(chain)
    chain.drop_oldest()


def _entries(chain: LogChain, limit: int | None = None) -> Iterator[tuple[_Place, LogEntry]]:
    """Of the oldest file that has not been read, up to the byte `limit` or what there is now."""
    if chain.files:
        for begin, line in chain.files[0].lines(limit):
            for offset, entry in entries_in(line):
                yield (chain.number, begin + offset), entry


def _last_entry(chain: LogChain) -> Iterator[tuple[_Place, LogEntry]]:
    """Of the oldest file, when it is complete: the writer may have been killed before it wrote the last newline."""
    if chain.files:
        begin, piece = chain.files[0].rest()
        for offset, entry in entries_in(piece):
            yield (chain.number, begin + offset), entry


def _tail_of(chain: LogChain, lines: int | None) -> _Tail | None:
    """The last `lines` lines; the chain then begins with the first of them. All where it is None or negative."""
    if lines is None or lines < 0:
        return None
    tail = _Tail(_end_of(chain))
    left, patience = lines, _LOOK_BACK
    seen: set[str] = set()
    begun: set[str] = set()  # the streams whose earliest line may have more pieces before
    for place, size, entry in _backwards(chain):
        if not left and (not begun or patience < 0):
            break
        patience -= size
        if entry.ends_line or entry.stream not in seen:
            seen.add(entry.stream)
            begun.discard(entry.stream)
            if not left:
                continue
            left -= 1
            begun.add(entry.stream)
        elif entry.stream not in begun:
            continue
        tail.begins[entry.stream] = place
        patience = _LOOK_BACK
    chain.start_at(*min([tail.end, *tail.begins.values()]))
    return tail


def _backwards(chain: LogChain) -> Iterator[tuple[_Place, int, LogEntry]]:
    """With the length of the line it is in; the last first."""
    for number in range(len(chain.files) - 1, -1, -1):
        file = chain.files[number]
        for begin, line in file.lines_backwards(chain.end if number == len(chain.files) - 1 else file.size):
            for offset, entry in reversed(entries_in(line)):
                yield (number, begin + offset), len(line), entry


def _end_of(chain: LogChain) -> _Place:
    """Behind the last entry; a line that is only begun belongs to what is to come."""
    if not chain.files:
        return 0, 0
    begin, line = next(chain.files[-1].lines_backwards(chain.end), (0, b""))
    return len(chain.files) - 1, chain.end if entries_in(line) else begin
