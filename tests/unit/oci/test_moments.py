"""Points in time as documents write them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelbox.errors import InvalidContent
from kernelbox.oci import moments

FIRST, LAST = moments.nanoseconds("0001-01-01T00:00:00Z"), moments.nanoseconds("9999-12-31T23:59:59.999999999Z")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:00z", 0),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T16:30:00-07:30", 0),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("1969-12-31T23:59:59.9Z", -100_000_000),
        ("2024-02-29T12:00:00.123456789Z", 1_709_208_000_123_456_789),
        ("2024-02-29T12:00:00.1234567899Z", 1_709_208_000_123_456_789),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000_000_000),
    ],
)
def test_a_moment(text: str, moment: int) -> None:
    assert moments.nanoseconds(text) == moment


WRONG = [
    *("", "2024", "2024-02-30T00:00:00Z", "2023-02-29T00:00:00Z", "2024-01-01 00:00:00Z", "2024-01-01T00:00:00"),
    *(
        "2024-01-01T24:00:00Z",
        "2024-01-01T00:60:00Z",
        "2024-01-01T00:00:60Z",
        "0000-01-01T00:00:00Z",
        "2024-1-1T0:0:0Z",
    ),
    *("2024-01-01T00:00:00.Z", "2024-01-01T00:00:00+1:00", "2024-01-01T00:00:00+24:00", "2024-01-01T00:00:00+00:60"),
    *("٢٠٢٤-01-01T00:00:00Z", "2024-01-01T00:00:00Z\n", "+2024-01-01T00:00:00Z", "99999-01-01T00:00:00Z", "now"),
]


@pytest.mark.parametrize("text", WRONG)
def test_no_moment(text: str) -> None:
    with pytest.raises(InvalidContent, match="is no time"):
        moments.nanoseconds(text)


def test_errors_name_the_place() -> None:
    moments.check("", "created")
    with pytest.raises(InvalidContent, match=r"^created: 'now' is no time"):
        moments.check("now", "created")


@given(st.integers(FIRST, LAST))
@settings(deadline=None)
def test_written_and_read(moment: int) -> None:
    assert moments.nanoseconds(moments.written(moment)) == moment


@pytest.mark.parametrize("moment", [FIRST - 1, LAST + 1, 1 << 200])
def test_what_cannot_be_written(moment: int) -> None:
    with pytest.raises(InvalidContent, match="cannot be written"):
        moments.written(moment)
