"""Docker's seccomp profiles (the JSON of `--security-opt seccomp=FILE`) to the filter of `config.json`.

Docker's form has conditions (capabilities held, architecture, kernel) on its rules; the OCI form has none, so they are
decided here. Source: https://github.com/moby/profiles/tree/main/seccomp
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import field

from kernelbox.engine.machine import Machine
from kernelbox.errors import InvalidOption
from kernelbox.oci import codec
from kernelbox.oci.codec import Uint32
from kernelbox.oci.runtime_spec import Seccomp, SyscallArgument, SyscallRule
from kernelbox.oci.value import frozen

ARCHITECTURES = {"x86_64": ("amd64", "SCMP_ARCH_X86_64"), "aarch64": ("arm64", "SCMP_ARCH_AARCH64")}
"""Machine (uname) to Docker's word and libseccomp's."""


@frozen
class Condition:
    """When a rule holds (`includes`) or does not (`excludes`): all that is named must be so."""

    caps: tuple[str, ...] = ()
    arches: tuple[str, ...] = ()
    min_kernel: str = ""


@frozen
class Rule:
    """One entry of `syscalls`."""

    action: str
    names: tuple[str, ...] = ()
    name: str = ""
    errno_ret: Uint32 | None = None
    args: tuple[SyscallArgument, ...] = ()
    includes: Condition | None = None
    excludes: Condition | None = None


@frozen
class Profile:
    """The parts of a profile that decide; `archMap` and comments are left out."""

    default_action: str
    default_errno_ret: Uint32 | None = None
    flags: tuple[str, ...] = ()
    syscalls: tuple[Rule, ...] = field(default=())


def to_oci(document: Mapping[str, object], capabilities: Collection[str], machine: Machine) -> Seccomp:
    """The filter for a container that may hold `capabilities`. Raises InvalidOption naming the JSON path."""
    try:
        profile = codec.decode(Profile, dict(document), names={"SyscallArgument": SyscallArgument})
        word, architecture = ARCHITECTURES.get(machine.architecture, (machine.architecture, ""))
        rules = [_rule(rule) for rule in profile.syscalls if _holds(rule, capabilities, word, machine.kernel)]
        result: dict[str, object] = {
            "defaultAction": profile.default_action,
            "syscalls": rules,
            "flags": list(profile.flags),
        }
        if profile.default_errno_ret is not None:
            result["defaultErrnoRet"] = profile.default_errno_ret
        if architecture:
            result["architectures"] = [architecture]
        return codec.decode(Seccomp, result, names={"SyscallRule": SyscallRule, "SyscallArgument": SyscallArgument})
    except InvalidOption as error:
        raise InvalidOption(f"security_opt: seccomp profile: {error.message}", hint=error.hint) from None


def _rule(rule: Rule) -> dict[str, object]:
    if bool(rule.names) == bool(rule.name):
        raise InvalidOption("a rule of syscalls needs either names or a name")
    result: dict[str, object] = {"names": list(rule.names or (rule.name,)), "action": rule.action}
    if rule.errno_ret is not None:
        result["errnoRet"] = rule.errno_ret
    if rule.args:
        result["args"] = [codec.encode(argument) for argument in rule.args]
    return result


def _holds(rule: Rule, capabilities: Collection[str], architecture: str, kernel: str) -> bool:
    includes, excludes = rule.includes or Condition(), rule.excludes or Condition()
    if includes.arches and architecture not in includes.arches:
        return False
    if not all(each in capabilities for each in includes.caps):
        return False
    if includes.min_kernel and _version(kernel) < _version(includes.min_kernel):
        return False
    if architecture in excludes.arches or any(each in capabilities for each in excludes.caps):
        return False
    return not (excludes.min_kernel and _version(kernel) >= _version(excludes.min_kernel))


def _version(text: str) -> tuple[int, int]:
    numbers = [part for part in text.replace("-", ".").split(".")[:2] if part.isdecimal()]
    if len(numbers) < 2:
        raise InvalidOption(f"{text!r} is not a kernel version", hint="like 4.8")
    return int(numbers[0]), int(numbers[1])
