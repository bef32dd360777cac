from __future__ import annotations

import pytest

from kernelbox.linux.cgroups import Usage, parse

V2 = {
    "v2/cpu.stat": b"usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\nnr_periods 3\nthrottled_usec 1000\n",
    "v2/memory.peak": b"1048576\n",
    "v2/memory.events": b"low 0\nhigh 0\nmax 4\noom 1\noom_kill 2\noom_group_kill 0\n",
    "v2/pids.peak": b"9\n",
    "v2/io.stat": b"254:0 rbytes=4096 wbytes=100 rios=1 wios=1 dbytes=0 dios=0\n8:0 rbytes=1 wbytes=0 rios=1 wios=0\n",
}
V1 = {
    "v1/cpuacct.usage": b"2500000000\n",
    "v1/cpuacct.usage_user": b"2000000000\n",
    "v1/cpuacct.usage_sys": b"500000000\n",
    "v1/cpu.stat": b"nr_periods 3\nnr_throttled 1\nthrottled_time 1000000\nnr_bursts 0\nburst_time 0\n",
    "v1/memory.max_usage_in_bytes": b"1048576\n",
    "v1/memory.oom_control": b"oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    "v1/pids.peak": b"9\n",
    "v1/blkio.throttle.io_service_bytes_recursive": b"254:0 Read 4096\n254:0 Write 100\n254:0 Sync 0\n"
    b"254:0 Async 4196\n254:0 Discard 0\n254:0 Total 4196\n8:0 Read 1\n8:0 Write 0\n8:0 Total 1\nTotal 4197\n",
}
SAME = Usage(2.5, 2.0, 0.5, 0.001, 1048576, 9, 4097, 100, 2)


@pytest.mark.parametrize("files", [V1, V2])
def test_both_versions_say_the_same(files: dict[str, bytes]) -> None:
    assert parse(files) == SAME


def test_hybrid_takes_cpu_time_from_v2_and_the_rest_from_v1() -> None:
    files = {key: text for key, text in V1.items() if "cpuacct" not in key}
    assert parse({**files, "v2/cpu.stat": b"usage_usec 7\nuser_usec 4\nsystem_usec 3\n"}) == Usage(
        7e-06, 4e-06, 3e-06, 0.001, 1048576, 9, 4097, 100, 2
    )


def test_an_older_kernel_leaves_holes() -> None:
    files = {key: text for key, text in V2.items() if not key.endswith("peak")}
    usage = parse(files)
    assert usage.memory_peak_bytes is None
    assert usage.pids_peak is None
    assert parse({}) == Usage()


def test_no_io_is_zero_not_unknown() -> None:
    assert parse({"v2/io.stat": b""}).io_read_bytes == 0
    assert parse({"v1/blkio.throttle.io_service_bytes_recursive": b"Total 0\n"}).io_write_bytes == 0


def test_nonsense_is_an_error() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        parse({"v2/memory.peak": b"lots\n"})
