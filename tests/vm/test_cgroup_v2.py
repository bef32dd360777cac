"""The suite's kernel tests on a stock Debian kernel with pure cgroup v2, in a virtual machine."""

from __future__ import annotations

import sys

import busybox
import debian
import pytest
import virtual_machine

TIMEOUT = 280
"""Seconds for booting and for the tests inside; emulated, they take about ten times as long as outside."""

CHOICE = ["-m", "not outside", "tests/kernel", "tests/unit/linux/cgroups"]


@pytest.mark.timeout(TIMEOUT + 30)
def test_kernel_tests_pass_on_cgroup_v2() -> None:
    quiet = ["-q", "-p", "no:cacheprovider", "--color=no", "--durations=8", "--maxfail=5"]
    try:
        outcome = virtual_machine.run([sys.executable, "-m", "pytest", *quiet, *CHOICE], timeout=TIMEOUT)
    except (debian.Unavailable, busybox.Missing) as reason:
        pytest.skip(f"no virtual machine: {reason}")
    print(f"Linux {outcome.kernel} under {outcome.accelerator}\n{outcome.transcript}")
    assert outcome.status == 0, "the tests in the virtual machine failed; their output is above"
