"""Real groups: limits that bite, counters that count, processes that end, directories that go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import machine
import pytest

from kernelbox.errors import KernelError, NotFound
from kernelbox.linux import cgroups
from kernelbox.linux.cgroups import Limits, create, detect
from kernelbox.linux.cgroups.v1 import V1

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="making control groups needs root here"),
]

NAME = f"kernelbox-test-{os.getpid()}"


FILES = (
    *("memory.max", "memory.swap.max", "cpu.max"),
    *("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "cpu.cfs_quota_us", "cpu.cfs_period_us"),
)


def python_in(group: cgroups.Cgroup, code: str) -> subprocess.Popen[bytes]:
    """A Python that reads a byte before it runs `code`, so that it is in the group by then."""
    program = [sys.executable, "-Ic", f"import os, sys\nsys.stdin.read(1)\n{code}"]
    process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    group.attach(process.pid)
    return process


def finish(process: subprocess.Popen[bytes]) -> bytes:
    return process.communicate(b"x", timeout=60)[0]


def test_usage_of_a_busy_process() -> None:
    with create(NAME) as group:
        finish(python_in(group, "x = bytearray(20 << 20); sum(range(2_000_000)); os.system('true')"))
        usage = group.usage()
    assert usage.cpu_usage_seconds is not None
    assert usage.cpu_usage_seconds > 0
    assert usage.memory_peak_bytes is not None or "memory_peak_bytes" not in machine.counted()
    assert usage.memory_peak_bytes is None or usage.memory_peak_bytes > 20 << 20
    assert usage.pids_peak is not None or "pids_peak" not in machine.counted()
    assert usage.pids_peak is None or usage.pids_peak >= 2
    assert usage.oom_kills == 0


def test_io_is_counted(tmp_path: Path) -> None:
    """By O_DIRECT: v1 counts what goes through the page cache for the top group, whoever wrote it."""
    code = f"""
import mmap
page = mmap.mmap(-1, 1 << 20)
file = os.open({str(tmp_path / "f")!r}, os.O_CREAT | os.O_WRONLY | os.O_DIRECT)
print(os.write(file, page))
"""
    machine.need_disk(tmp_path)
    with create(NAME) as group:
        assert finish(python_in(group, code)) == b"1048576\n"
        written = group.usage().io_write_bytes
    assert written is not None
    assert written >= 1 << 20


def test_pids_limit() -> None:
    code = """
children = []
try:
    while len(children) < 50:
        child = os.fork()
        if child == 0:
            os.read(0, 1)
            os._exit(0)
        children.append(child)
except OSError as error:
    print(len(children), error.errno, flush=True)
os.close(0)
for child in children:
    os.kill(child, 9)
    os.waitpid(child, 0)
"""
    with create(NAME, Limits(pids=6)) as group:
        assert finish(python_in(group, code)) == b"5 11\n"
        assert group.usage().pids_peak == (6 if "pids_peak" in machine.counted() else None)


def test_memory_limit_kills_and_says_so() -> None:
    with create(NAME, Limits(memory=32 << 20, memory_swap=32 << 20)) as group:
        process = python_in(group, "x = bytearray(64 << 20)\nfor i in range(0, len(x), 4096): x[i] = 1")
        finish(process)
        assert process.returncode == -signal.SIGKILL
        usage = group.usage()
    assert usage.oom_kills == 1
    if "memory_peak_bytes" in machine.counted():
        assert usage.memory_peak_bytes is not None
        assert 16 << 20 < usage.memory_peak_bytes <= 32 << 20


def test_cpu_quota_throttles() -> None:
    with create(NAME, Limits(cpus=0.1)) as group:
        finish(python_in(group, "import time\nwhile time.process_time() < 0.05: pass"))
        throttled = group.usage().cpu_throttled_seconds
    assert throttled is not None
    assert throttled > 0


def test_cpuset() -> None:
    with create(NAME, Limits(cpuset_cpus="0")) as group:
        assert finish(python_in(group, "print(sorted(os.sched_getaffinity(0)))")) == b"[0]\n"


def in_force(group: cgroups.Cgroup) -> dict[str, str]:
    """The limits as the kernel says them, by the names that they have in v2; swap by itself, as there."""
    read = {name: group.read(name).strip() for name in FILES if any((g.path / name).exists() for g in group.groups)}
    if "memory.max" in read:
        return read
    memory, both = int(read["memory.limit_in_bytes"]), int(read["memory.memsw.limit_in_bytes"])
    quota = read.get("cpu.cfs_quota_us", "-1")
    cpu = f"{'max' if quota == '-1' else quota} {read.get('cpu.cfs_period_us', '100000')}"
    return {"memory.max": str(memory), "memory.swap.max": str(both - memory), "cpu.max": cpu}


def test_limits_change_while_it_runs() -> None:
    with create(NAME) as group:
        process = subprocess.Popen(["sleep", "1000"])
        group.attach(process.pid)
        group.set(Limits(memory=64 << 20, memory_swap=64 << 20))
        assert in_force(group) == {"memory.max": f"{64 << 20}", "memory.swap.max": "0", "cpu.max": "max 100000"}
        group.set(Limits(memory=128 << 20, memory_swap=128 << 20, cpus=0.5))
        assert in_force(group) == {"memory.max": f"{128 << 20}", "memory.swap.max": "0", "cpu.max": "50000 100000"}
        group.set(Limits(memory=32 << 20, memory_swap=48 << 20))
        swap = f"{16 << 20}"
        assert in_force(group) == {"memory.max": f"{32 << 20}", "memory.swap.max": swap, "cpu.max": "50000 100000"}
        for inner in group.groups:
            assert str(process.pid) in (inner.path / "cgroup.procs").read_text().split()
    assert process.wait(60) == -signal.SIGKILL


def frozen(group: cgroups.Cgroup) -> bool:
    """What the kernel says, not what was asked for."""
    for inner in group.groups:
        if inner.version == "v2":
            return "frozen 1" in (inner.path / "cgroup.events").read_text().splitlines()
    return group.read("freezer.state") == "FROZEN\n"


def test_freeze_stops_and_thaw_goes_on() -> None:
    with create(NAME) as group:
        process = python_in(group, "print(sys.stdin.readline())")
        assert process.stdout is not None
        assert not frozen(group)
        group.freeze()
        assert frozen(group)
        assert process.stdin is not None
        process.stdin.write(b"xhello\n")
        process.stdin.close()
        assert frozen(group)
        group.thaw()
        assert not frozen(group)
        assert process.stdout.readline() == b"hello\n"
        process.wait(60)
        process.stdout.close()


TREE = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.fork()
os.fork()
print("up", flush=True)
signal.pause()
"""


def tree_in(group: cgroups.Cgroup) -> subprocess.Popen[bytes]:
    """Four processes that ignore SIGTERM, all in the group."""
    process = python_in(group, TREE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"x")
    process.stdin.close()
    for _ in range(4):
        process.stdout.readline()
    assert len(group.processes()) == 4
    return process


def reap(process: subprocess.Popen[bytes]) -> None:
    """Collect the tree's children too, which become ours."""
    assert process.wait(60) == -signal.SIGKILL
    assert process.stdout is not None
    process.stdout.close()
    with suppress(ChildProcessError):
        while os.waitpid(-1, 0):
            pass


@pytest.mark.parametrize("first_frozen", [False, True])
def test_kill_ends_a_tree_that_ignores_sigterm(first_frozen: bool) -> None:
    with create(NAME) as group:
        process = tree_in(group)
        if first_frozen:
            group.freeze()
            assert frozen(group)
        group.kill()
        assert group.processes() == ()
        reap(process)


def test_v1_alone_freezes_and_kills() -> None:
    """The same machine as if it had no v2 tree: the freezer and signals do the work."""
    found = detect()
    if found.version == "v2" or "freezer" not in found.controllers:
        pytest.skip("this machine has no v1 freezer")
    v1 = V1({name: mount for name, mount in found.controllers.items() if mount.version == "v1"})
    with create(NAME, Limits(pids=50), hierarchy=v1) as group:
        process = tree_in(group)
        group.freeze()
        assert group.read("freezer.state") == "FROZEN\n"
        group.thaw()
        assert group.usage().cpu_usage_seconds is not None
        group.freeze()
        group.kill()
        assert group.processes() == ()
        reap(process)


def test_a_group_below_a_folder() -> None:
    with create(f"{NAME}/inner", Limits(pids=6)) as group:
        assert group.read("pids.max") == "6\n"
        assert group.groups[0].path.parent.name == NAME


def test_remove_with_a_process_inside_is_refused() -> None:
    with create(NAME) as group:
        process = subprocess.Popen(["sleep", "1000"])
        group.attach(process.pid)
        with pytest.raises(KernelError, match=r"could not remove .* \(hint: kill"):
            group.remove()
    process.wait(60)


def test_a_file_that_no_tree_has() -> None:
    with create(NAME) as group, pytest.raises(NotFound, match=r"no file 'nice\.max'"):
        group.read("nice.max")


def test_device_lines_on_v1() -> None:
    found = detect()
    if "devices" not in found.controllers:
        pytest.skip("the v1 devices controller is not mounted")
    (group,) = (g for g in found.groups(NAME, Limits(), ("c 1:3 rwm",)) if "devices" in g.controllers)
    group.path.mkdir()
    try:
        for file, value in group.writes:
            (group.path / file).write_text(value)
        assert (group.path / "devices.list").read_text() == "c 1:3 rwm\n"
    finally:
        group.path.rmdir()


def test_an_ordinary_user_without_delegation_gets_sentences() -> None:
    code = """
import os
from kernelbox.linux.cgroups import Limits, detect
os.setgroups([]); os.setgid(65534); os.setuid(65534)
found = detect()
print(found.groups("x", Limits(pids=5)), len(found.unsupported(Limits(pids=5, memory=1 << 20))))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "() 2\n"
