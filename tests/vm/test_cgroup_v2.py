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
    *("linux_cgroups.py", "linux_live.py", "limits.py", "run_usage.py"),
    *("run.py::test_streams_are_kept_apart", "run.py::test_exit_codes", "run.py::test_closing"),
    *("containers.py::test_pause", "containers.py::test_killing_what_is_paused"),
    *("containers.py::test_memory_runs_out", "containers.py::test_what_it_cost"),
    "containers_exec.py::test_its_limits_are_the_container_s",
    *("containers_restart.py::test_every_run_of_it_is_clean", "containers_restart.py::test_update_of_limits"),
    "doctor.py::test_layers_are_mapped_wherever_the_store_can_map_ids",
)
"""Those whose subject is another with this kernel; the others would only take their time again."""

FAULTS = (
    "kept_states.py::test_the_monitor_is_killed_while_one_waits",
    "kept_states.py::test_it_ends_without_its_monitor",
)
"""Containers that are adopted."""


@pytest.mark.timeout(TIMEOUT + 30)
def test_kernel_tests_pass_on_cgroup_v2() -> None:
    paths = [f"tests/kernel/test_{name}" for name in KERNEL_TESTS] + [f"tests/faults/test_{name}" for name in FAULTS]
    quiet = ["-q", "-m", "not outside", "-p", "no:cacheprovider", "--color=no", "--durations=8"]
    try:
        outcome = virtual_machine.run([sys.executable, "-m", "pytest", *quiet, *paths], timeout=TIMEOUT)
    except (debian.Unavailable, busybox.Missing) as reason:
        pytest.skip(f"no virtual machine: {reason}")
    print(f"Linux {outcome.kernel} under {outcome.accelerator}\n{outcome.transcript}")
    assert outcome.status == 0, "the tests in the virtual machine failed; their output is above"
