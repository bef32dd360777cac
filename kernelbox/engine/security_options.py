"""`--security-opt` in all its spellings to one frozen value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kernelbox.engine.option_values import absolute_path, flag, near
from kernelbox.errors import InvalidOption, NotSupported
from kernelbox.oci import codec
from kernelbox.oci.value import frozen

KEYS = ("no-new-privileges", "seccomp", "unmask", "mask", "systempaths", "apparmor", "label")


@frozen
class Security:
    """What was asked of privileges, the system call filter and hidden paths.

    `seccomp` is "default", "unconfined", or a profile in Docker's JSON form; `unmask` of ("ALL",) shows everything."""

    no_new_privileges: bool = False
    seccomp: str | Mapping[str, object] = "default"
    unmask: tuple[str, ...] = ()
    mask: tuple[str, ...] = ()


DEFAULT = Security()


def parse(options: Iterable[str], notes: list[str]) -> Security:
    """The options in their order, later ones win; reads the file of `seccomp=FILE`. Appends sentences to `notes`."""
    found: dict[str, object] = {}
    for option in options:
        key, separator, value = _split(option)
        if key == "no-new-privileges":
            found["no_new_privileges"] = flag(value) if separator else True
        elif key == "seccomp":
            found["seccomp"] = _seccomp(value)
        elif key in ("unmask", "systempaths"):
            found["unmask"] = ("ALL",) if key == "systempaths" else _paths(value)
        elif key == "mask":
            found["mask"] = _paths(value)
        elif value in ("unconfined", "disable", "disabled"):
            notes.append(f"the security option {option!r} changes nothing: no {key} profile is applied")
        else:
            raise NotSupported(f"the security option {option!r} is not possible: {key} profiles are not applied")
    return Security(**found)  # type: ignore[arg-type]  # built just above


def _split(option: str) -> tuple[str, str, str]:
    # Docker once wrote key:value, and still takes it
    separator = "=" if "=" in option else ":"
    key, found, value = option.partition(separator)
    if key not in KEYS:
        raise InvalidOption(f"unknown security option {option!r}", hint=near(key, KEYS))
    if not value and key != "no-new-privileges":
        raise InvalidOption(f"the security option {option!r} has no value")
    if key == "systempaths" and value != "unconfined":
        raise InvalidOption(f"unknown security option {option!r}", hint="systempaths=unconfined")
    return key, found, value


def _paths(value: str) -> tuple[str, ...]:
    if value in ("ALL", "all"):
        return ("ALL",)
    return tuple(absolute_path(path) for path in value.split(":"))


def _seccomp(value: str) -> str | dict[str, object]:
    if value in ("default", "builtin"):
        return "default"
    if value == "unconfined":
        return value
    if value.lstrip().startswith("{"):
        return codec.load(value, "seccomp profile")
    try:
        with open(value, "rb") as file:
            return codec.load(file.read(codec.MAX_DOCUMENT_BYTES + 1), value)
    except OSError as error:
        raise InvalidOption(
            f"the seccomp profile {value!r} cannot be read: {(error.strerror or 'unknown').lower()}",
            hint="seccomp=FILE.json, or seccomp=unconfined for none",
        ) from None
