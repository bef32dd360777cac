"""Sizes and durations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelbox.errors import InvalidOption
from kernelbox.oci import units

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@pytest.mark.parametrize(
    ("written", "size"),
    [
        (0, 0),
        (256, 256),
        ("256", 256),
        ("256b", 256),
        ("4k", 4 * KIB),
        ("4K", 4 * KIB),
        ("4kb", 4 * KIB),
        ("4KiB", 4 * KIB),
        ("256m", 256 * MIB),
        ("256M", 256 * MIB),
        ("1.5g", GIB + GIB // 2),
        (".5g", GIB // 2),
        ("64 MiB", 64 * MIB),
        (" 1t ", 1 << 40),
        ("1p", 1 << 50),
        ("9007199254740993b", 9007199254740993),
        (1.0, 1),
    ],
)
def test_sizes(written: str | int | float, size: int) -> None:
    assert units.parse_size(written) == size


NO_SIZES: tuple[object, ...] = (
    *("", "m", "-1", "1x", "1 2m", "1mm", "1..5m", ".", "1e3", "0x10", "٣m", "inf", "9e", "8192p", "1" * 5000),
    *(-1, float("nan"), 1 << 63, True, None, [1]),
)


@pytest.mark.parametrize("written", NO_SIZES)
def test_what_is_no_size(written: object) -> None:
    with pytest.raises(InvalidOption):
        units.parse_size(written)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536, "1.5 KiB"), (64 * MIB, "64 MiB"), (1 << 60, "1024 PiB")],
)
def test_sizes_as_text(size: int, text: str) -> None:
    assert units.format_size(size) == text


@given(st.integers(0, 1 << 62))
def test_text_of_a_size_is_near_it(size: int) -> None:
    assert abs(units.parse_size(units.format_size(size)) - size) <= max(size * 0.05, 1)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (90, 90.0),
        (1.5, 1.5),
        ("90", 90.0),
        ("1.5", 1.5),
        ("90s", 90.0),
        ("1m30s", 90.0),
        ("1h", 3600.0),
        ("1d", 86400.0),
        ("250ms", 0.25),
        ("10us", 1e-5),
        ("10µs", 1e-5),
        ("1.5h", 5400.0),
    ],
)
def test_durations(written: str | int | float, seconds: float) -> None:
    assert units.parse_duration(written) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "written", ["", "s", "1x", "-1", -1, "1m30", "m30s", "1 m", "1..s", float("inf"), float("nan"), True, None]
)
def test_what_is_no_duration(written: object) -> None:
    with pytest.raises(InvalidOption):
        units.parse_duration(written)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.00085, "850 µs"),
        (0.00000321, "3.2 µs"),
        (0.0123, "12.30 ms"),
        (1.24, "1.24 s"),
        (119.0, "119.00 s"),
        (200.0, "3m20s"),
        (3725.0, "1h02m05s"),
    ],
)
def test_durations_as_text(seconds: float, text: str) -> None:
    assert units.format_duration(seconds) == text


@given(st.text(max_size=20))
def test_any_text_is_a_value_or_a_sentence(text: str) -> None:
    for parse in (units.parse_size, units.parse_duration):
        try:
            assert parse(text) >= 0
        except InvalidOption:
            continue
