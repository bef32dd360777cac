"""`kernelbox logs`: what a container has written, its output to our output and its errors to our errors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kernelbox.cli.caller import engine
from kernelbox.cli.streams import write
from kernelbox.cli.verbs import Given
from kernelbox.engine.engine import Engine
from kernelbox.errors import InvalidOption

__all__ = ["chunks", "gathered", "logs"]

_GATHERED = 1 << 16


def logs(given: Given) -> int:
    with engine() as box:
        for stream, content in chunks(box, given):
            write(stream, content)
    return 0


def chunks(box: Engine, given: Given) -> Iterator[tuple[int, bytes]]:
    """What was asked for, with the stream it was written to. Raises InvalidOption, ContainerNotFound, NotSupported."""
    follow = given.flag("follow")
    found = box.containers.get(given.words[0]).log_chunks(
        tail=_tail(given.text("tail", "all")),
        since=given.text("since") or None,
        until=given.text("until") or None,
        timestamps=given.flag("timestamps"),
        follow=follow,
    )
    return found if follow else gathered(found)


def _tail(text: str) -> int | str:
    """A negative number is all, as for Docker."""
    if text in ("", "all"):
        return "all"
    if not text.removeprefix("-").isdecimal() or not text.isascii() or len(text) > 12:
        raise InvalidOption(f"--tail: {text[:40]!r} is no number of lines", hint="a number, or all")
    return int(text) if int(text) >= 0 else "all"


def gathered(entries: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """Those of one stream that follow each other, put together."""
    last, held = 0, bytearray()
    for stream, content in entries:
        if held and (stream != last or len(held) > _GATHERED):
            yield last, bytes(held)
            held.clear()
        last = stream
        held += content
    if held:
        yield last, bytes(held)
