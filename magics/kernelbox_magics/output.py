"""What a container prints, on its way to the cell: streaming, and protected against floods.

A notebook server drops output of more than 1 MB or 1,000 messages a second (ServerApp.iopub_data_rate_limit), and a
browser stalls long before. So at most ten messages a second are sent, of a burst `Flood.burst` bytes are shown, and of
what follows only the end: `… 163,412 lines hidden, all in result.stdout …`. Slow output is never hidden.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from .terminal import TerminalText

Show = Callable[[int, str], None]
"""Shows text of stream 1 (standard output) or 2 (standard error)."""

NAMES = {1: "stdout", 2: "stderr"}


@dataclass(frozen=True, slots=True)
class Flood:
    """How much of a cell's output reaches the notebook. Sizes in bytes, times in seconds."""

    interval: float = 0.1
    burst: int = 256 << 10
    rate: int = 64 << 10
    total: int = 2 << 20
    trickle: int = 4 << 10
    """The rate once `total` was shown: a person can read along, and the file does not grow without end."""
    tail: int = 8 << 10


@dataclass(slots=True)
class _Stream:
    text: TerminalText = field(default_factory=TerminalText)
    pending: bytearray = field(default_factory=bytearray)
    hidden_bytes: int = 0
    hidden_lines: int = 0
    tail: bytes = b""
    mid_line: bool = False

    def hide(self, longest: int) -> None:
        """Count what is pending and keep its end."""
        self.hidden_bytes += len(self.pending)
        self.hidden_lines += self.pending.count(b"\n")
        self.tail = (self.tail + bytes(self.pending[-longest:]))[-longest:]
        self.pending.clear()


class CellOutput:
    """Takes chunks as they come and calls `show` with text. `close()` shows the rest; it is a with-block.

    What had to wait is shown by a timer's thread, so `show` has to say which cell the output belongs to."""

    def __init__(
        self,
        show: Show,
        flood: Flood | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._show = show
        self._flood = flood or Flood()
        self._clock = clock
        self._streams = {1: _Stream(), 2: _Stream()}
        self._lock = threading.RLock()
        self._timer: threading.Timer | None = None
        self._next_flush = 0.0
        self._allowance = float(self._flood.burst)
        self._refilled = clock()
        self._shown = 0
        self._closed = False

    def __enter__(self) -> CellOutput:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def feed(self, stream: int, chunk: bytes) -> None:
        """Take `chunk` of stream 1 or 2; shows it now unless something was shown less than `Flood.interval` ago."""
        with self._lock:
            pending = self._streams[stream].pending
            pending += chunk
            if self._clock() >= self._next_flush or len(pending) > self._flood.burst:
                self._pour()
            self._wait()

    def close(self) -> None:
        """Show all that is left: the tails of what was hidden, and unfinished characters as replacement characters."""
        with self._lock:
            self._closed = True
            timer, self._timer = self._timer, None
        if timer:
            timer.cancel()
            timer.join()
        with self._lock:
            self._pour(final=True)

    def _wait(self) -> None:
        """Have a timer come back for what could not be shown now."""
        streams = self._streams.values()
        if self._timer or self._closed or not any(stream.pending or stream.hidden_bytes for stream in streams):
            return
        delay = self._next_flush - self._clock()
        if all(stream.hidden_bytes or not stream.pending for stream in streams):
            delay = max(delay, (self._flood.burst / 2 - self._allowance) / self._rate)
        self._timer = threading.Timer(max(delay, 0.001), self._tick)
        self._timer.daemon = True
        self._timer.name = "kernelbox cell output"
        self._timer.start()

    def _tick(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._timer = None
            self._pour()
            self._wait()

    @property
    def _rate(self) -> int:
        return self._flood.rate if self._shown < self._flood.total else self._flood.trickle

    def _pour(self, *, final: bool = False) -> None:
        """Show what may be shown."""
        now = self._clock()
        self._allowance = min(self._flood.burst, self._allowance + (now - self._refilled) * self._rate)
        self._refilled = now
        self._next_flush = now + self._flood.interval
        for number, stream in self._streams.items():
            if stream.hidden_bytes:
                stream.hide(self._flood.tail)
            else:
                self._emit(number, stream, self._take(stream))
            if stream.hidden_bytes and (final or self._allowance >= self._flood.burst / 2):
                self._reveal(number, stream)
            if final and (rest := stream.text.feed(b"", final=True)):
                self._show(number, rest)

    def _take(self, stream: _Stream) -> bytes:
        """What is pending, as far as the allowance goes, in whole lines; the others are hidden."""
        room = max(0, int(self._allowance))
        if len(stream.pending) <= room:
            room = len(stream.pending)
        else:
            room = stream.pending.rfind(b"\n", 0, room) + 1 or room
        head = bytes(stream.pending[:room])
        del stream.pending[:room]
        if stream.pending:
            stream.hide(self._flood.tail)
        return head

    def _reveal(self, number: int, stream: _Stream) -> None:
        """Say how much was hidden and go on with its last lines."""
        tail = stream.tail
        if stream.hidden_bytes > len(tail):
            tail = tail[tail.find(b"\n") + 1 :]
        lines, size = stream.hidden_lines - tail.count(b"\n"), stream.hidden_bytes - len(tail)
        stream.hidden_bytes = stream.hidden_lines = 0
        stream.tail = b""
        if size:
            stream.text.restart()
            what = f"{lines:,} line{'s'[: lines != 1]}" if lines else f"{size:,} bytes"
            start = "\n" * stream.mid_line
            self._show(number, f"{start}\x1b[0m… {what} hidden, all in result.{NAMES[number]} …\n")
        self._emit(number, stream, tail)

    def _emit(self, number: int, stream: _Stream, data: bytes) -> None:
        self._allowance -= len(data)
        self._shown += len(data)
        if text := stream.text.feed(data):
            self._show(number, text)
            stream.mid_line = not text.endswith("\n")
