"""What is read of a running container: the same value from the files of either version."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from kernelbox.linux.cgroups import Counter, Group, parse
from kernelbox.linux.cgroups.live import DiskUsage, LiveUsage, parse_now, processes, read_now

V2 = {
    "v2/cpu.stat": b"usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\nnr_periods 40\nnr_throttled 3\n"
    b"throttled_usec 1000\n",
    "v2/memory.current": b"1048576\n",
    "v2/memory.max": b"67108864\n",
    "v2/memory.stat": b"anon 4096\ninactive_file 8192\n",
    "v2/pids.current": b"3\n",
    "v2/pids.max": b"50\n",
    "v2/io.stat": b"254:0 rbytes=10 wbytes=20 rios=1 wios=1 dbytes=0 dios=0\n8:0 \n",
}
V1 = {
    "v1/cpuacct.usage": b"2500000000\n",
    "v1/cpuacct.usage_user": b"2000000000\n",
    "v1/cpuacct.usage_sys": b"500000000\n",
    "v1/cpu.stat": b"nr_periods 40\nnr_throttled 3\nthrottled_time 1000000\n",
    "v1/memory.usage_in_bytes": b"1048576\n",
    "v1/memory.limit_in_bytes": b"67108864\n",
    "v1/memory.stat": b"rss 4096\ninactive_file 1\ntotal_rss 4096\ntotal_inactive_file 8192\n",
    "v1/pids.current": b"3\n",
    "v1/pids.max": b"50\n",
    "v1/blkio.throttle.io_service_bytes_recursive": b"254:0 Read 10\n254:0 Write 20\n254:0 Sync 30\n254:0 Total 30\n"
    b"8:0 Read 0\n8:0 Write 0\nTotal 30\n",
}


@pytest.mark.parametrize("files", [V1, V2])
def test_both_versions_say_the_same(files: dict[str, bytes]) -> None:
    usage = parse_now(files)
    assert {name: value for name, value in asdict(usage).items() if name != "memory_stat"} == {
        **asdict(parse(files)),
        "memory_bytes": 1 << 20,
        "memory_inactive_file_bytes": 8192,
        "memory_limit_bytes": 64 << 20,
        "pids": 3,
        "pids_limit": 50,
        "cpu_periods": 40,
        "cpu_throttled_periods": 3,
        "disks": (asdict(DiskUsage(8, 0, 0, 0)), asdict(DiskUsage(254, 0, 10, 20))),
    }
    assert usage.cpu_usage_seconds == 2.5
    assert usage.memory_stat["inactive_file"] in (1, 8192)


@pytest.mark.parametrize(
    "file",
    [("v1/memory.limit_in_bytes", b"9223372036854771712\n"), ("v2/memory.max", b"max\n"), ("v2/pids.max", b"max\n")],
)
def test_no_limit_is_none(file: tuple[str, bytes]) -> None:
    usage = parse_now(dict([file]))
    assert usage.memory_limit_bytes is None
    assert usage.pids_limit is None


def test_throttling_where_the_cpu_controller_is_one_of_v1() -> None:
    files = {"v2/cpu.stat": b"usage_usec 7\nuser_usec 4\nsystem_usec 3\n", "v1/cpu.stat": V1["v1/cpu.stat"]}
    assert parse_now(files).cpu_throttled_periods == 3
    assert parse_now(files).cpu_usage_seconds == 7e-06


def test_nothing_is_known_of_nothing() -> None:
    assert parse_now({}) == LiveUsage()


def test_nonsense_is_an_error() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        parse_now({"v2/memory.current": b"lots\n"})


def test_only_files_of_the_groups_controllers_are_read(tmp_path: Path) -> None:
    for name, content in V2.items():
        (tmp_path / name.removeprefix("v2/")).write_bytes(content)
    group = Group(tmp_path, "v2", ("pids",))
    usage = read_now([group], [Counter(0, "cpu.stat", "v2/cpu.stat"), Counter(0, "not.there", "v2/memory.peak")])
    assert usage == LiveUsage(2.5, 2.0, 0.5, 0.001, pids=3, pids_limit=50, cpu_periods=40, cpu_throttled_periods=3)


def test_processes_of_groups_below_too(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "cgroup.procs").write_text("20\n0\n")
    (tmp_path / "a/b/cgroup.procs").write_text("3\n20\n")
    assert processes([Group(tmp_path, "v2")]) == [3, 20]
    assert processes([]) == []
    assert processes([Group(tmp_path / "gone", "v2")]) == []
