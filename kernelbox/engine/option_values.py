"""How the values of run options are read: what docker-py and `docker run` accept becomes one plain form.

Each function takes what the user gave and returns the value, or raises InvalidOption with a sentence that does not name
the option: `RunOptions.make` puts the name in front.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kernelbox.engine.option_table import CHOICES
from kernelbox.errors import InvalidOption, NotSupported
from kernelbox.oci import capability_names
from kernelbox.oci.runtime_spec import UNLIMITED, Rlimit
from kernelbox.oci.units import parse_duration, parse_size

MIB = 1 << 20
MIN_MEMORY = 6 * MIB
"""Docker's least memory limit: below it nothing starts."""

_NAME_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_HOST_LETTERS = _NAME_LETTERS - {"_"}
_CONTROL = frozenset(map(chr, range(32))) | {"\x7f"}
_TRUE = frozenset({"1", "t", "true", "yes", "on"})
_FALSE = frozenset({"0", "f", "false", "no", "off"})
RLIMITS = frozenset(
    "as core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split()
)


def text(value: object) -> str:
    """A string or a path, without NUL (which would end it early in the kernel)."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str):
        raise InvalidOption(f"expected text, got {value!r}")
    if "\0" in value:
        raise InvalidOption(f"{value[:60]!r} contains a NUL character")
    return value


def line(value: object) -> str:
    """Text without control characters, not empty."""
    result = text(value)
    if not result:
        raise InvalidOption("is empty")
    if not _CONTROL.isdisjoint(result):
        raise InvalidOption(f"{result[:60]!r} contains a control character")
    return result


def texts(value: object) -> tuple[str, ...]:
    """One text or several."""
    if isinstance(value, str | os.PathLike):
        return (text(value),)
    if not isinstance(value, Iterable) or isinstance(value, bytes | Mapping):
        raise InvalidOption(f"expected text or a list of texts, got {value!r}")
    return tuple(text(each) for each in value)


def flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise InvalidOption(f"expected true or false, got {value!r}")


def integer(value: object, low: int, high: int) -> int:
    if isinstance(value, str) and value.strip().removeprefix("-").isdecimal() and value.isascii() and len(value) < 30:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidOption(f"expected a whole number, got {value!r}")
    if not low <= value <= high:
        raise InvalidOption(f"{value} is not between {low} and {high}")
    return value


def _integer_between(low: int, high: int, *, zero_is_unset: bool = False) -> Callable[[object], int | None]:
    def read(value: object) -> int | None:
        if zero_is_unset and value in (0, "0"):
            return None
        return integer(value, low, high)

    return read


def name(value: object) -> str:
    result = line(value)
    if len(result) < 2 or len(result) > 128 or not result[0].isalnum() or not _NAME_LETTERS.issuperset(result):
        raise InvalidOption(f"{result[:60]!r} cannot be a container's name", hint="2 to 128 letters, digits, _ . or -")
    return result


def hostname(value: object) -> str:
    """sethostname(2) takes 64 bytes; letters as in host names (RFC 1123), which nothing downstream trips over."""
    result = line(value)
    if len(result) > 64 or not _HOST_LETTERS.issuperset(result) or result[0] in "-." or result[-1] == "-":
        raise InvalidOption(f"{result[:70]!r} cannot be a host name", hint="at most 64 letters, digits, - or .")
    return result


def absolute_path(value: object) -> str:
    """A path in the container: absolute, without `..`, written in the shortest way."""
    result = line(value)
    if not result.startswith("/"):
        raise InvalidOption(f"{result!r} is not an absolute path", hint=f"/{result}")
    parts = result.split("/")
    if ".." in parts:
        raise InvalidOption(f"{result!r} contains '..'", hint="write the path it leads to")
    return "/" + "/".join(part for part in parts if part not in ("", "."))


def pairs(value: object) -> dict[str, str]:
    """`{"a": "b"}`, `["a=b", "a"]` or `"a=b"`: a key without `=` has an empty value, as labels have it."""
    if isinstance(value, Mapping):
        items = [(text(key), "" if each is None else _scalar(each)) for key, each in value.items()]
    else:
        items = [(key, rest) for key, _, rest in (each.partition("=") for each in texts(value))]
    for key, _ in items:
        line(key)
    return dict(items)


def annotations(value: object) -> dict[str, str]:
    result = pairs(value)
    for key in result:
        if key.startswith("io.kernelbox."):
            raise InvalidOption(f"{key!r} is reserved", hint="names that begin with io.kernelbox. are the engine's own")
    return result


def _scalar(value: object) -> str:
    return str(value) if isinstance(value, int | float) else text(value)


def environment(value: object) -> tuple[str, ...]:
    """`{"A": 1}` or `["A=1"]` as ("A=1",)."""
    if isinstance(value, Mapping):
        return tuple(_variable(text(key), each) for key, each in value.items())
    entries = texts(value)
    for entry in entries:
        variable, equals, _ = entry.partition("=")
        if not equals:
            raise InvalidOption(
                f"{entry[:60]!r} has no '='", hint=f'write "{entry[:60]}=value", or {{"{entry[:60]}": value}}'
            )
        if not variable:
            raise InvalidOption(f"{entry[:60]!r} has no name before '='")
    return entries


def _variable(variable: str, value: object) -> str:
    if not variable or "=" in variable:
        raise InvalidOption(f"{variable[:60]!r} cannot be the name of a variable")
    if value is None:
        raise InvalidOption(f"{variable!r} has no value", hint=f"os.environ[{variable!r}] is the caller's")
    return f"{variable}={_scalar(value)}"


def entrypoint(value: object) -> tuple[str, ...]:
    """A list as it is; text is split like a shell does; empty means that the image's entry point is not used."""
    if isinstance(value, str):
        import shlex

        try:
            return tuple(shlex.split(text(value)))
        except ValueError as error:
            raise InvalidOption(f"{value!r}: {str(error).lower()}") from None
    return texts(value)


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
        several = [value] if isinstance(value, str | Mapping) else list(value)  # type: ignore[call-overload]
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


def capabilities(value: object) -> tuple[str, ...]:
    names = tuple(capability_names.full_name(each) for each in texts(value))
    for each in names:
        if each != "CAP_ALL" and each not in capability_names.ALL:
            raise InvalidOption(f"unknown capability {each!r}", hint=near(each, capability_names.ALL))
    return names


def near(word: str, words: Iterable[str]) -> str | None:
    """ "did you mean ...?" when something among `words` is close."""
    import difflib

    found = difflib.get_close_matches(word, list(words), n=1)
    return f"did you mean {found[0]!r}?" if found else None


def umask(value: object) -> int:
    """Octal text, or a number as Python writes one (0o022)."""
    if isinstance(value, str):
        digits = value.removeprefix("0o")
        if not digits or len(digits) > 4 or not frozenset("01234567").issuperset(digits):
            raise InvalidOption(f"{value!r} is not an octal mode", hint='like "0022"')
        value = int(digits, 8)
    return integer(value, 0, 0o777)


def stop_signal(value: object) -> int:
    """A signal's number, from 9, "9", "KILL", "SIGKILL" or "SIGRTMIN+3"."""
    import signal

    if isinstance(value, int) or (isinstance(value, str) and value.isdecimal()):
        return integer(value, 1, 64)
    word = "SIG" + line(value).upper().removeprefix("SIG")
    base, plus, offset = word.partition("+")
    known = signal.Signals.__members__
    if base not in known or (plus and (base != "SIGRTMIN" or not offset.isdecimal() or len(offset) > 2)):
        raise InvalidOption(f"unknown signal {value!r}", hint=near(word, known))
    return integer(known[base] + int(offset or 0), 1, 64)


def duration(value: object) -> float:
    seconds = parse_duration(value)  # type: ignore[arg-type]  # refuses other types itself
    if seconds == 0:
        raise InvalidOption("0 would end the run before it starts", hint="leave it out for no limit")
    return seconds


def _choice(option: str) -> Callable[[object], str]:
    words = CHOICES[option]

    def read(value: object) -> str:
        word = text(value)
        if word in words:
            return word
        if word.startswith("container:"):
            raise NotSupported(f"{option}={word!r}: joining another container is not possible yet")
        raise InvalidOption(f"{word!r} is not one of {', '.join(words)}", hint=near(word, words))

    return read


def network(value: object) -> str:
    word = texts(value)[0] if texts(value) else ""
    if word in CHOICES["network"]:
        return word
    raise NotSupported(f"the network {word!r} does not exist", hint='"none" has a loopback, "host" is the machine\'s')


PARSERS: dict[str, Callable[[object], Any]] = {
    "name": name,
    "profile": _choice("profile"),
    "timeout": duration,
    "stop_signal": stop_signal,
    "labels": pairs,
    "annotations": annotations,
    "interactive": flag,
    "tty": flag,
    "user": line,
    "group_add": texts,
    "workdir": absolute_path,
    "env": environment,
    "env_file": texts,
    "entrypoint": entrypoint,
    "umask": umask,
    "hostname": hostname,
    "domainname": hostname,
    "cpus": cpus,
    "cpu_shares": _integer_between(2, 262_144, zero_is_unset=True),
    "cpu_period": _integer_between(1_000, 1_000_000, zero_is_unset=True),
    "cpu_quota": _integer_between(1_000, 1 << 50, zero_is_unset=True),
    "cpuset_cpus": cpu_list,
    "cpuset_mems": cpu_list,
    "memory": memory,
    "memory_swap": memory_swap,
    "memory_reservation": memory,
    "pids_limit": pids_limit,
    "blkio_weight": _integer_between(10, 1000, zero_is_unset=True),
    "oom_score_adj": _integer_between(-1000, 1000),
    "ulimits": ulimits,
    "shm_size": size,
    "cap_add": capabilities,
    "cap_drop": capabilities,
    "privileged": flag,
    "security_opt": texts,
    "userns": _choice("userns"),
    "read_only": flag,
    "network": network,
    "pid": _choice("pid"),
    "ipc": _choice("ipc"),
    "uts": _choice("uts"),
    "cgroupns": _choice("cgroupns"),
}
"""Option name to reader; those of mounts, devices and sysctls join in `options`."""
