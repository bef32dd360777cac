"""What a filter should do, as values: profiles of rules, made here or read from an OCI runtime config.

The words are libseccomp's, as in the runtime config and in Docker's profiles (which `engine.seccomp_profile` turns into
that form: their rules have conditions): actions are "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO" ...,
comparisons "SCMP_CMP_EQ", "SCMP_CMP_MASKED_EQ" ...
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kernelbox.errors import InvalidOption
from kernelbox.native import lib

__all__ = ["ACTIONS", "OPERATIONS", "Compare", "Profile", "Rule", "from_oci"]

ACTIONS: dict[str, int] = {
    "SCMP_ACT_KILL": lib.SECCOMP_RET_KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": lib.SECCOMP_RET_KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": lib.SECCOMP_RET_KILL_PROCESS,
    "SCMP_ACT_TRAP": lib.SECCOMP_RET_TRAP,
    "SCMP_ACT_ERRNO": lib.SECCOMP_RET_ERRNO,
    "SCMP_ACT_TRACE": lib.SECCOMP_RET_TRACE,
    "SCMP_ACT_LOG": lib.SECCOMP_RET_LOG,
    "SCMP_ACT_ALLOW": lib.SECCOMP_RET_ALLOW,
}
"""What the kernel's filters return for each action; ERRNO and TRACE carry a number in the low 16 bits."""

OPERATIONS = (
    "SCMP_CMP_NE",
    "SCMP_CMP_LT",
    "SCMP_CMP_LE",
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
)

_WITH_NUMBER = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")


@dataclass(frozen=True, slots=True)
class Compare:
    """One test of argument number `index` (0 to 5). MASKED_EQ: argument & `value` equals `value_two`."""

    index: int
    value: int
    operation: str = "SCMP_CMP_EQ"
    value_two: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens to calls named `names` when all tests of `args` hold. `errno` None is EPERM for the ERRNO action."""

    names: tuple[str, ...]
    action: str = "SCMP_ACT_ALLOW"
    errno: int | None = None
    args: tuple[Compare, ...] = ()


@dataclass(frozen=True, slots=True)
class Profile:
    """Rules, and what happens to calls that none of them names or matches.

    For one call the rules with tests come first, in their order, then the first one without. Only the native
    architecture may call at all: a process that uses another one is killed."""

    default_action: str
    rules: tuple[Rule, ...]
    default_errno: int | None = None

    def __post_init__(self) -> None:
        verdict(self.default_action, self.default_errno)
        for rule in self.rules:
            verdict(rule.action, rule.errno)
            for test in rule.args:
                _check(test)


def verdict(action: str, number: int | None) -> int:
    """The value that a filter returns for an action. Raises InvalidOption for actions which it cannot carry out."""
    if action not in ACTIONS:
        raise InvalidOption(f"seccomp: unknown or unsupported action {action!r}")
    if action not in _WITH_NUMBER:
        return ACTIONS[action]
    if number is not None and not 0 <= number <= 4095:
        raise InvalidOption(f"seccomp: {number} is not an errno")
    return ACTIONS[action] | (errno.EPERM if number is None else number)


def _check(test: Compare) -> None:
    if test.operation not in OPERATIONS:
        raise InvalidOption(f"seccomp: unknown comparison {test.operation!r}")
    if not 0 <= test.index <= 5:
        raise InvalidOption(f"seccomp: a system call has no argument number {test.index}")
    if not all(0 <= value < 1 << 64 for value in (test.value, test.value_two)):
        raise InvalidOption("seccomp: arguments are compared with numbers from 0 to 2^64 - 1")


def from_oci(seccomp: Mapping[str, Any]) -> Profile:
    """The `linux.seccomp` object of an OCI runtime config (runtime-spec, config-linux.md). Raises InvalidOption."""
    rules = tuple(map(_rule, _objects(seccomp, "syscalls")))
    return Profile(_text(seccomp, "defaultAction"), rules, _errno(seccomp, "defaultErrnoRet"))


def _rule(entry: Mapping[str, Any]) -> Rule:
    names = entry.get("names")
    if not isinstance(names, (list, tuple)) or not names or not all(isinstance(name, str) for name in names):
        raise InvalidOption(f"seccomp: a rule without a list of names: {dict(entry)}")
    tests = tuple(
        Compare(_number(test, "index"), _number(test, "value"), _text(test, "op"), _number(test, "valueTwo", 0))
        for test in _objects(entry, "args")
    )
    return Rule(tuple(names), _text(entry, "action"), _errno(entry, "errnoRet"), tests)


def _objects(entry: Mapping[str, Any], key: str) -> Sequence[Mapping[str, Any]]:
    found = entry.get(key) or ()
    if not isinstance(found, (list, tuple)) or not all(isinstance(each, dict) for each in found):
        raise InvalidOption(f"seccomp: {key} must be a list of objects")
    return found


def _text(entry: Mapping[str, Any], key: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str):
        raise InvalidOption(f"seccomp: {key} must be a string, not {value!r}")
    return value


def _number(entry: Mapping[str, Any], key: str, default: int | None = None) -> int:
    value = entry.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidOption(f"seccomp: {key} must be a whole number, not {value!r}")
    return value


def _errno(entry: Mapping[str, Any], key: str) -> int | None:
    return None if entry.get(key) is None else _number(entry, key)
