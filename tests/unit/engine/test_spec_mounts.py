"""Mounts: the kernel's file systems, the engine's own files, and what was asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kernelbox.engine.machine import Machine
from kernelbox.oci import runtime_spec
from kernelbox.oci.runtime_spec import Mount

Build = Callable[..., Any]
GIB = 1 << 30


def test_mounts_take_the_place_of_defaults(build: Build) -> None:
    own = (
        Mount("/etc/hosts", "bind", "/run/x/hosts", ("bind", "ro")),
        Mount("/etc/hostname", "bind", "/run/x/hostname"),
    )
    built = build(volumes=["/my/hosts:/etc/hosts"], tmpfs="/dev/shm:size=1m", own_mounts=own)
    hosts, shm = built.mount("/etc/hosts"), built.mount("/dev/shm")
    assert hosts is not None
    assert hosts.source == "/my/hosts"
    assert shm is not None
    assert "size=1048576" in shm.options
    targets = [each.destination for each in built.config.mounts]
    assert len(set(targets)) == len(targets)
    assert "/etc/hostname" in targets
    assert all(targets.index(parent) < place for place, parent in _below(targets))


def _below(targets: list[str]) -> list[tuple[int, str]]:
    pairs = [
        (targets.index(target), other) for target in targets for other in targets if target.startswith(other + "/")
    ]
    assert pairs
    return pairs


def test_namespaces_that_are_shared_need_the_machines_mounts(build: Build) -> None:
    built = build(network="host", pid="host", ipc="host", cgroupns="host")
    for target in ("/proc", "/sys", "/dev/shm", "/dev/mqueue", "/sys/fs/cgroup"):
        found = built.mount(target)
        assert found is not None
        assert (found.type, found.source) == ("bind", target)
    with_ids = build(network="host", pid="host", userns="host")
    assert [with_ids.mount(target) for target in ("/proc", "/sys")] == [
        Mount("/proc", "proc", "proc", ("nosuid", "noexec", "nodev")),
        Mount("/sys", "sysfs", "sysfs", ("nosuid", "noexec", "nodev", "ro")),
    ]
    assert with_ids.linux.sysctl == {}


def test_ipc_without_shared_memory_or_queues(build: Build) -> None:
    assert build(ipc="none").mount("/dev/shm") is None
    assert build(ipc="shareable").mount("/dev/shm") is not None
    without = Machine(cpus=1, memory=GIB, cpuset=frozenset({0}), mqueue=False, host_mqueue=False)
    assert build(machine=without).mount("/dev/mqueue") is None
    assert build(machine=without, ipc="host").mount("/dev/mqueue") is None


def test_devices_are_bound_where_no_node_can_be_made(build: Build) -> None:
    built = build(devices="/dev/fuse:/dev/f:rw")
    assert built.mount("/dev/f") == Mount("/dev/f", "bind", "/dev/fuse", ("bind", "rprivate", "nosuid", "noexec"))
    assert built.linux.devices == ()
    assert built.resources.devices[-1] == runtime_spec.DeviceRule(True, "c", 10, 229, "rw")
    made = build(devices="/dev/fuse:/dev/f:rwm", userns="host")
    assert made.linux.devices == (runtime_spec.Device("/dev/f", "c", 10, 229, 0o666, 0, 0),)
    assert made.mount("/dev/f") is None
