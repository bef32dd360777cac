"""One entry of a container's log: as it is written, and as `docker logs` prints it.

An entry is a line of JSON, as Docker's json-file driver writes it: `{"log":"text\\n","stream":"stdout","time":"..."}`.
Other than Docker's it keeps every byte: what is not UTF-8 is written as `\\udc80` to `\\udcff`, Python's surrogate
escapes.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

__all__ = ["LogEntry", "entries_in", "render"]

_BEGIN = b'{"log":"'  # never within a text: there a quotation mark has a backslash before it
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_decode = json.JSONDecoder(strict=False).decode


@dataclass(frozen=True, slots=True)
class LogEntry:
    """What a program wrote to `stream` ("stdout", "stderr"): a line, or a piece of one where `content` does not end
    with a newline; the next entry of the same stream continues it. `time_ns` is in nanoseconds since 1970."""

    stream: str
    time_ns: int
    content: bytes

    @property
    def time(self) -> float:
        """Seconds since 1970, rounded as every other time: equal ones stay equal."""
        return self.time_ns / 1_000_000_000

    @property
    def ends_line(self) -> bool:
        return self.content.endswith(b"\n")


def entries_in(line: bytes) -> list[tuple[int, LogEntry]]:
    """The entries of a line of the file and where in it they begin: one, none of a broken line.

    A writer that was killed leaves an entry without its end or without its newline, and the next writer's first entry
    stands behind it on the same line: what is whole is found."""
    entry = _entry_of(line)
    if entry is not None:
        return [(0, entry)]
    found = []
    begin = line.find(_BEGIN)
    while begin >= 0:
        end = line.find(_BEGIN, begin + 1)
        entry = _entry_of(line[begin:] if end < 0 else line[begin:end])
        if entry is not None:
            found.append((begin, entry))
        begin = end
    return found


def _entry_of(text: bytes) -> LogEntry | None:
    if not text.startswith(_BEGIN):
        return None
    try:
        fields = _decode(text.decode("utf-8", "surrogateescape"))
        content, stream, time = fields["log"], fields["stream"], fields["time"]
        return LogEntry(str(stream), _nanoseconds(time), content.encode("utf-8", "surrogateescape"))
    except (ValueError, KeyError, TypeError, AttributeError):  # not an entry: a broken line
        return None


def _nanoseconds(time: str) -> int:
    """Of `2026-11-24T14:00:00.123456789Z`, with at most nine digits behind the point. Raises ValueError."""
    fraction = time[19:-1]
    if not time.endswith("Z") or fraction[:1] not in ("", ".") or len(fraction) > 10:
        raise ValueError(f"{time!r} is not a time in UTC")
    return _seconds(time[:19]) * 1_000_000_000 + (int(fraction[1:].ljust(9, "0")) if fraction else 0)


@functools.lru_cache(maxsize=16)
def _seconds(text: str) -> int:
    return (datetime.fromisoformat(f"{text}+00:00") - _EPOCH) // _SECOND


@functools.lru_cache(maxsize=16)
def _text_of_second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")


def render(entry: LogEntry, *, timestamps: bool, begins_line: bool) -> bytes:
    """What `docker logs` prints of it, with `-t` where `timestamps`: the time in UTC, always with nine digits, before
    each line. `begins_line` says whether the entry before it of the same stream ended its line, or there was none."""
    if not timestamps or not begins_line:
        return entry.content
    seconds, nanoseconds = divmod(entry.time_ns, 1_000_000_000)
    return f"{_text_of_second(seconds)}.{nanoseconds:09}Z ".encode() + entry.content
