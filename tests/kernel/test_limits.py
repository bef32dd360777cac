"""Limits that hold, and that the files of the control groups and the container itself can be seen to have."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import machine
import pytest
from waiting import wait_until

from kernelbox import Engine, RunResult
from kernelbox.errors import InvalidOption, KernelBoxError, OutOfMemory
from kernelbox.linux import cgroups

pytestmark = [pytest.mark.kernel, pytest.mark.root]

MEGABYTE = 1 << 20


def test_a_memory_hog_is_ended_at_its_limit(box: Engine, busybox_image: str) -> None:
    run = box.run(busybox_image, ["tail", "/dev/zero"], memory="24m")
    assert (run.exit_code, run.signal, run.oom_killed, run.timed_out) == (137, 9, True, False)
    if "memory_peak_bytes" in machine.counted():
        assert 16 * MEGABYTE < run.usage.memory_peak_bytes <= 24 * MEGABYTE
    with pytest.raises(OutOfMemory, match="tail was killed at the memory limit of 24 MiB"):
        run.check()


def test_a_child_at_the_limit_does_not_end_the_rest(sh: Callable[..., RunResult]) -> None:
    run = sh("tail /dev/zero; echo child $?; cat /proc/self/oom_score_adj", memory="24m")
    assert run.stdout == "child 137\n500\n"
    assert run.oom_killed
    assert run.check() is run


def test_memory_in_a_tmpfs_counts(box: Engine, busybox_image: str) -> None:
    fill = ["dd", "if=/dev/zero", "of=/tmp/file", "bs=1M", "count=40"]
    run = box.run(busybox_image, fill, memory="24m", tmpfs=["/tmp:size=100m"])
    assert (run.exit_code, run.oom_killed) == (137, True)


def test_the_least_memory(box: Engine, busybox_image: str) -> None:
    assert box.run(busybox_image, ["true"], memory="6m").exit_code == 0


@pytest.mark.parametrize(
    "bomb",
    [
        "f() { f | f & f; }; f",
        "while :; do (sleep infinity &) || break; done; wait",
        "i=0; while [ $i -lt 200 ]; do sleep infinity & i=$((i + 1)); done; wait",
    ],
    ids=["doubling", "daemons", "children"],
)
def test_a_fork_bomb(box: Engine, busybox_image: str, bomb: str) -> None:
    heard: list[bytes] = []
    job = box.start(
        busybox_image,
        ["sh", "-c", f"({bomb}); sleep infinity"],
        pids_limit=40,
        on_output=lambda _, chunk: heard.append(chunk),
    )
    try:
        wait_until(lambda: b"fork" in b"".join(heard), "there can be no more processes")
    finally:
        job.kill()
    run = job.wait(60)
    assert run.exit_code == 137
    assert run.usage.pids_peak == (40 if "pids_peak" in machine.counted() else None)


def test_without_a_word_there_is_a_limit_of_processes(box: Engine, busybox_image: str) -> None:
    run = box.run(busybox_image, ["true"])
    assert run.limits.applied["pids"] == 2048


def while_it_runs(box: Engine, image: str, look: Callable[[str], None], **options: Any) -> RunResult:
    """Calls `look` with the beginning of the id of a container that runs, which is then let go on to its end."""
    reading, writing = os.pipe()

    def see(_: int, chunk: bytes) -> None:
        try:
            look(chunk.decode().strip())
        finally:
            os.close(writing)

    with os.fdopen(reading, "rb") as given:
        return box.run(image, ["sh", "-c", "hostname; read line"], input=given, on_output=see, **options)


def group_files(container_id: str, controller: str) -> dict[str, str]:
    """The files of a running container's group of this controller."""
    mount = cgroups.detect().controllers[controller]
    (folder,) = [path for path in mount.path.rglob(f"{container_id}*") if path.is_dir()]
    return {path.name: readable(path) for path in folder.iterdir() if path.is_file()}


def readable(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:  # write-only, or of no use here
        return ""


# What is asked for, the controller, and what its files have then: in a v1 group, and in a v2 one.
FILES: list[tuple[dict[str, Any], str, dict[str, str], dict[str, str]]] = [
    ({"cpus": 0.5}, "cpu", {"cpu.cfs_quota_us": "50000", "cpu.cfs_period_us": "100000"}, {"cpu.max": "50000 100000"}),
    (
        {"cpu_quota": 20_000, "cpu_period": 50_000},
        "cpu",
        {"cpu.cfs_quota_us": "20000", "cpu.cfs_period_us": "50000"},
        {"cpu.max": "20000 50000"},
    ),
    ({"cpu_shares": 512}, "cpu", {"cpu.shares": "512"}, {}),
    ({"cpuset_cpus": "0"}, "cpuset", {"cpuset.cpus": "0"}, {"cpuset.cpus": "0"}),
    ({"cpuset_mems": "0"}, "cpuset", {"cpuset.mems": "0"}, {"cpuset.mems": "0"}),
    ({"memory": "64m"}, "memory", {"memory.limit_in_bytes": str(64 * MEGABYTE)}, {"memory.max": str(64 * MEGABYTE)}),
    (
        {"memory": "64m", "memory_swap": "96m", "memory_reservation": "32m"},
        "memory",
        {"memory.soft_limit_in_bytes": str(32 * MEGABYTE)},
        {"memory.low": str(32 * MEGABYTE), "memory.swap.max": str(32 * MEGABYTE)},
    ),
    ({"pids_limit": 77}, "pids", {"pids.max": "77"}, {"pids.max": "77"}),
    ({"pids_limit": -1}, "pids", {"pids.max": "max"}, {"pids.max": "max"}),
]


@pytest.mark.parametrize(("options", "controller", "v1", "v2"), FILES, ids=lambda each: str(each)[:40])
def test_what_the_groups_are_told(
    box: Engine, busybox_image: str, options: dict[str, Any], controller: str, v1: dict[str, str], v2: dict[str, str]
) -> None:
    mount = cgroups.detect().controllers.get(controller)
    if mount is None:
        pytest.skip(f"this machine has no {controller} controller")
    found: dict[str, str] = {}
    while_it_runs(box, busybox_image, lambda name: found.update(group_files(name, controller)), **options)
    expected = v1 if mount.version == "v1" else v2
    assert {name: found[name] for name in expected} == expected


def disk() -> tuple[str, str]:
    """The first real disk of the machine: its device file and its numbers."""
    for entry in sorted(Path("/sys/block").glob("*/device")):
        device = f"/dev/{entry.parent.name}"
        if Path(device).is_block_device():
            return device, (entry.parent / "dev").read_text().strip()
    pytest.skip("this machine has no disk")


@pytest.mark.parametrize(
    ("option", "v1", "v2"),
    [
        ("device_read_bps", "blkio.throttle.read_bps_device", "rbps=1048576"),
        ("device_write_bps", "blkio.throttle.write_bps_device", "wbps=1048576"),
        ("device_read_iops", "blkio.throttle.read_iops_device", "riops=1048576"),
        ("device_write_iops", "blkio.throttle.write_iops_device", "wiops=1048576"),
    ],
)
def test_rates_of_a_disk(box: Engine, busybox_image: str, option: str, v1: str, v2: str) -> None:
    path, numbers = disk()
    found: dict[str, str] = {}
    controllers = cgroups.detect().controllers
    controller = "blkio" if "blkio" in controllers else "io"
    if controller not in controllers:
        pytest.skip("this machine has no controller of disks")
    rate: dict[str, Any] = {option: {path: MEGABYTE}}
    run = while_it_runs(box, busybox_image, lambda name: found.update(group_files(name, controller)), **rate)
    if controllers[controller].version == "v1" and v1 not in found:
        assert any(option in note for note in run.limits.notes)
        return
    if controllers[controller].version == "v1":
        assert f"{numbers} 1048576" in found[v1].splitlines()
    else:
        assert found["io.max"].startswith(numbers)
        assert v2 in found["io.max"]


def test_what_cannot_be_enforced_is_said(box: Engine, busybox_image: str) -> None:
    run = box.run(busybox_image, ["true"], blkio_weight=300, memory="64m", memory_swap="128m")
    hierarchy = cgroups.detect()
    missing = hierarchy.unsupported(cgroups.Limits(blkio_weight=300, memory=64 * MEGABYTE, memory_swap=128 * MEGABYTE))
    assert set(missing) <= set(run.limits.notes)
    assert run.exit_code == 0


def seen(sh: Callable[..., RunResult], script: str, **options: Any) -> list[str]:
    return sh(script, **options).stdout.split()


def test_resource_limits(sh: Callable[..., RunResult]) -> None:
    asked = ["nofile=100:200", "cpu=10", "fsize=1000000", "stack=1048576:2097152", "core=0"]
    limits = {
        line[:26].strip(): line[26:].split() for line in sh("cat /proc/self/limits", ulimits=asked).stdout.splitlines()
    }
    assert limits["Max open files"][:2] == ["100", "200"]
    assert limits["Max cpu time"][:2] == ["10", "10"]
    assert limits["Max file size"][:2] == ["1000000", "1000000"]
    assert limits["Max stack size"][:2] == ["1048576", "2097152"]
    assert limits["Max core file size"][:2] == ["0", "0"]


def test_a_resource_limit_holds(box: Engine, busybox_image: str) -> None:
    run = box.run(busybox_image, ["dd", "if=/dev/zero", "of=/file", "bs=1k", "count=100"], ulimits={"fsize": 10_000})
    assert run.exit_code in (1, 128 + 25)
    spin = box.run(busybox_image, ["sh", "-c", "sh -c 'while :; do :; done'; echo $?"], ulimits={"cpu": 1}, timeout=60)
    assert spin.stdout.split() in (["137"], ["152"])


def test_a_limit_above_the_machines_is_lowered_and_said(box: Engine, busybox_image: str) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    run = box.run(busybox_image, ["sh", "-c", "ulimit -n; ulimit -Hn"], ulimits={"nofile": 1 << 30})
    soft_inside, hard_inside = run.stdout.split()
    assert soft_inside == hard_inside
    if int(hard_inside) < 1 << 30:
        assert any("nofile" in note for note in run.limits.notes), run.limits.notes
        assert int(hard_inside) >= min(hard, 1 << 20)


def test_the_size_of_shared_memory(sh: Callable[..., RunResult]) -> None:
    size = "df -k /dev/shm | tail -n 1 | awk '{print $2}'"
    assert seen(sh, size) == ["65536"]
    assert seen(sh, size, shm_size="8m") == ["8192"]
    full = "dd if=/dev/zero of=/dev/shm/file bs=1M count=9; ls -l /dev/shm/file | awk '{print $5}'"
    assert seen(sh, full, shm_size="8m") == [str(8 * MEGABYTE)]


@pytest.mark.parametrize(("asked", "score"), [(None, 500), (700, 700), (1000, 1000)])
def test_the_out_of_memory_score(sh: Callable[..., RunResult], asked: int | None, score: int) -> None:
    own = int(Path("/proc/self/oom_score_adj").read_text())
    script = "cat /proc/self/oom_score_adj; echo -1000 > /proc/self/oom_score_adj; cat /proc/self/oom_score_adj"
    assert seen(sh, script, oom_score_adj=asked) == [str(max(score, own))] * 2


def test_a_score_below_the_engines_is_refused(box: Engine, busybox_image: str) -> None:
    with pytest.raises(InvalidOption, match=r"oom_score_adj: -1000 would keep the container alive longer"):
        box.run(busybox_image, ["true"], oom_score_adj=-1000)


def test_only_its_processors(sh: Callable[..., RunResult]) -> None:
    if "cpuset" not in cgroups.detect().controllers:
        pytest.skip("this machine has no cpuset controller")
    allowed = "grep -E 'Cpus_allowed_list|Mems_allowed_list' /proc/self/status"
    last = str(max(os.sched_getaffinity(0)))
    assert seen(sh, allowed, cpuset_cpus=last, cpuset_mems="0") == [
        "Cpus_allowed_list:", last, "Mems_allowed_list:", "0",
    ]  # fmt: skip


@pytest.mark.parametrize("profile", ["lab", "grade"])
def test_profiles(box: Engine, busybox_image: str, profile: str) -> None:
    script = "touch /file; echo $?; echo > /tmp/x; echo $?; grep -E 'CapBnd|NoNewPrivs|^Seccomp:' /proc/self/status"
    run = box.run(busybox_image, ["sh", "-c", script], profile=profile)
    grade = profile == "grade"
    words = run.stdout.split()
    assert words[:2] == (["1", "0"] if grade else ["0", "0"])
    assert words[3] == ("0" * 16 if grade else words[3])
    assert words[5] == "1"
    assert words[7] == "2"
    assert run.limits.applied["pids"] == 256
    assert run.limits.applied["memory"] == min(1 << 30, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with pytest.raises(KernelBoxError, match=f"contradicts the profile '{profile}'"):
        box.run(busybox_image, ["true"], profile=profile, privileged=True)
