"""Points in time as people write them for `docker logs --since` and `--until`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

from kernelbox.errors import InvalidOption
from kernelbox.oci.units import parse_duration

__all__ = ["parse_time"]

_UNIX = re.compile(r"([0-9]{1,12})(?:\.([0-9]{0,20}))?")
_DURATION = re.compile(r"([+-]?)((?:(?:[0-9]{1,12}\.?[0-9]{0,20}|\.[0-9]{1,20})(?:ns|us|µs|μs|ms|s|m|h|d))+)")
_DATE = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ](?P<hour>[0-9]{1,2})(?::(?P<minute>[0-9]{2})"
    r"(?::(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]{1,20}))?)?)?)?"
    r"(?P<zone>[Zz]|[+-][0-9]{2}:[0-9]{2})?"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HINT = 'write a date like "2026-11-24T14:00:00Z", seconds since 1970, or how long ago, like "10m" or "1h30m"'


def parse_time(text: str, now: float) -> float:
    """Seconds since 1970: of a date ("2026-11-24", "2026-11-24T14:00:00.5+01:00"; without a zone it is local time), of
    Unix seconds ("1795528800.25"), or of how long before `now` ("10m", "1h30m"). Raises InvalidOption."""
    unix = _UNIX.fullmatch(text)
    if unix:
        return _with_fraction(int(unix[1]), unix[2] or "")
    ago = _DURATION.fullmatch(text)
    if ago:
        seconds = parse_duration(ago[2].replace("μ", "µ"))
        return now + seconds if ago[1] == "-" else now - seconds
    date = _DATE.fullmatch(text)
    if not date:
        raise InvalidOption(f"{text!r} is not a point in time", hint=_HINT)
    try:
        return _with_fraction(_seconds_of(date), date["fraction"] or "")
    except (ValueError, OverflowError) as error:
        raise InvalidOption(f"there is no such point in time: {text!r} ({error})", hint=_HINT) from None


def _with_fraction(seconds: int, fraction: str) -> float:
    # rounded once, so that the time printed before a line names this line
    return (seconds * 1_000_000_000 + int(fraction[:9].ljust(9, "0"))) / 1_000_000_000


def _seconds_of(date: re.Match[str]) -> int:
    hour, minute, second = (int(date[name] or 0) for name in ("hour", "minute", "second"))
    year, month, day = map(int, date["day"].split("-"))
    moment = datetime(year, month, day, hour, minute, second, tzinfo=_zone_of(date["zone"]))
    aware = moment if moment.tzinfo else moment.astimezone()
    return (aware - _EPOCH) // timedelta(seconds=1)


def _zone_of(text: str | None) -> timezone | None:
    if text is None:
        return None
    if text in "Zz":
        return UTC
    hours, minutes = int(text[1:3]), int(text[4:])
    if minutes > 59:
        raise ValueError("a zone has at most 59 minutes")
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if text[0] == "-" else offset)
