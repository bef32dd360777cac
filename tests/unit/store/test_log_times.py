"""What `docker logs --since` understands."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.store.log_writer import LogWriter

from kernelbox.errors import InvalidOption
from kernelbox.store.log_file import parse_time, read, render

NOON = 1_795_521_600  # 2026-11-24T12:00:00Z


@pytest.fixture
def paris(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is an hour ahead in winter, two in summer."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1795521600", NOON),
        ("1795521600.5", NOON + 0.5),
        ("1795521600.", NOON),
        ("0", 0),
        ("10m", NOON - 600),
        ("1h30m", NOON - 5400),
        ("42s", NOON - 42),
        ("1.5h", NOON - 5400),
        ("500ms", NOON - 0.5),
        ("+10m", NOON - 600),
        ("-1m", NOON + 60),
        ("0m", NOON),
        ("2026-11-24T12:00:00Z", NOON),
        ("2026-11-24T12:00:00.25Z", NOON + 0.25),
        ("2026-11-24T12:00:00.250000000000Z", NOON + 0.25),
        ("2026-11-24T13:00:00+01:00", NOON),
        ("2026-11-24T06:30:00.75-05:30", NOON + 0.75),
        ("2026-11-24T12:00Z", NOON),
        ("2026-11-24T12+00:00", NOON),
        ("2026-11-24Z", NOON - 43_200),
        ("2026-11-24-00:01", NOON - 43_140),
        ("2026-11-24t12:00:00z", NOON),
        ("1969-12-31T23:59:59.5Z", -0.5),
    ],
)
def test_points_in_time(text: str, expected: float) -> None:
    assert parse_time(text, NOON) == expected


@pytest.mark.usefixtures("paris")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-24T13:00:00", NOON),
        ("2026-11-24T13:00:00.5", NOON + 0.5),
        ("2026-11-24T13:00", NOON),
        ("2026-11-24 13:00", NOON),
        ("2026-11-24T13", NOON),
        ("2026-11-24T1", NOON - 43_200),
        ("2026-11-24", NOON - 46_800),
        ("2026-07-01T02:00:00", 1_782_864_000),
    ],
)
def test_without_a_zone_it_is_local_time_of_that_day(text: str, expected: float) -> None:
    assert parse_time(text, NOON) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "yesterday",
        " 1795521600",
        "1795521600\n",
        "1795521600.5.5",
        "1795521600.x",
        "١٢",
        "-5",
        "9" * 5000,
        "1" * 13,
        "10 m",
        "10x",
        "m",
        "1h30",
        "10m!",
        "--10m",
        "99999999999999h",
        "2026-11-24TZ",
        "2026-11-24T",
        "2026-11-24T12:0",
        "2026-11-24T12:00:0Z",
        "2026-11-24T12.5Z",
        "2026-11-24T12:00:00.Z",
        "2026-11-24T12:00:00+1",
        "2026-11-24T12:00:00Z\n",
        "2026-13-01",
        "2026-02-30T00:00:00Z",
        "2026-11-24T25:00",
        "2026-11-24T12:00:60Z",
        "2026-11-24T12:00:00+24:00",
        "2026-11-24T12:00:00+01:60",
        "0000-01-01",
        "26-11-24",
    ],
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(InvalidOption, match=r"point in time|not between"):
        parse_time(text, NOON)


@pytest.mark.usefixtures("paris")
def test_local_time_before_the_calendar_begins() -> None:
    with pytest.raises(InvalidOption, match="there is no such point in time"):
        parse_time("0001-01-01", NOON)


@settings(deadline=None)
@given(st.text(alphabet="0123456789.:-+TZhms µ", max_size=30))
def test_any_text_is_a_time_or_a_sentence(text: str) -> None:
    with contextlib.suppress(InvalidOption):
        assert isinstance(parse_time(text, NOON), float)


def test_the_time_that_is_printed_names_the_line(tmp_path: Path) -> None:
    log = LogWriter(tmp_path)
    for _ in range(20):
        log.write(b"line\n")
    entries = list(read(tmp_path))
    for number, entry in enumerate(entries):
        printed = render(entry, timestamps=True, begins_line=True).split()[0].decode()
        moment = parse_time(printed, NOON)
        assert list(read(tmp_path, since=moment, until=moment)) == [entries[number]]
