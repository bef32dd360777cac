"""How the values of run options are read: what docker-py and `docker run` accept becomes one plain form.

Each function takes what the user gave and returns the value, or raises InvalidOption with a sentence that does not name
the option: `RunOptions.make` puts the name in front.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping

from kernelbox.engine.option_table import CHOICES
from kernelbox.errors import InvalidOption, NotSupported
from kernelbox.oci import capability_names
from kernelbox.oci.kernel_text import unwritable
from kernelbox.oci.platform import Platform, of_machine
from kernelbox.oci.platform import parse as parse_platform
from kernelbox.oci.units import parse_duration

_NAME_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_HOST_LETTERS = _NAME_LETTERS - {"_"}
_CONTROL = frozenset(map(chr, range(32))) | {"\x7f"}
_TRUE = frozenset({"1", "t", "true", "yes", "on"})
_FALSE = frozenset({"0", "f", "false", "no", "off"})


def text(value: object) -> str:
    """A string or a path that the kernel can be given."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str):
        raise InvalidOption(f"expected text, got {value!r}")
    if fault := unwritable(value):
        raise InvalidOption(f"{value[:60]!r} contains {fault}")
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


def integer_between(low: int, high: int, *, zero_is_unset: bool = False) -> Callable[[object], int | None]:
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


def platform(value: object) -> Platform | None:
    """As Docker writes it; an empty one is none."""
    return parse_platform(line(value), of_machine(os.uname().machine).architecture) if value != "" else None


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


def annotation_pairs(value: object) -> dict[str, str]:
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


SHARED = ("network", "pid", "ipc", "uts")
"""Options that may name another container, whose namespace is joined: "container:NAME"."""


def choice(option: str) -> Callable[[object], str]:
    words = CHOICES[option]

    def read(value: object) -> str:
        word = text(value)
        if word in words:
            return word
        if word.startswith("container:") and option in SHARED and word != "container:":
            return word
        raise InvalidOption(f"{word!r} is not one of {', '.join(words)}", hint=near(word, words))

    return read


def network(value: object) -> str:
    word = texts(value)[0] if texts(value) else ""
    if word in CHOICES["network"] or (word.startswith("container:") and word != "container:"):
        return word
    raise NotSupported(f"the network {word!r} does not exist", hint='"none" has a loopback, "host" is the machine\'s')
