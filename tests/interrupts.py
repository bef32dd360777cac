"""Ctrl-C at every place of a piece of code: between any two of its lines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any


def interrupted_everywhere(act: Callable[[], object], *parts: ModuleType | Callable[..., Any]) -> Iterator[str]:
    """Does it again and again, each time interrupted before another line of the modules and functions; says before
    which, so that what it left can be looked at. Ends when it came to its own end."""
    files = {part.__file__ for part in parts if isinstance(part, ModuleType)}
    codes = {part.__code__ for part in parts if isinstance(part, FunctionType)}
    seen: set[str] = set()
    while place := _interrupted(act, lambda code: code.co_filename in files or code in codes, seen):
        yield place


def _interrupted(act: Callable[[], object], within: Callable[[CodeType], bool], seen: set[str]) -> str:
    """Interrupts it before a line where that has not happened yet; which one, "" where there was none."""
    place = ""

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal place
        code, line = frame.f_code, f"{frame.f_code.co_filename}:{frame.f_lineno}"
        if place or code.co_name == "__del__" or not within(code):  # what __del__ raises goes nowhere
            return None
        if event == "line" and line not in seen:
            seen.add(line)
            place = line
            raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with suppress(KeyboardInterrupt):
            act()
    finally:
        sys.settrace(before)
    return place
