"""--security-opt."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernelbox.engine.options import RunOptions
from kernelbox.engine.security_options import Security
from kernelbox.errors import InvalidOption


@pytest.mark.parametrize(
    ("given", "security"),
    [
        ("no-new-privileges", Security(no_new_privileges=True)),
        ("no-new-privileges:true", Security(no_new_privileges=True)),
        ("no-new-privileges=false", Security()),
        ("seccomp=unconfined", Security(seccomp="unconfined")),
        ("seccomp:unconfined", Security(seccomp="unconfined")),
        ("seccomp=default", Security()),
        ('seccomp={"defaultAction": "SCMP_ACT_ALLOW"}', Security(seccomp={"defaultAction": "SCMP_ACT_ALLOW"})),
        ("unmask=ALL", Security(unmask=("ALL",))),
        ("unmask=/proc/keys:/sys/firmware", Security(unmask=("/proc/keys", "/sys/firmware"))),
        ("mask=/proc/version", Security(mask=("/proc/version",))),
        ("systempaths=unconfined", Security(unmask=("ALL",))),
        (["no-new-privileges", "seccomp=unconfined"], Security(True, "unconfined")),
        (["seccomp=unconfined", "seccomp=default"], Security()),
    ],
)
def test_spellings(given: object, security: Security) -> None:
    assert RunOptions.make(security_opt=given).security == security


@pytest.mark.parametrize("given", ["apparmor=unconfined", "label=disable", "label:disable"])
def test_what_changes_nothing_is_said(given: str) -> None:
    options = RunOptions.make(security_opt=given)
    assert options.security == Security()
    assert len(options.notes) == 1
    assert given in options.notes[0]


def test_profile_file(tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    profile.write_text('{"defaultAction": "SCMP_ACT_ERRNO"}')
    assert RunOptions.make(security_opt=f"seccomp={profile}").security.seccomp == {"defaultAction": "SCMP_ACT_ERRNO"}
    profile.write_text("{")
    with pytest.raises(InvalidOption, match=r"security_opt: .*profile.json: not JSON"):
        RunOptions.make(security_opt=f"seccomp={profile}")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "no-new-privilege",
            "security_opt: unknown security option 'no-new-privilege' (hint: did you mean ",
        ),
        ("no-new-privileges=maybe", "security_opt: expected true or false, got 'maybe'"),
        ("seccomp", "security_opt: the security option 'seccomp' has no value"),
        ("seccomp=/does/not/exist.json", "security_opt: the seccomp profile '/does/not/exist.json' cannot be read"),
        ("unmask=proc", "security_opt: 'proc' is not an absolute path"),
        ("systempaths=confined", "security_opt: unknown security option 'systempaths=confined'"),
    ],
)
def test_what_cannot_be_meant(given: str, message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        RunOptions.make(security_opt=given)
    assert str(caught.value).startswith(message)
