"""The keys by which one leaves a container without ending it: Ctrl-P Ctrl-Q, or those of --detach-keys."""

from __future__ import annotations

from kernelbox.errors import InvalidOption

__all__ = ["DetachKeys"]

_DEFAULT = "ctrl-p,ctrl-q"
_SIGNS = {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}


class DetachKeys:
    """A sequence of keys, looked for in what is typed, which may come in pieces."""

    def __init__(self, text: str | None = None) -> None:
        """`text` is Docker's: "ctrl-p,ctrl-q", single letters, commas between them. Raises InvalidOption."""
        self._wanted = bytes(_key(each) for each in (text or _DEFAULT).split(","))
        self._seen = b""

    def without(self, typed: bytes) -> bytes | None:
        """What is to be passed on of it; None where the keys were pressed. Keys that may be the beginning of the
        sequence are held back until the next one."""
        passed = bytearray()
        for byte in typed:
            self._seen += bytes((byte,))
            if self._seen == self._wanted:
                return None
            while self._seen and not self._wanted.startswith(self._seen):
                passed.append(self._seen[0])
                self._seen = self._seen[1:]
        return bytes(passed)


def _key(name: str) -> int:
    if len(name) == 1 and name.isascii():
        return ord(name)
    if name.startswith("ctrl-") and len(name) == 6:
        letter = name[5]
        if letter.isascii() and letter.isalpha():
            return ord(letter.lower()) - ord("a") + 1
        if letter in _SIGNS:
            return _SIGNS[letter]
    raise InvalidOption(f"--detach-keys: {name!r} is no key", hint="like ctrl-p,ctrl-q or a single letter")
