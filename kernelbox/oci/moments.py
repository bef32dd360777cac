"""Points in time as documents write them: RFC 3339, section 5.6, to the nanosecond.

>>> nanoseconds("1970-01-01T01:00:00.5+01:00"), written(1_500_000_000)
(500000000, '1970-01-01T00:00:01.5Z')
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

from kernelbox.errors import InvalidContent

__all__ = ["check", "nanoseconds", "written"]

_FORM = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,30}))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 1_000_000_000


def nanoseconds(text: str) -> int:
    """Since 1970, negative before. What is finer than that is cut off. Raises InvalidContent for what is no time."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise _wrong(text)
    *numbers, fraction, sign, hours, minutes = found.groups()
    try:
        year, month, day, hour, minute, second = map(int, numbers)
        ahead = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
        zone = timezone(-ahead if sign == "-" else ahead)
        since = datetime(year, month, day, hour, minute, second, tzinfo=zone) - _EPOCH
    except (ValueError, OverflowError):
        raise _wrong(text) from None
    if int(minutes or 0) > 59:
        raise _wrong(text)
    return (since.days * 86400 + since.seconds) * _SECOND + int((fraction or "0")[:9].ljust(9, "0"))


def written(moment: int) -> str:
    """`moment`, in nanoseconds since 1970, in UTC and as short as it gets. Raises InvalidContent beyond year 9999."""
    seconds, rest = divmod(moment, _SECOND)
    try:
        whole = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    except OverflowError:
        raise InvalidContent(f"{moment} nanoseconds after 1970 is a time that cannot be written") from None
    fraction = f".{rest:09}".rstrip("0") if rest else ""
    return f"{whole.rjust(19, '0')}{fraction}Z"


def check(text: str, where: str) -> None:
    """Raises InvalidContent, which names the place, for what is neither empty nor a time."""
    if not text:
        return
    try:
        nanoseconds(text)
    except InvalidContent as error:
        raise InvalidContent(f"{where}: {error.message}") from None


def _wrong(text: str) -> InvalidContent:
    return InvalidContent(f"{text[:60]!r} is no time", hint="as in 2024-02-29T12:00:00Z")
