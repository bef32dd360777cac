"""Waiting for a condition, never for a length of time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

DEADLINE = 10.0 * float(os.environ.get("KERNELBOX_PATIENCE", "1"))
"""Seconds after which a condition that should come true soon has failed; long enough for a loaded machine. An emulated
one takes longer for everything: tests/vm/inside says so."""


def wait_until(condition: Callable[[], T], what: str = "", *, deadline: float = DEADLINE) -> T:
    """Return the first true value of `condition`; fail the test where there is none before `deadline` seconds."""
    end = time.monotonic() + deadline
    pause = 0.001
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline:g} s: {what or condition.__name__}")
        time.sleep(pause)
        pause = min(pause * 2, 0.05)
    return value
