"""Writes a plan as bytes for the launcher (native/plan.h): fixed-size operations, then one text.

Descriptors have names. What the engine sends along comes first, then the pipes, then what the steps open themselves;
names that begin with "@" are the monitor's own (`Shared`), filled by its set-up plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from struct import Struct

from kernelbox.errors import InvalidOption
from kernelbox.native import lib

__all__ = ["IN_HOST", "IN_WORKSHOP", "MAGIC", "MAY_FAIL", "NONE", "Encoder"]

MAGIC = lib.KB_MAGIC
NONE = ""
"""No descriptor: the current folder for a path, the absence of one elsewhere."""

MAY_FAIL = lib.KB_MAY_FAIL
IN_WORKSHOP = lib.KB_IN_WORKSHOP
IN_HOST = lib.KB_IN_HOST

_OPERATION = Struct("=HH4h3I4Q")  # struct kb_op, which has no padding
_FIRST_SHARED = lib.KB_SHARED_SLOTS
_NO_SLOT = lib.KB_NO_SLOT


class Encoder:
    """Collects operations. `passed` names the descriptors sent along, in their order; `shared` numbers the
    monitor's."""

    def __init__(self, passed: Sequence[str], shared: Mapping[str, int]) -> None:
        self.slots = {name: number for number, name in enumerate(passed)}
        self.slots.update(shared)
        self.slots[NONE] = _NO_SLOT
        self.operations: list[bytes] = []
        self.owners: list[int] = []
        self.text = bytearray(b"\0")
        self.step = 0
        self._offsets: dict[bytes, int] = {}
        self._next = len(passed)

    def begin_last_part(self) -> int:
        """From here on texts are written anew, so that the last part can be kept alone; returns their offset."""
        self._offsets.clear()
        return len(self.text)

    def slot(self, name: str) -> int:
        number = self.slots.get(name)
        if number is None:
            if self._next >= _FIRST_SHARED:
                raise InvalidOption(f"a container cannot need more than {_FIRST_SHARED} descriptors to start")
            number = self.slots[name] = self._next
            self._next += 1
        return number

    def string(self, value: str | bytes | None) -> int:
        """Offset of the NUL-terminated value; 0 stands for NULL."""
        if value is None:
            return 0
        raw = value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")
        offset = self._offsets.get(raw)
        if offset is None:
            offset = self._offsets[raw] = len(self.text)
            self.text += raw
            self.text.append(0)
        return offset

    def strings(self, values: Iterable[str]) -> int:
        """Offset of several NUL-terminated strings, one behind the other; 0 where there are none."""
        raw = b"".join(value.encode("utf-8", "surrogateescape") + b"\0" for value in values)
        offset = len(self.text) if raw else 0
        self.text += raw
        return offset

    def add(
        self,
        code: int,
        *numbers: int,
        at: str = NONE,
        second: str = NONE,
        third: str = NONE,
        to: str = NONE,
        text: tuple[int, ...] = (),
        flags: int = 0,
    ) -> None:
        """One operation: descriptors `at`, `second`, `third` in, `to` out; up to three texts, up to four numbers."""
        slots = self.slots
        a = slots[at] if at in slots else self.slot(at)
        b = slots[second] if second in slots else self.slot(second)
        c = slots[third] if third in slots else self.slot(third)
        d = slots[to] if to in slots else self.slot(to)
        texts = (*text, 0, 0, 0)
        n = (*numbers, 0, 0, 0, 0)
        self.operations.append(
            _OPERATION.pack(code, flags, a, b, c, d, texts[0], texts[1], texts[2], n[0], n[1], n[2], n[3])
        )
        self.owners.append(self.step)
