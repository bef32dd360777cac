"""Once more, a little later: what a registry may say or do that is different next time.

The waits double, with some chance in them so that a class of notebooks does not come back all at once; where the
registry says how long to wait (RFC 9110, Retry-After), that is how long.
"""

from __future__ import annotations

import email.utils
import random
import time
from collections.abc import Callable
from typing import TypeVar

from kernelbox.errors import RegistryError
from kernelbox.oci.value import frozen
from kernelbox.registry.stop import Stop

__all__ = ["PASSING_STATUSES", "Backoff", "Passing", "Retry", "seconds_asked"]

PASSING_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
T = TypeVar("T")


class Passing(RegistryError):
    """It may be different next time. `wait` is after how many seconds, where the registry has said it."""

    def __init__(self, message: str, *, http_status: int = 0, code: str = "", wait: float | None = None) -> None:
        super().__init__(message, hint="try again later", http_status=http_status, code=code)
        self.wait = wait


@frozen
class Backoff:
    """`attempts` in all; `first` and `longest` are waits in seconds. A registry that asks for a longer one gets no
    further attempt."""

    attempts: int = 5
    first: float = 0.5
    longest: float = 60.0


def _sleep(seconds: float, stop: Stop | None) -> None:
    if stop is None:
        time.sleep(seconds)
    else:
        stop.wait(seconds)


class Retry:
    """Runs attempts. `sleep` waits so many seconds, or until the Stop is set; `chance` is from 0 up to 1."""

    def __init__(
        self,
        backoff: Backoff | None = None,
        *,
        sleep: Callable[[float, Stop | None], None] = _sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._backoff = backoff or Backoff()
        self._sleep = sleep
        self._chance = chance

    def run(self, attempt: Callable[[], T], stop: Stop | None = None) -> T:
        """What `attempt` returns, or raises the last time; only Passing leads to another."""
        for number in range(1, self._backoff.attempts):
            try:
                return attempt()
            except Passing as error:
                self.wait(number, error, stop)
        return attempt()

    @property
    def attempts(self) -> int:
        return self._backoff.attempts

    def wait(self, number: int, error: Passing, stop: Stop | None = None) -> None:
        """Until the next attempt may be made, after the one of this number (from 1) ended so. Raises that error where
        the registry wants to be left alone for longer, or where it was stopped."""
        longest = self._backoff.longest
        if error.wait is not None and error.wait > longest:
            raise error
        usual = min(longest, self._backoff.first * 2.0 ** min(number - 1, 30))
        seconds = error.wait if error.wait is not None else usual * (0.5 + self._chance() / 2)
        if stop is not None:
            stop.check()
        self._sleep(seconds, stop)
        if stop is not None:
            stop.check()


def seconds_asked(header: str, now: Callable[[], float] = time.time) -> float | None:
    """What a Retry-After asks for: a number of seconds, or a date (RFC 9110, 10.2.3); None for neither."""
    text = header.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:12])
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError):
        return None
    return max(0.0, moment.timestamp() - now())
