"""Docker's profiles to OCI filters: conditions are decided, the rest is carried over."""

from __future__ import annotations

from typing import Any

import pytest

from kernelbox.engine import seccomp_profile
from kernelbox.engine.machine import Machine
from kernelbox.errors import InvalidOption

MACHINE = Machine(cpus=1, memory=1 << 30, cpuset=frozenset({0}), architecture="x86_64", kernel="6.1.0-18-amd64")


def names(rule: dict[str, Any], capabilities: tuple[str, ...] = ()) -> list[str]:
    """The calls allowed by a profile of one rule."""
    document = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["x"], "action": "SCMP_ACT_ALLOW", **rule}]}
    return [name for each in seccomp_profile.to_oci(document, capabilities, MACHINE).syscalls for name in each.names]


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ({}, True),
        ({"includes": {}, "excludes": {}}, True),
        ({"includes": {"caps": ["CAP_SYS_ADMIN"]}}, False),
        ({"includes": {"caps": ["CAP_CHOWN"]}}, True),
        ({"excludes": {"caps": ["CAP_CHOWN"]}}, False),
        ({"excludes": {"caps": ["CAP_SYS_ADMIN"]}}, True),
        ({"includes": {"arches": ["amd64", "x32"]}}, True),
        ({"includes": {"arches": ["arm64"]}}, False),
        ({"excludes": {"arches": ["amd64"]}}, False),
        ({"includes": {"minKernel": "4.8"}}, True),
        ({"includes": {"minKernel": "6.2"}}, False),
        ({"excludes": {"minKernel": "6.1"}}, False),
    ],
)
def test_conditions(rule: dict[str, Any], holds: bool) -> None:
    assert names(rule, ("CAP_CHOWN",)) == (["x"] if holds else [])


def test_everything_is_carried_over() -> None:
    document = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 38,
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
        "syscalls": [
            {"name": "old_style", "action": "SCMP_ACT_ALLOW", "comment": "said"},
            {
                "names": ["clone"],
                "action": "SCMP_ACT_ERRNO",
                "errnoRet": 1,
                "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}],
            },
        ],
    }
    found = seccomp_profile.to_oci(document, (), MACHINE)
    assert (found.default_errno_ret, found.architectures) == (38, ("SCMP_ARCH_X86_64",))
    old, clone = found.syscalls
    assert old.names == ("old_style",)
    assert (clone.errno_ret, clone.args[0].op, clone.args[0].value_two) == (1, "SCMP_CMP_MASKED_EQ", 0)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "security_opt: seccomp profile: defaultAction: missing"),
        ({"defaultAction": "ALLOW"}, "security_opt: seccomp profile: defaultAction: unknown word 'ALLOW'"),
        (
            {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": {}},
            "security_opt: seccomp profile: syscalls: expected a list",
        ),
        (
            {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["a"], "action": "no"}]},
            "security_opt: seccomp profile: syscalls[0].action: unknown word 'no'",
        ),
        (
            {
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{"names": ["a"], "action": "SCMP_ACT_ERRNO", "includes": {"minKernel": "new"}}],
            },
            "security_opt: seccomp profile: 'new' is not a kernel version",
        ),
        (
            {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": "mount", "action": "SCMP_ACT_ERRNO"}]},
            "security_opt: seccomp profile: syscalls[0].names: expected a list",
        ),
        (
            {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"action": "SCMP_ACT_ERRNO"}]},
            "security_opt: seccomp profile: a rule of syscalls needs either names or a name",
        ),
        (
            {
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{"names": ["mount"], "name": "bpf", "action": "SCMP_ACT_ERRNO"}],
            },
            "security_opt: seccomp profile: a rule of syscalls needs either names or a name",
        ),
    ],
)
def test_errors_name_the_place(document: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        seccomp_profile.to_oci(document, (), MACHINE)
    assert str(caught.value).startswith(message)
