"""The suite's kernel tests on a stock Debian kernel with pure cgroup v2, in a virtual machine."""

from __future__ import annotations

import sys

import busybox
import debian
import pytest
import virtual_machine

TIMEOUT = 900
"""Seconds for booting and for the tests inside; emulated, they take about ten times as long as outside."""

KERNEL_TESTS = (
    *("linux_cgroups.py", "limits.py", "run_usage.py"),
    *("run.py::test_streams_are_kept_apart", "run.py::test_exit_codes", "run.py::test_closing"),
)
"""Those whose subject is another with this kernel; the others would only take their time again."""


@pytest.mark.timeout(TIMEOUT + 30)
def test_kernel_tests_pass_on_cgroup_v2() -> None:
    paths = [f"tests/kernel/test_{name}" for name in KERNEL_TESTS]
    quiet = ["-q", "-m", "not outside", "-p", "no:cacheprovider", "--color=no", "--durations=8"]
    try:
        outcome = virtual_machine.run([sys.executable, "-m", "pytest", *quiet, *paths], timeout=TIMEOUT)
    except (debian.Unavailable, busybox.Missing) as reason:
        pytest.skip(f"no virtual machine: {reason}")
    print(f"Linux {outcome.kernel} under {outcome.accelerator}\n{outcome.transcript}")
    assert outcome.status == 0, "the tests in the virtual machine failed; their output is above"
