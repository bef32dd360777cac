"""Resource limits of processes: how many files one may open, how big its core dump may be (getrlimit(2)).

Each has two numbers. The soft limit counts; a process may raise it up to the hard limit, and lower the hard limit for
good. Raising a hard limit takes CAP_SYS_RESOURCE over the first user namespace, so many a machine cannot: `clamp`
lowers what is asked for to what is possible, and says so.

    >>> from kernelbox.linux import rlimits
    >>> rlimits.parse("nofile=1024:2048")
    Rlimit(name='nofile', soft=1024, hard=2048)
    >>> rlimits.clamp([rlimits.parse("nofile=1000000000")])[1]         # sentences, one for each limit that was lowered
"""

from __future__ import annotations

import difflib
import resource
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from kernelbox.errors import InvalidOption
from kernelbox.linux import capabilities
from kernelbox.native import lib

__all__ = ["NUMBERS", "UNLIMITED", "Rlimit", "clamp", "current", "may_raise", "parse"]

UNLIMITED = -1

_NAMES = "cpu fsize data stack core rss nproc nofile memlock as locks sigpending msgqueue nice rtprio rttime"
NUMBERS: dict[str, int] = {name: getattr(lib, f"RLIMIT_{name.upper()}") for name in _NAMES.split()}
"""The kernel's number of each limit, by the name that `docker run --ulimit` uses."""


@dataclass(frozen=True, slots=True)
class Rlimit:
    """A limit by its short name ("nofile"); UNLIMITED (-1) for no limit. Raises InvalidOption for impossible values."""

    name: str
    soft: int
    hard: int

    def __post_init__(self) -> None:
        if self.name not in NUMBERS:
            near = difflib.get_close_matches(self.name, NUMBERS, 1)
            raise InvalidOption(f"unknown limit {self.name!r}", hint=f"did you mean {near[0]!r}?" if near else None)
        if not all(UNLIMITED <= value < 1 << 63 for value in (self.soft, self.hard)):
            raise InvalidOption(f"{self}: limits are numbers from 0 to 2^63, or -1 for unlimited")
        if _order(self.soft) > _order(self.hard):
            raise InvalidOption(f"{self}: the soft limit is above the hard one")

    def __str__(self) -> str:
        return f"{self.name}={_text(self.soft)}:{_text(self.hard)}"


def parse(text: str) -> Rlimit:
    """Docker's NAME=SOFT[:HARD]; "unlimited" and -1 mean no limit. Raises InvalidOption."""
    name, equals, values = text.partition("=")
    parts = values.split(":")
    if not equals or len(parts) > 2:
        raise InvalidOption(f"{text!r} is not a limit", hint='write it as "nofile=1024:2048"')
    numbers = [_value(part, text) for part in parts]
    return Rlimit(name.strip().lower().removeprefix("rlimit_"), numbers[0], numbers[-1])


def _value(part: str, text: str) -> int:
    if part.strip() == "unlimited":
        return UNLIMITED
    try:
        return int(part)
    except ValueError:
        raise InvalidOption(f"{text!r}: {part!r} is not a number") from None


def current(name: str) -> Rlimit:
    """This process's limit."""
    return Rlimit(name, *resource.getrlimit(NUMBERS[name]))


def may_raise() -> bool:
    """Whether this process may raise hard limits (where its user namespace is the first one)."""
    return bool(capabilities.current().effective & capabilities.parse(["SYS_RESOURCE"]))


def clamp(
    limits: Iterable[Rlimit],
    *,
    ceiling: Callable[[str], Rlimit] = current,
    raising: bool | None = None,
    proc: Path = Path("/proc"),
) -> tuple[tuple[Rlimit, ...], tuple[str, ...]]:
    """What this process can give of `limits`, and a sentence for each that it had to lower.

    `ceiling` tells the limit that there is now, `raising` whether hard limits may be raised (None: find out)."""
    raising = may_raise() if raising is None else raising
    possible, sentences = [], []
    for limit in limits:
        most = UNLIMITED if raising else ceiling(limit.name).hard
        if limit.name == "nofile":  # no privilege goes beyond the machine's own maximum
            most = _least(most, int((proc / "sys/fs/nr_open").read_text()))
        given = Rlimit(limit.name, _least(limit.soft, most), _least(limit.hard, most))
        if given != limit:
            why = "this process may not raise hard limits" if not raising else "this is the machine's maximum"
            sentences.append(f"{limit} was asked for, {given} is possible: {why}")
        possible.append(given)
    return tuple(possible), tuple(sentences)


def _least(a: int, b: int) -> int:
    return min(a, b, key=_order)


def _order(value: int) -> float:
    return float("inf") if value == UNLIMITED else value


def _text(value: int) -> str:
    return "unlimited" if value == UNLIMITED else str(value)
