"""What frozen dataclasses of this project may share: equality, hash and a repr that shows only what was set.

`dataclass` would compile these anew for every class, which is a third of the time that importing a class costs;
the configuration classes are many and every launch waits for their import.
"""

from __future__ import annotations

import dataclasses
from typing import Any


class Value:
    """Base for `@dataclass(frozen=True, slots=True, eq=False, repr=False)`: equal when class and fields are."""

    __slots__ = ()
    __dataclass_fields__: dict[str, dataclasses.Field[Any]]

    def _values(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in self.__dataclass_fields__)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        shown = []
        for field in self.__dataclass_fields__.values():
            value = getattr(self, field.name)
            if not (value == field.default or (field.default_factory is not dataclasses.MISSING and not value)):
                shown.append(f"{field.name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"
