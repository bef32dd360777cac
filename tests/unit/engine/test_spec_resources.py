"""Limits, and those that the machine does not have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kernelbox.engine.machine import Machine
from kernelbox.errors import InvalidOption
from kernelbox.oci.runtime_spec import BlockIo, Cpu, DeviceRule, Memory, Pids, ThrottleDevice

Build = Callable[..., Any]
MIB, GIB = 1 << 20, 1 << 30


@pytest.mark.parametrize(
    ("given", "memory", "cpu"),
    [
        ({}, None, None),
        ({"memory": "64m"}, Memory(64 * MIB, swap=64 * MIB), None),
        ({"memory": "64m", "memory_swap": "1g"}, Memory(64 * MIB, swap=GIB), None),
        ({"memory": "64m", "memory_swap": -1}, Memory(64 * MIB, swap=-1), None),
        ({"memory_reservation": "64m"}, Memory(reservation=64 * MIB), None),
        ({"cpus": 0.5}, None, Cpu(quota=50_000, period=100_000)),
        ({"cpus": 4}, None, Cpu(quota=400_000, period=100_000)),
        ({"cpu_quota": 5000, "cpu_period": 10_000}, None, Cpu(quota=5000, period=10_000)),
        ({"cpuset_cpus": "1-3", "cpuset_mems": "0"}, None, Cpu(cpus="1-3", mems="0")),
        ({"profile": "lab"}, Memory(GIB, swap=GIB), Cpu(quota=200_000, period=100_000)),
        (
            {"profile": "lab", "memory": "2g", "cpus": 1},
            Memory(2 * GIB, swap=2 * GIB),
            Cpu(quota=100_000, period=100_000),
        ),
    ],
)
def test_limits(build: Build, given: dict[str, Any], memory: Memory | None, cpu: Cpu | None) -> None:
    found = build(**given).resources
    assert (found.memory, found.cpu) == (memory, cpu)


def test_a_profile_is_cut_to_the_machine(build: Build) -> None:
    small = Machine(cpus=1, memory=256 * MIB, cpuset=frozenset({0}))
    found = build(profile="grade", machine=small).resources
    assert (found.memory, found.cpu) == (Memory(256 * MIB, swap=256 * MIB), Cpu(quota=100_000, period=100_000))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"memory": "9g"}, "memory: 9 GiB is more than this machine has (8 GiB)"),
        ({"memory_reservation": "9g"}, "memory_reservation: 9 GiB is more than this machine has (8 GiB)"),
        ({"cpus": 4.5}, "cpus: 4.5 is more than this machine has (4)"),
        ({"cpuset_cpus": "2-5"}, "cpuset_cpus: this machine has no 4-5 (hint: its processors are 0-3)"),
        ({"cpuset_mems": "1"}, "cpuset_mems: this machine has no 1 (hint: its memory nodes are 0)"),
    ],
)
def test_what_this_machine_does_not_have(build: Build, given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        build(**given)
    assert str(caught.value).startswith(message)


def test_rates_and_weights(build: Build) -> None:
    found = build(blkio_weight=300, device_write_bps="/dev/sda:1mb", device_read_iops="/dev/sda:7").resources.block_io
    throttle = ThrottleDevice(8, 0, 1 << 20)
    assert found == BlockIo(
        weight=300, throttle_write_bps_device=(throttle,), throttle_read_iops_device=(ThrottleDevice(8, 0, 7),)
    )


@pytest.mark.parametrize(("given", "limit"), [({}, 2048), ({"pids_limit": -1}, -1), ({"pids_limit": 5}, 5)])
def test_processes(build: Build, given: dict[str, Any], limit: int) -> None:
    assert build(**given).resources.pids == Pids(limit)


def test_device_rules(build: Build) -> None:
    assert build(privileged=True).resources.devices == (DeviceRule(True, access="rwm"),)
    asked = build(device_cgroup_rules="c 10:200 rw").resources.devices
    assert (asked[0], asked[-1]) == (DeviceRule(False, access="rwm"), DeviceRule(True, "c", 10, 200, "rw"))
