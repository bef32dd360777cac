"""How limits are read: sizes, processors and lists of them, ulimits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kernelbox.engine.option_values import integer, line, text
from kernelbox.errors import InvalidOption
from kernelbox.oci.runtime_spec import UNLIMITED, Rlimit
from kernelbox.oci.units import parse_size

MIN_MEMORY = 6 << 20
"""Docker's least memory limit: below it nothing starts."""

RLIMITS = frozenset(
    [
        "as",
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    ]
)


def size(value: object) -> int | None:
    """Bytes; 0 means no limit, as in Docker."""
    return parse_size(value) or None  # type: ignore[arg-type]  # refuses other types itself


def memory(value: object) -> int | None:
    result = size(value)
    if result is not None and result < MIN_MEMORY:
        raise InvalidOption(f"{value!r} is less than 6 MiB", hint='no program starts in less: try "16m"')
    return result


def memory_swap(value: object) -> int | None:
    return -1 if value in (-1, "-1") else size(value)


def cpus(value: object) -> float | None:
    try:
        result = float(value)  # type: ignore[arg-type]  # TypeError is caught
    except (TypeError, ValueError):
        raise InvalidOption(f"expected a number of processors, got {value!r}") from None
    if isinstance(value, bool) or not 0 <= result < 1e6:
        raise InvalidOption(f"{value!r} is not a number of processors", hint="1.5 is one and a half")
    if 0 < result < 0.01:
        raise InvalidOption(f"{value!r} is less than 0.01, the least that the scheduler can share out")
    return result or None


def pids_limit(value: object) -> int:
    """-1 is no limit; 0 too, as in Docker."""
    return integer(value, -1, 4_194_304) or -1


def cpu_list(value: object) -> str:
    """A list like "0-2,5" (cpuset(7)), in its shortest form; also a list of integers."""
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        value = ",".join(str(each) for each in value)
    return format_list(parse_list(line(str(value) if isinstance(value, int) else value)))


def parse_list(listed: str) -> frozenset[int]:
    """The numbers of a list like "0-2,5". Raises InvalidOption."""
    numbers: set[int] = set()
    for part in listed.strip().split(","):
        first, dash, last = part.strip().partition("-")
        ends = (first, last if dash else first)
        if not all(end.isascii() and end.isdecimal() and len(end) <= 4 for end in ends) or int(ends[0]) > int(ends[1]):
            raise InvalidOption(f"{listed[:60]!r} is not a list of numbers", hint='like "0-2,5"')
        numbers.update(range(int(ends[0]), int(ends[1]) + 1))
    return frozenset(numbers)


def format_list(numbers: Iterable[int]) -> str:
    """The shortest list like "0-2,5"."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)


def ulimits(value: object) -> tuple[Rlimit, ...]:
    """`["nofile=1024:2048"]`, `{"nofile": 1024}`, `{"nofile": (1024, 2048)}` or docker-py's Ulimit objects."""
    given: list[tuple[str, object]]
    if isinstance(value, Mapping) and "Name" not in value:
        given = [(text(key), each) for key, each in value.items()]
    else:
        several = [value] if isinstance(value, str | Mapping) else value
        if not isinstance(several, Iterable):
            raise InvalidOption(f"expected limits, got {value!r}")
        given = [_split_ulimit(each) for each in several]
    return tuple({limit.type: limit for limit in (_rlimit(*each) for each in given)}.values())


def _split_ulimit(value: object) -> tuple[str, object]:
    if isinstance(value, Mapping):
        return text(value.get("Name")), (value.get("Soft", -1), value.get("Hard", value.get("Soft", -1)))
    key, equals, limits = text(value).partition("=")
    if not equals:
        raise InvalidOption(f"{value!r} has no '='", hint="like nofile=1024:2048")
    return key, tuple(limits.split(":"))


def _rlimit(key: str, limits: object) -> Rlimit:
    word = key.strip().lower().removeprefix("rlimit_")
    if word not in RLIMITS:
        raise InvalidOption(f"unknown limit {key!r}", hint="one of " + ", ".join(sorted(RLIMITS)))
    if isinstance(limits, Mapping):
        limits = (limits.get("soft", -1), limits.get("hard", limits.get("soft", -1)))
    both = limits if isinstance(limits, tuple | list) else (limits,)
    if len(both) not in (1, 2):
        raise InvalidOption(f"{key}={limits!r} is not SOFT or SOFT:HARD")
    soft, hard = (_rlimit_number(each) for each in (both[0], both[-1]))
    if soft > hard:
        raise InvalidOption(f"{word}: the soft limit {soft} is above the hard limit {hard}")
    return Rlimit("RLIMIT_" + word.upper(), hard=hard, soft=soft)


def _rlimit_number(value: object) -> int:
    number = -1 if value == "unlimited" else integer(value, -1, UNLIMITED)
    return UNLIMITED if number == -1 else number
