from __future__ import annotations

import json
import os
from typing import Any

import pytest

from kernelbox.errors import InvalidOption
from kernelbox.linux.seccomp import Compare, Profile, Rule, from_docker_json, from_oci

DOCKER: dict[str, Any] = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 1,
    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
    "syscalls": [
        {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
        {"names": ["future"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "99.0"}},
        {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
        {
            "names": ["clone"],
            "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": 2114060288, "op": "SCMP_CMP_MASKED_EQ"}],
            "excludes": {"caps": ["CAP_SYS_ADMIN"], "arches": ["s390", "s390x"]},
        },
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38, "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
        {"names": ["s390_pci_mmio_read"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["s390x"]}},
    ],
}


def names(profile: Profile) -> list[str]:
    return [name for rule in profile.rules for name in rule.names]


@pytest.mark.skipif(os.uname().machine not in ("x86_64", "aarch64"), reason="the example excludes other machines")
def test_docker_profile_without_and_with_sys_admin() -> None:
    plain = from_docker_json(json.dumps(DOCKER))
    assert names(plain) == ["read", "write", "ptrace", "clone", "clone3"]
    assert plain.rules[2] == Rule(("clone",), args=(Compare(0, 2114060288, "SCMP_CMP_MASKED_EQ", 0),))
    assert plain.rules[3] == Rule(("clone3",), "SCMP_ACT_ERRNO", 38)
    admin = from_docker_json(json.dumps(DOCKER).encode(), ["SYS_ADMIN"])
    assert names(admin) == ["read", "write", "ptrace", "mount"]


def test_oci() -> None:
    profile = from_oci(
        {
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [{"names": ["getcwd"], "action": "SCMP_ACT_ERRNO", "errnoRet": 2}],
        }
    )
    assert profile == Profile("SCMP_ACT_ALLOW", (Rule(("getcwd",), "SCMP_ACT_ERRNO", 2),))


def one_rule(**test: Any) -> dict[str, Any]:
    return {"syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [test]}]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"defaultAction": "SCMP_ACT_NOTIFY"}, "unsupported action 'SCMP_ACT_NOTIFY'"),
        ({"defaultAction": None}, "defaultAction must be a string"),
        ({"defaultErrnoRet": 5000}, "5000 is not an errno"),
        ({"syscalls": {"names": []}}, "must be a list"),
        ({"syscalls": [{"action": "SCMP_ACT_ALLOW"}]}, "without names"),
        ({"syscalls": [{"names": ["read"]}]}, "action must be a string"),
        (one_rule(index=0), "value must be a whole"),
        (one_rule(index=6, value=0, op="SCMP_CMP_EQ"), "no argument number 6"),
        (one_rule(index=0, value=-1, op="SCMP_CMP_EQ"), "from 0 to 2"),
        (one_rule(index=0, value=1, op="EQ"), "unknown comparison 'EQ'"),
    ],
)
def test_profiles_that_cannot_be_meant(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidOption, match=words):
        from_docker_json(json.dumps({**DOCKER, **change}))


@pytest.mark.parametrize("text", ["", "{", "[]", "nonsense"])
def test_not_a_profile(text: str) -> None:
    with pytest.raises(InvalidOption, match="is not"):
        from_docker_json(text)
