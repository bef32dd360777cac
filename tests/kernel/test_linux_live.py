"""What the control groups of a running container show, and its limits changed while it runs; on groups made here."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import machine
import pytest
from waiting import wait_until

from kernelbox.errors import Conflict, InvalidOption, NotSupported
from kernelbox.linux import cgroups
from kernelbox.linux.cgroups import Limits, create, detect
from kernelbox.linux.cgroups.change import remove, update
from kernelbox.linux.cgroups.freezer import freeze, frozen, thaw
from kernelbox.linux.cgroups.live import LiveUsage, processes, read_now
from kernelbox.linux.cgroups.v1 import V1

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="making control groups needs root here"),
]

NAME = f"kernelbox-test-{os.getpid()}"
MIB = 1 << 20


@pytest.fixture
def group() -> Iterator[cgroups.Cgroup]:
    with create(NAME) as made:
        yield made


class Program:
    """A Python in the group that runs a line at a time: when `run` returns the line has been run."""

    def __init__(self, group: cgroups.Cgroup) -> None:
        code = "import os, sys\nfor line in sys.stdin: exec(line); print(flush=True)"
        self.process = subprocess.Popen([sys.executable, "-Ic", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        group.attach(self.process.pid)

    def send(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()

    def answer(self) -> bytes:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def run(self, line: str) -> bytes:
        self.send(line)
        return self.answer()

    def end(self) -> None:
        self.process.communicate(timeout=60)


@pytest.fixture
def program(group: cgroups.Cgroup) -> Iterator[Program]:
    made = Program(group)
    yield made
    made.process.kill()
    made.end()


def now(group: cgroups.Cgroup) -> LiveUsage:
    return read_now(group.groups, group.hierarchy.counters(group.groups))


def in_tree(group: cgroups.Cgroup, *files: str) -> str:
    """What stands in the first of these files that the group has, in any tree."""
    for folder in {mount.path for mount in group.hierarchy.controllers.values()} | {group.hierarchy.unified}:
        for file in files:
            if folder is not None and (folder / NAME / file).exists():
                return (folder / NAME / file).read_text().strip()
    raise AssertionError(f"no tree has {files}")


def test_what_it_uses_now_follows_what_it_does(group: cgroups.Cgroup, program: Program) -> None:
    program.run("x = b'1' * (32 << 20)")
    full = now(group)
    assert full.memory_bytes is not None
    assert full.memory_inactive_file_bytes is not None
    assert full.memory_bytes > 32 * MIB
    assert full.memory_limit_bytes is None
    assert full.pids == 1
    program.run("del x")
    emptied = now(group)
    assert emptied.memory_bytes is not None
    assert emptied.memory_bytes < full.memory_bytes - 24 * MIB
    assert full.cpu_usage_seconds is not None
    assert emptied.cpu_usage_seconds is not None
    assert emptied.cpu_usage_seconds >= full.cpu_usage_seconds > 0
    assert "memory_peak_bytes" not in machine.counted() or (emptied.memory_peak_bytes or 0) > 32 * MIB


def test_processes_are_all_that_are_in_it(group: cgroups.Cgroup, program: Program) -> None:
    assert processes(group.groups) == [program.process.pid]
    child = int(program.run("import subprocess; child = subprocess.Popen(['sleep', '1000']); print(child.pid, end='')"))
    assert processes(group.groups) == sorted([program.process.pid, child])
    assert now(group).pids == 2
    program.run("child.kill(); child.wait()")
    assert processes(group.groups) == [program.process.pid]


def test_processes_in_groups_that_a_container_made_below_its_own(group: cgroups.Cgroup, program: Program) -> None:
    below = group.groups[0].path / "service"
    below.mkdir()
    try:
        (below / "cgroup.procs").write_text(str(program.process.pid))
        assert processes(group.groups) == [program.process.pid]
    finally:
        program.process.kill()
        program.process.wait()
        wait_until(lambda: not processes(group.groups))
        below.rmdir()


def test_disks_one_by_one(group: cgroups.Cgroup, program: Program, tmp_path: Path) -> None:
    machine.need_disk(tmp_path)
    device = tmp_path.stat().st_dev
    program.run("import mmap; page = mmap.mmap(-1, 1 << 20)")
    program.run(
        f"print(os.write(os.open({str(tmp_path / 'f')!r}, os.O_CREAT | os.O_WRONLY | os.O_DIRECT), page), end='')"
    )
    usage = now(group)
    assert usage.io_write_bytes == sum(disk.write_bytes for disk in usage.disks)
    assert usage.io_write_bytes >= MIB
    assert os.major(device) in {disk.major for disk in usage.disks if disk.write_bytes}


def only_v1() -> V1:
    found = detect()
    if found.version == "v2" or "freezer" not in found.controllers:
        pytest.skip("this machine has no v1 freezer")
    return V1({name: mount for name, mount in found.controllers.items() if mount.version == "v1"})


@pytest.mark.parametrize("hierarchy", [detect, only_v1])
def test_frozen_stands_still_until_thawed(hierarchy: Callable[[], V1]) -> None:
    with create(NAME, hierarchy=hierarchy()) as group:
        program = Program(group)
        program.run("pass")
        assert not frozen(group.groups)
        for _ in range(2):  # twice is once
            freeze(group.groups)
            assert frozen(group.groups)
        program.send("print('went on', end='')")
        usage = now(group).cpu_usage_seconds
        assert frozen(group.groups)
        assert now(group).cpu_usage_seconds == usage
        for _ in range(2):
            thaw(group.groups)
            assert not frozen(group.groups)
        assert program.answer() == b"went on\n"
        program.end()


def test_an_ended_container_is_told_from_one_that_cannot(group: cgroups.Cgroup) -> None:
    groups, counters = group.groups, group.hierarchy.counters(group.groups)
    group.remove()
    for call in (
        lambda: freeze(groups),
        lambda: thaw(groups),
        lambda: frozen(groups),
        lambda: read_now(groups, counters),
        lambda: update(group.hierarchy, groups, Limits(pids=5)),
    ):
        with pytest.raises(Conflict, match="its container has ended"):
            call()
    assert processes(groups) == []
    assert read_now((), ()) == LiveUsage()
    with pytest.raises(NotSupported, match="cannot be paused"):
        freeze(())
    with pytest.raises(NotSupported, match="no limits that could be changed"):
        update(group.hierarchy, (), Limits(pids=5))


def limit(group: cgroups.Cgroup) -> tuple[int | None, str]:
    """The limit of memory, and that of swap as this version says it."""
    return now(group).memory_limit_bytes, in_tree(group, "memory.swap.max", "memory.memsw.limit_in_bytes")


def swap_word(group: cgroups.Cgroup, memory: int, total: int) -> str:
    v1 = any("memory" in each.controllers and each.version == "v1" for each in group.groups)
    return str(total if v1 else total - memory)


@pytest.mark.parametrize("start", [(64, 64), (64, 128), (256, 512)])
@pytest.mark.parametrize("end", [(128, 128), (96, 96), (512, 600)])
def test_memory_and_swap_change_in_either_direction(
    group: cgroups.Cgroup, start: tuple[int, int], end: tuple[int, int]
) -> None:
    for memory, total in (start, end, start):
        update(group.hierarchy, group.groups, Limits(memory=memory * MIB, memory_swap=total * MIB))
        assert limit(group) == (memory * MIB, swap_word(group, memory * MIB, total * MIB))


def test_a_memory_limit_is_lifted(group: cgroups.Cgroup) -> None:
    for lifted in (Limits(memory=-1), Limits(memory=-1, memory_swap=-1)):
        update(group.hierarchy, group.groups, Limits(memory=64 * MIB, memory_swap=64 * MIB))
        update(group.hierarchy, group.groups, lifted)
        assert now(group).memory_limit_bytes is None


def test_less_memory_than_is_in_use_is_refused_and_nothing_has_changed(group: cgroups.Cgroup, program: Program) -> None:
    update(group.hierarchy, group.groups, Limits(memory=256 * MIB, memory_swap=256 * MIB, pids=50))
    program.run("x = b'1' * (64 << 20)")
    before = limit(group)
    with pytest.raises(Conflict, match=r"memory limit to 16 MiB: .* MiB are in use.*\(hint: end some"):
        update(group.hierarchy, group.groups, Limits(memory=16 * MIB, memory_swap=16 * MIB, pids=7))
    assert limit(group) == before
    assert now(group).pids_limit == 50
    program.run("del x")
    update(group.hierarchy, group.groups, Limits(memory=32 * MIB, memory_swap=32 * MIB, pids=7))
    assert now(group).pids_limit == 7
    assert program.run("print(1, end='')") == b"1\n"


def test_memory_above_the_limit_with_swap_says_what_to_change(group: cgroups.Cgroup) -> None:
    if not any(each.version == "v1" and "memory" in each.controllers for each in group.groups):
        pytest.skip("v2 limits swap by itself")
    update(group.hierarchy, group.groups, Limits(memory=64 * MIB, memory_swap=64 * MIB))
    with pytest.raises(InvalidOption, match=r"cannot become 128 MiB: .* is 64 MiB \(hint: change memory_swap"):
        update(group.hierarchy, group.groups, Limits(memory=128 * MIB))


def test_a_refused_limit_puts_back_those_before_it(group: cgroups.Cgroup) -> None:
    update(group.hierarchy, group.groups, Limits(memory=64 * MIB, memory_swap=64 * MIB, pids=50))
    with pytest.raises(InvalidOption, match="does not take '4000'"):
        update(group.hierarchy, group.groups, Limits(memory=96 * MIB, memory_swap=96 * MIB, pids=7, cpuset_cpus="4000"))
    assert limit(group) == (64 * MIB, swap_word(group, 64 * MIB, 64 * MIB))
    assert now(group).pids_limit == 50
    assert not frozen(group.groups)


def test_processes_are_limited_from_now_on(group: cgroups.Cgroup, program: Program) -> None:
    update(group.hierarchy, group.groups, Limits(pids=1))
    assert now(group).pids_limit == 1
    refused = "try: os.fork()\nexcept OSError as error: print(error.errno, end='')"
    assert program.run(f"exec({refused!r})") == b"11\n"
    update(group.hierarchy, group.groups, Limits(pids=-1))
    assert now(group).pids_limit is None


@pytest.fixture
def updated(group: cgroups.Cgroup) -> Iterator[Callable[[Limits], None]]:
    """Changes limits; what is made for that is removed when the processes have ended."""
    original = group.groups

    def change(limits: Limits) -> None:
        group.groups = update(group.hierarchy, group.groups, limits)

    yield change
    group.kill()
    wait_until(lambda: not any(processes([each]) for each in group.groups))
    remove(each for each in group.groups if each not in original)


def test_cpus_limited_where_they_were_not(
    group: cgroups.Cgroup, program: Program, updated: Callable[[Limits], None]
) -> None:
    """On v1 that takes directories in two more trees, with all processes in them, also those that only wait."""
    child = int(program.run("import subprocess; child = subprocess.Popen(['sleep', '1000']); print(child.pid, end='')"))
    updated(Limits(cpus=0.1, cpuset_cpus="0"))
    assert not frozen(group.groups)
    for each in group.groups:
        assert processes([each]) == sorted([program.process.pid, child])
    assert program.run("print(os.sched_getaffinity(0), end='')") == b"{0}\n"
    wait_until(lambda: program.run("sum(range(1_000_000))") and (now(group).cpu_throttled_periods or 0) > 0)
    assert (now(group).cpu_periods or 0) > 0
    assert (now(group).cpu_throttled_seconds or 0) > 0
    updated(Limits(cpu_shares=512))
    assert now(group).cpu_usage_seconds is not None
    updated(Limits(cpu_period=50_000))
    assert quota(group) == "10000 50000"
    updated(Limits(cpu_quota=20_000))
    assert quota(group) == "20000 50000"
    updated(Limits(cpu_quota=-1))
    assert quota(group) == "max 50000"
    program.run("child.kill(); child.wait()")


def quota(group: cgroups.Cgroup) -> str:
    try:
        return in_tree(group, "cpu.max")
    except AssertionError:
        number = in_tree(group, "cpu.cfs_quota_us")
        return f"{'max' if number == '-1' else number} {in_tree(group, 'cpu.cfs_period_us')}"


def test_one_half_of_a_cpuset_stays_when_the_other_changes(
    group: cgroups.Cgroup, program: Program, updated: Callable[[Limits], None]
) -> None:
    updated(Limits(cpuset_cpus="0"))
    updated(Limits(cpuset_mems="0"))
    assert in_tree(group, "cpuset.cpus") == "0"
    assert program.run("print(os.sched_getaffinity(0), end='')") == b"{0}\n"


def test_a_paused_container_stays_paused_while_its_limits_change(
    group: cgroups.Cgroup, program: Program, updated: Callable[[Limits], None]
) -> None:
    freeze(group.groups)
    updated(Limits(cpus=0.5, pids=9))
    assert frozen(group.groups)
    thaw(group.groups)
    assert program.run("print(2, end='')") == b"2\n"
