"""The filters of OCI runtime configurations: what is not meant clearly is refused, since a rule that is dropped is a
call that is not."""

from __future__ import annotations

from typing import Any

import pytest

from kernelbox.errors import InvalidOption
from kernelbox.linux.seccomp import Compare, Profile, Rule, from_oci

OCI: dict[str, Any] = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "architectures": ["SCMP_ARCH_X86_64"],
    "syscalls": [
        {"names": ["getcwd", "chdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 2},
        {
            "names": ["clone"],
            "action": "SCMP_ACT_KILL",
            "args": [{"index": 0, "value": 2114060288, "op": "SCMP_CMP_MASKED_EQ"}],
        },
    ],
}


def test_oci() -> None:
    assert from_oci(OCI) == Profile(
        "SCMP_ACT_ALLOW",
        (
            Rule(("getcwd", "chdir"), "SCMP_ACT_ERRNO", 2),
            Rule(("clone",), "SCMP_ACT_KILL", args=(Compare(0, 2114060288, "SCMP_CMP_MASKED_EQ", 0),)),
        ),
    )
    assert from_oci({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38}) == Profile("SCMP_ACT_ERRNO", (), 38)


def one_rule(**test: Any) -> dict[str, Any]:
    return {"syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [test]}]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"defaultAction": "SCMP_ACT_NOTIFY"}, "unsupported action 'SCMP_ACT_NOTIFY'"),
        ({"defaultAction": None}, "defaultAction must be a string"),
        ({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 5000}, "5000 is not an errno"),
        ({"defaultErrnoRet": "EPERM"}, "defaultErrnoRet must be a whole number"),
        ({"syscalls": {"names": []}}, "must be a list"),
        ({"syscalls": [{"action": "SCMP_ACT_ALLOW"}]}, "without a list of names"),
        ({"syscalls": [{"names": "read", "action": "SCMP_ACT_ERRNO"}]}, "without a list of names"),
        ({"syscalls": [{"name": "read", "action": "SCMP_ACT_ERRNO"}]}, "without a list of names"),
        ({"syscalls": [{"names": ["read", 1], "action": "SCMP_ACT_ERRNO"}]}, "without a list of names"),
        ({"syscalls": [{"names": ["read"]}]}, "action must be a string"),
        ({"syscalls": [{"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": True}]}, "errnoRet must be a whole"),
        ({"syscalls": [{"names": ["read"], "action": "SCMP_ACT_ERRNO", "args": {"index": 0}}]}, "args must be a list"),
        (one_rule(index=0), "value must be a whole"),
        (one_rule(index=6, value=0, op="SCMP_CMP_EQ"), "no argument number 6"),
        (one_rule(index=0, value=-1, op="SCMP_CMP_EQ"), "from 0 to 2"),
        (one_rule(index=0, value=1, op="EQ"), "unknown comparison 'EQ'"),
    ],
)
def test_profiles_that_cannot_be_meant(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidOption, match=words):
        from_oci({**OCI, **change})
