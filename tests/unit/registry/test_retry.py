"""Once more, a little later: how often, and after how long."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.registry.clients import Waits

from kernelbox.errors import RegistryError
from kernelbox.registry.retry import Backoff, Passing, Retry, seconds_asked
from kernelbox.registry.stop import Stop


def failing(*failures: Exception) -> Callable[[], str]:
    left = list(failures)

    def attempt() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return attempt


def test_waits_double_up_to_the_longest() -> None:
    waits = Waits()
    retry = Retry(Backoff(attempts=8, first=0.5, longest=4), sleep=waits, chance=lambda: 1.0)
    assert retry.run(failing(*[Passing("busy")] * 7)) == "done"
    assert waits.seconds == [0.5, 1, 2, 4, 4, 4, 4]


def test_chance_takes_up_to_half_of_a_wait() -> None:
    waits = Waits()
    retry = Retry(Backoff(attempts=3, first=8), sleep=waits, chance=iter([0.0, 0.5]).__next__)
    retry.run(failing(Passing("busy"), Passing("busy")))
    assert waits.seconds == [4, 12]


def test_the_last_failure_is_raised() -> None:
    waits = Waits()
    with pytest.raises(Passing, match="third"):
        Retry(Backoff(attempts=3), sleep=waits).run(failing(Passing("first"), Passing("second"), Passing("third")))
    assert len(waits.seconds) == 2


def test_other_failures_are_raised_at_once() -> None:
    waits = Waits()
    with pytest.raises(RegistryError, match="no"):
        Retry(sleep=waits).run(failing(RegistryError("no")))
    assert waits.seconds == []


def test_a_registry_says_how_long() -> None:
    waits = Waits()
    assert Retry(sleep=waits).run(failing(Passing("busy", wait=7), Passing("busy", wait=0))) == "done"
    assert waits.seconds == [7, 0]


def test_nobody_waits_an_hour() -> None:
    waits = Waits()
    with pytest.raises(Passing, match="busy"):
        Retry(sleep=waits).run(failing(Passing("busy", wait=3600)))
    assert waits.seconds == []


def test_a_stop_ends_the_waiting() -> None:
    stop = Stop()

    def sleep(seconds: float, given: Stop | None) -> None:
        assert given is stop
        stop.set()

    with pytest.raises(RegistryError, match="stopped"):
        Retry(sleep=sleep).run(failing(Passing("busy")), stop)
    with pytest.raises(RegistryError, match="stopped"):
        Retry().run(failing(Passing("busy", wait=50)), stop)  # without waiting


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        (" 0 ", 0),
        ("Wed, 21 Oct 2015 07:28:30 GMT", 30),
        ("Wed, 21 Oct 2015 07:00:00 GMT", 0),
        ("Sun, 06 Nov 1994 08:49:37", 0),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("1e9", None),
        ("٣", None),
    ],
)
def test_retry_after(header: str, seconds: float | None) -> None:
    assert seconds_asked(header, now=lambda: 1445412480.0) == seconds


@given(st.text(max_size=60))
def test_any_retry_after_is_a_wait_or_nothing(header: str) -> None:
    found = seconds_asked(header)
    assert found is None or found >= 0
