"""The facts about the machine, from files laid out as the kernel lays them out."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernelbox.engine import machine


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/status").write_text("Name:\tpython3\nCpus_allowed_list:\t1-3\n")
    (tmp_path / "proc/self/oom_score_adj").write_text("300\n")
    (tmp_path / "proc/meminfo").write_text("MemTotal:       24684084 kB\nMemFree:        1 kB\n")
    (tmp_path / "proc/filesystems").write_text("nodev\tsysfs\nnodev\tmqueue\n\text4\n")
    (tmp_path / "sys/devices/system/cpu").mkdir(parents=True)
    (tmp_path / "sys/devices/system/node").mkdir(parents=True)
    (tmp_path / "dev/mqueue").mkdir(parents=True)
    return tmp_path


def read(tree: Path) -> machine.Machine:
    return machine.read(tree / "proc", tree / "sys", tree / "dev")


def test_reads_the_kernels_files(tree: Path) -> None:
    (tree / "sys/devices/system/cpu/online").write_text("0-1,4\n")
    (tree / "sys/devices/system/node/online").write_text("0-1\n")
    found = read(tree)
    assert (found.cpus, found.cpuset, found.mems) == (3, frozenset({0, 1, 4}), frozenset({0, 1}))
    assert (found.memory, found.oom_score_adj) == (24684084 * 1024, 300)
    assert (found.mqueue, found.host_mqueue) == (True, True)
    assert found.rlimits["RLIMIT_STACK"][0] == found.stack_limit >= 0


def test_without_sysfs_and_message_queues(tree: Path) -> None:
    (tree / "proc/filesystems").write_text("nodev\tsysfs\n")
    (tree / "dev/mqueue").rmdir()
    found = read(tree)
    assert (found.cpus, found.cpuset, found.mems) == (3, frozenset({1, 2, 3}), frozenset({0}))
    assert (found.mqueue, found.host_mqueue) == (False, False)


def test_this_machine() -> None:
    found = machine.this_machine()
    assert found is machine.this_machine()
    assert found.cpus == len(found.cpuset) > 0
    assert found.memory > 6 << 20


def test_counters_of_throttling(tree: Path) -> None:
    cpus = tree / "sys/devices/system/cpu"
    (cpus / "present").write_text("0-2\n")
    assert read(tree).throttle_counters == ()
    (cpus / "cpu0/thermal_throttle").mkdir(parents=True)
    names = [f"/sys/devices/system/cpu/cpu{number}/thermal_throttle" for number in range(3)]
    assert list(read(tree).throttle_counters) == names
