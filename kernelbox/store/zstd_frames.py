"""Where the frames of zstd end (RFC 8878, section 3.1): the decompressor does not say whether what it was given was cut
short within one."""

from __future__ import annotations

from collections.abc import Generator

from kernelbox.store.tar_entries import Readable

__all__ = ["ZstdFrames"]

_SKIPPABLE, _SKIPPABLE_MASK = 0x184D2A50, 0xFFFFFFF0
_RUN = 1  # the kind of a block that is one byte, repeated
_DICTIONARY = (0, 1, 2, 4)
_CONTENT_SIZE = (0, 2, 4, 8)


class ZstdFrames:
    """Passes on what it reads. `whole`: all that was read so far ends where a frame does."""

    def __init__(self, file: Readable) -> None:
        self._file = file
        self._parts = _parts()
        self._wanted = next(self._parts)
        self._have = b""
        self.whole = True

    def read(self, size: int = 1 << 18, /) -> bytes:
        content = self._file.read(size)
        at = 0
        while at < len(content):
            self.whole = False
            if self._wanted < 0:  # so many bytes that do not matter
                passed = min(-self._wanted, len(content) - at)
                at += passed
                self._wanted += passed
                if not self._wanted:
                    self._next(b"")
            else:
                taken = content[at : at + self._wanted - len(self._have)]
                at += len(taken)
                self._have += taken
                if len(self._have) == self._wanted:
                    have, self._have = self._have, b""
                    self._next(have)
        return content

    def _next(self, have: bytes) -> None:
        self._wanted = self._parts.send(have)
        while not self._wanted:  # the end of a frame
            self.whole = True
            self._wanted = next(self._parts)


def _parts() -> Generator[int, bytes, None]:
    """Asks for so many bytes, or for fewer than none to be passed over; 0 says that a frame has ended. What is no zstd
    is the decompressor's to refuse."""
    while True:
        magic = int.from_bytes((yield 4), "little")
        if magic & _SKIPPABLE_MASK == _SKIPPABLE:
            size = int.from_bytes((yield 4), "little")
            if size:
                yield -size
        else:
            yield from _blocks((yield 1)[0])
        yield 0


def _blocks(descriptor: int) -> Generator[int, bytes, None]:
    single = bool(descriptor & 0x20)
    size = _CONTENT_SIZE[descriptor >> 6] or int(single)
    rest = int(not single) + _DICTIONARY[descriptor & 3] + size
    if rest:
        yield -rest
    last = False
    while not last:
        header = int.from_bytes((yield 3), "little")
        last = bool(header & 1)
        length = 1 if header >> 1 & 3 == _RUN else header >> 3
        if length:
            yield -length
    if descriptor & 4:
        yield -4
