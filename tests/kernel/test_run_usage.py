"""What a run says of its costs and of its launch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import machine
import pytest

from kernelbox import Engine, RunResult

pytestmark = [pytest.mark.kernel, pytest.mark.root]

MEGABYTE = 1 << 20
FIRST = ("MakeCgroup", "MakeFolder", "CloneTree", "MountOverlay", "NewNamespaces")
INSIDE = ("EnterRoot", "MakeDeviceNodes", "MaskPath", "ProtectPath", "SetCapabilities", "LoadSeccomp", "Exec")
AFTER = ("ReadCounter", "RemoveCgroup", "Sweep")


def test_even_the_shortest_run_has_its_costs(sh: Callable[..., RunResult]) -> None:
    for _ in range(5):
        usage = sh("").usage
        assert usage.cpu_usage_seconds is not None
        assert usage.cpu_usage_seconds > 0
        if "memory_peak_bytes" in machine.counted():
            assert usage.memory_peak_bytes is not None
            assert 4096 <= usage.memory_peak_bytes < 64 * MEGABYTE
        assert (usage.net_rx_bytes, usage.net_tx_bytes) == (0, 0)


def test_processor_time_is_that_of_all_processes(sh: Callable[..., RunResult]) -> None:
    """Of grandchildren that nobody waited for, too; and it is that of this run alone."""
    work = "i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done"
    much = sh(f"(sh -c '{work}; echo' &) | cat").usage
    little = sh("").usage
    assert much.cpu_user_seconds is not None
    assert much.cpu_system_seconds is not None
    assert much.cpu_usage_seconds is not None
    assert little.cpu_usage_seconds is not None
    assert much.cpu_usage_seconds > 2 * little.cpu_usage_seconds
    assert much.cpu_user_seconds + much.cpu_system_seconds == pytest.approx(much.cpu_usage_seconds, rel=0.2, abs=0.02)


def test_the_peak_of_memory(sh: Callable[..., RunResult]) -> None:
    if "memory_peak_bytes" not in machine.counted():
        pytest.skip("this kernel does not keep the peak of a group")
    little = sh("").usage.memory_peak_bytes
    much = sh("dd if=/dev/zero of=/dev/shm/file bs=1M count=40 2>/dev/null; rm /dev/shm/file").usage.memory_peak_bytes
    assert little is not None
    assert much is not None
    assert 40 * MEGABYTE <= much < 60 * MEGABYTE
    assert little < 20 * MEGABYTE


def test_the_most_processes_at_once(sh: Callable[..., RunResult]) -> None:
    """Seven wait for a line that the eighth writes when it has started all of them."""
    if "pids_peak" not in machine.counted():
        pytest.skip("this kernel does not keep the most processes of a group (pids.peak)")
    seven = "for i in 1 2 3 4 5 6 7; do"
    script = f"mkfifo /go; exec 3<> /go; {seven} read line <&3 & done; {seven} echo >&3; done; wait"
    assert sh(script).usage.pids_peak == 8


@pytest.mark.parametrize("way", ["/file oflag=direct", "/there/file conv=fsync"])
def test_bytes_written(sh: Callable[..., RunResult], tmp_path: Path, way: str) -> None:
    """Past the page cache, or to a folder of the machine: a container's own root is not worth a wait for the disk, so
    what is synced there is written later."""
    machine.need_disk(tmp_path)
    usage = sh(f"dd if=/dev/zero bs=1M count=8 of={way} 2>&1", volumes=[f"{tmp_path}:/there"]).usage
    assert usage.io_write_bytes is not None
    assert 8 * MEGABYTE <= usage.io_write_bytes < 40 * MEGABYTE


def test_the_wall_clock_is_the_programs(sh: Callable[..., RunResult]) -> None:
    """It runs within the time of the whole run, which the launch and the end are part of."""
    run = sh("sleep 0.1")
    assert run.usage.wall_seconds is not None
    assert 0 < run.usage.wall_seconds < run.duration


def test_the_costs_as_a_frame(sh: Callable[..., RunResult]) -> None:
    run = sh("echo")
    frame = run.metrics
    assert len(frame) == 1
    row = frame.iloc[0]
    for name, value in run.usage._asdict().items():
        column = f"{name}_total" if f"{name}_total" in frame.columns else name
        assert value is None or row[column] == pytest.approx(value)
    assert (row["image"], row["exit_code"], row["container_id"]) == (run.image, 0, run.container.id)


def test_the_trace(sh: Callable[..., RunResult]) -> None:
    trace = sh("").trace
    places = [row.where for row in trace]
    assert places == sorted(places, key=["outside", "inside", "after"].index)
    for where, names in (("outside", FIRST), ("inside", INSIDE), ("after", AFTER)):
        found = [row.step for row in trace if row.where == where]
        assert [name for name in names if name not in found] == []
    assert [row.number for row in trace] == sorted({row.number for row in trace})
    assert all(row.start_us >= 0 and row.duration_us >= 0 and row.what for row in trace)
    assert not [row for row in trace if row.errno and row.where == "inside"]
    exec_row = next(row for row in trace if row.step == "Exec")
    assert exec_row.syscall == "execve"
    assert exec_row.what.startswith("run ")


def test_explain(sh: Callable[..., RunResult]) -> None:
    run = sh("")
    frame = run.explain()
    assert {"step", "where", "what", "syscall", "start_us", "duration_us"} <= set(frame.columns)
    assert len(frame) == len(run.trace)
    inside = frame[frame["where"] == "inside"]
    assert inside["start_us"].is_monotonic_increasing
    bundle = frame._repr_mimebundle_()
    assert "text/plain" in bundle
    assert "MountOverlay" in json.dumps(bundle)


def test_the_limits_that_were_applied_are_told(box: Engine, busybox_image: str) -> None:
    run = box.run(busybox_image, ["true"], cpus=1, memory="64m", pids_limit=100)
    applied = run.limits.applied
    assert applied["memory"] == 64 * MEGABYTE
    assert applied["pids"] == 100
    assert (applied["cpu_quota"], applied["cpu_period"]) == (100_000, 100_000)
