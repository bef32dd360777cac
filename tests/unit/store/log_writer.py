"""Writes a container's log as the monitor does: entries of JSON, files rotated by renaming."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

START_NS = 1_795_528_800_123_456_789  # 2026-11-24T14:00:00.123456789Z


def encoded(content: bytes, stream: str = "stdout", time: str = "2026-11-24T14:00:00.123456789Z") -> bytes:
    """A line of the file."""
    text = "".join(map(escaped, content.decode("utf-8", "surrogateescape")))
    return f'{{"log":"{text}","stream":"{stream}","time":"{time}"}}\n'.encode()


def escaped(letter: str) -> str:
    if letter in '"\\':
        return "\\" + letter
    if letter < " " or "\udc80" <= letter <= "\udcff":
        return f"\\u{ord(letter):04x}"
    return letter


def time_text(number: int) -> str:
    """A second later for each number."""
    return f"2026-11-24T{14 + number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}.123456789Z"


class LogWriter:
    """One entry a second, by the times in the log; `keep` files at most."""

    def __init__(self, folder: Path, keep: int = 100) -> None:
        self.folder = folder
        self.keep = keep
        self.count = 0

    def write(self, content: bytes, stream: str = "stdout") -> None:
        self.raw(encoded(content, stream, time_text(self.count)))
        self.count += 1

    def raw(self, text: bytes) -> None:
        with (self.folder / "log.json").open("ab") as file:
            file.write(text)

    def rotate(self, between: Callable[[], None] = lambda: None) -> None:
        """`between` is called before each of the renames and before the new file is made."""
        self.path(self.keep - 1).unlink(missing_ok=True)
        for number in range(self.keep - 2, -1, -1):
            if self.path(number).exists():
                between()
                self.path(number).rename(self.path(number + 1))
        between()
        self.path(0).touch()

    def path(self, number: int) -> Path:
        return self.folder / (f"log.json.{number}" if number else "log.json")
