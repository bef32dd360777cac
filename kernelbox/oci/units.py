"""Sizes and durations as people write them, both ways.

Sizes are those of Docker's command line: `b k m g t p`, binary (1k is 1,024 bytes), fractions allowed. Durations are
Go's (`1m30s`, `250ms`), and a bare number is seconds.
"""

from __future__ import annotations

from kernelbox.errors import InvalidOption

_SIZE_POWERS = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_NUMBER = frozenset("0123456789.")
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")

MAX_SIZE = (1 << 63) - 1
"""The greatest number of bytes that the kernel's interfaces take."""


def parse_size(value: str | int | float) -> int:
    """Bytes: `256`, "256m", "1.5g", "64 MiB". Raises InvalidOption; never negative."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InvalidOption(f"{value!r} is not a size", hint='write bytes as a number, or like "256m" or "1.5g"')
    size = value if isinstance(value, int) else _size_of_text(str(value))
    if not 0 <= size <= MAX_SIZE:
        raise InvalidOption(f"the size {value!r} is {'negative' if size < 0 else 'larger than any machine'}")
    return size


def _size_of_text(text: str) -> int:
    lowered = text.strip().lower()
    unit = lowered.lstrip("0123456789.")
    number = lowered[: len(lowered) - len(unit)]
    unit = unit.lstrip(" ")
    if (unit.endswith("ib") and len(unit) == 3) or (unit.endswith("b") and len(unit) == 2):
        unit = unit[0]
    power = _SIZE_POWERS.get(unit)
    if power is None or not _is_number(number) or len(number) > 30:
        raise InvalidOption(f"{text!r} is not a size", hint='write bytes as a number, or like "256m" or "1.5g"')
    whole, _, fraction = number.partition(".")
    scale = 1 << (10 * power)
    # in integers, so that "9007199254740993b" stays exact
    return int(whole or "0") * scale + (int(fraction) * scale // 10 ** len(fraction) if fraction else 0)


def _is_number(text: str) -> bool:
    return bool(text) and _NUMBER.issuperset(text) and text.count(".") <= 1 and text != "."


def format_size(size: int) -> str:
    """`67108864` is "64 MiB"; at most one decimal, and only where it says something."""
    amount = float(size)
    for unit in _UNITS:
        if abs(amount) < 1024 or unit == _UNITS[-1]:
            break
        amount /= 1024
    return f"{amount:.1f}".removesuffix(".0") + f" {unit}"


def parse_duration(value: str | int | float) -> float:
    """Seconds: `90`, 1.5, "90", "1m30s", "250ms". Raises InvalidOption; never negative, never infinite."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise InvalidOption(f"{value!r} is not a duration", hint='write seconds as a number, or like "1m30s"')
    seconds = float(value) if isinstance(value, int | float) else _seconds_of_text(value)
    if not 0 <= seconds <= 1e10:  # NaN fails this too
        raise InvalidOption(f"the duration {value!r} is not between 0 and 300 years")
    return seconds


def _seconds_of_text(text: str) -> float:
    rest = text.strip()
    if _is_number(rest):
        return float(rest)
    total = 0.0
    while rest:
        without = rest.lstrip("0123456789.")
        number = rest[: len(rest) - len(without)]
        length = next((i for i, letter in enumerate(without) if letter in _NUMBER), len(without))
        scale = _SECONDS.get(without[:length])
        if scale is None or not _is_number(number):
            break
        total += float(number) * scale
        rest = without[length:]
        if not rest:
            return total
    raise InvalidOption(f"{text!r} is not a duration", hint='write seconds as a number, or like "1m30s" or "250ms"')


def format_duration(seconds: float) -> str:
    """Seconds as people say them: "3.2 µs", "850 µs", "12.34 ms", "1.24 s", "3m20s"."""
    if seconds >= 120:
        minutes, rest = divmod(round(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        return (f"{hours}h{minutes:02}m" if hours else f"{minutes}m") + f"{rest:02}s"
    for scale, unit in ((1.0, "s"), (1e-3, "ms")):
        if seconds >= scale:
            return f"{seconds / scale:.2f} {unit}"
    return f"{seconds * 1e6:.{0 if seconds >= 1e-5 else 1}f} µs"
