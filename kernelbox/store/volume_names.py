"""What a volume can be called."""

from __future__ import annotations

import re

from kernelbox.errors import InvalidOption

__all__ = ["checked_name", "is_name"]

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*", re.ASCII)
_MOST = 255


def is_name(text: str) -> bool:
    return len(text) <= _MOST and _NAME.fullmatch(text) is not None


def checked_name(text: str) -> str:
    """Raises InvalidOption. What passes is one name of a folder, and none that leads elsewhere."""
    if not is_name(text):
        raise InvalidOption(
            f"{text[:80]!r} is not a name for a volume: letters, digits, and after the first of them also _ . -",
            hint="a folder of the machine begins with / or ./",
        )
    return text
