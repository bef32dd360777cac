"""What a filter should do, as values: profiles of rules, read from Docker's JSON or an OCI runtime config.

The words are libseccomp's, because both formats use them: actions are "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO" ...,
comparisons "SCMP_CMP_EQ", "SCMP_CMP_MASKED_EQ" ...
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kernelbox.errors import InvalidOption
from kernelbox.linux import capabilities
from kernelbox.native import lib

__all__ = ["ACTIONS", "OPERATIONS", "Compare", "Profile", "Rule", "from_docker_json", "from_oci"]

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
# Go's names of architectures, which Docker's profiles use in "includes", by uname's.
_GO_ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "riscv64": "riscv64",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
}


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
    return Profile(_text(seccomp, "defaultAction"), tuple(map(_rule, _rules(seccomp))), seccomp.get("defaultErrnoRet"))


def from_docker_json(text: str | bytes, granted: Iterable[str] = capabilities.DEFAULT) -> Profile:
    """A profile as `docker run --security-opt seccomp=FILE` takes it; its "includes" and "excludes" are applied for the
    capabilities `granted`, this kernel and this architecture. Raises InvalidOption."""
    import json  # not at the top: most containers have the default profile

    try:
        document = json.loads(text)
    except ValueError as error:
        raise InvalidOption(f"the seccomp profile is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidOption("the seccomp profile is not a JSON object")
    mask = capabilities.parse(granted)
    rules = tuple(_rule(entry) for entry in _rules(document) if _applies(entry, mask))
    return Profile(_text(document, "defaultAction"), rules, document.get("defaultErrnoRet"))


def _rules(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    entries = document.get("syscalls") or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InvalidOption("seccomp: syscalls must be a list of objects")
    return entries


def _rule(entry: Mapping[str, Any]) -> Rule:
    names = entry.get("names") or [entry.get("name")]
    if not all(isinstance(name, str) for name in names):
        raise InvalidOption(f"seccomp: a rule without names: {dict(entry)}")
    tests = tuple(
        Compare(_number(test, "index"), _number(test, "value"), _text(test, "op"), _number(test, "valueTwo", 0))
        for test in entry.get("args") or ()
    )
    return Rule(tuple(names), _text(entry, "action"), entry.get("errnoRet"), tests)


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


def _applies(entry: Mapping[str, Any], mask: int) -> bool:
    includes, excludes = entry.get("includes") or {}, entry.get("excludes") or {}
    architecture = _GO_ARCHITECTURES.get(os.uname().machine, os.uname().machine)
    if includes.get("caps") and capabilities.parse(_known(includes["caps"])) & ~mask:
        return False
    if excludes.get("caps") and not capabilities.parse(_known(excludes["caps"])) & ~mask:
        return False
    if includes.get("arches") and architecture not in includes["arches"]:
        return False
    if architecture in (excludes.get("arches") or ()):
        return False
    wanted = re.match(r"(\d+)\.(\d+)", includes.get("minKernel") or "0.0")
    running = re.match(r"(\d+)\.(\d+)", os.uname().release)
    assert wanted is not None
    assert running is not None
    return tuple(map(int, running.groups())) >= tuple(map(int, wanted.groups()))


def _known(names: Iterable[str]) -> list[str]:
    return [name for name in names if name in capabilities.ALL]
