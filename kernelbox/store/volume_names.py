"""What a volume can be called, and what is called how in its folder and in a run's: without what a launch of something
that has no volumes does not need."""

from __future__ import annotations

import re

from kernelbox.errors import InvalidOption

__all__ = ["DATA", "RUN_VOLUME", "USED_VOLUMES", "checked_name", "is_name"]

DATA = "_data"
"""What containers see of a volume."""
RUN_VOLUME = "volume-"
"""With a number behind it: a volume in a run's folder, which is its own."""
USED_VOLUMES = "volumes"
"""The file in a temporary run's folder that says who it is and which volumes it has, a name on each line."""

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
