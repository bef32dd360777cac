"""Samples in Docker's words: the columns of its command line and the document of its API."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kernelbox.engine.stats import (
    Interface,
    Machine,
    Sample,
    binary_size,
    cpu_percent,
    decimal_size,
    document,
    interfaces_of,
    machine_now,
    memory_percent,
    row,
    sample_of,
)
from kernelbox.linux.cgroups.live import DiskUsage, LiveUsage
from kernelbox.store.container_record import ContainerRecord

MIB = 1 << 20
RECORD = ContainerRecord("c" * 64, "one", "host", 0.0)
MACHINE = Machine(100.0, 4, 1024 * MIB)
ETH0 = Interface("eth0", 5338, 36, 1, 2, 648, 8, 3, 4)
USAGE = LiveUsage(
    cpu_usage_seconds=2.0,
    cpu_user_seconds=1.5,
    cpu_system_seconds=0.5,
    cpu_throttled_seconds=0.25,
    memory_peak_bytes=48 * MIB,
    io_read_bytes=788_000,
    io_write_bytes=0,
    memory_bytes=40 * MIB,
    memory_inactive_file_bytes=8 * MIB,
    memory_limit_bytes=64 * MIB,
    memory_stat={"inactive_file": 8 * MIB},
    pids=3,
    pids_limit=50,
    cpu_periods=40,
    cpu_throttled_periods=3,
    disks=(DiskUsage(254, 0, 788_000, 0),),
)
BEFORE = sample_of(
    replace(USAGE, cpu_usage_seconds=1.5), Machine(96.0, 4, 1024 * MIB), [ETH0], 1_737_035_741_160_452_595
)
AFTER = sample_of(USAGE, MACHINE, [ETH0, replace(ETH0, name="eth1")], 1_737_035_742_165_243_637)


def test_a_sample_of_what_was_read() -> None:
    assert AFTER.memory_bytes == 32 * MIB
    assert (AFTER.net_rx_bytes, AFTER.net_tx_bytes) == (2 * 5338, 2 * 648)
    assert AFTER.memory_limit_bytes == 64 * MIB
    unlimited = sample_of(replace(USAGE, memory_limit_bytes=None), MACHINE, [], 0)
    assert unlimited.memory_limit_bytes == 1024 * MIB
    assert unlimited.net_rx_bytes is None
    assert sample_of(replace(USAGE, memory_limit_bytes=1 << 50), MACHINE, [], 0).memory_limit_bytes == 1024 * MIB


def test_columns() -> None:
    assert row(AFTER, BEFORE) == {
        "CPUPerc": "50.00%",
        "MemUsage": "32MiB / 64MiB",
        "MemPerc": "50.00%",
        "NetIO": "10.7kB / 1.3kB",
        "BlockIO": "788kB / 0B",
        "PIDs": "3",
    }


def test_columns_of_what_is_not_known() -> None:
    assert row(AFTER, None)["CPUPerc"] == "--"
    assert row(Sample(0), Sample(0)) == {
        "CPUPerc": "--",
        "MemUsage": "--",
        "MemPerc": "--",
        "NetIO": "0B / 0B",
        "BlockIO": "--",
        "PIDs": "--",
    }
    assert set(row(None, None)) == set(row(AFTER, BEFORE))
    assert row(None, None)["MemUsage"] == "0B / 0B"


def test_a_share_is_never_negative_nor_of_nothing() -> None:
    assert cpu_percent(BEFORE, AFTER) == 0.0
    assert cpu_percent(AFTER, AFTER) == 0.0
    assert memory_percent(Sample(0, memory_bytes=1)) == 0.0


@pytest.mark.parametrize(
    ("size", "binary", "decimal"),
    [
        (0, "0B", "0B"),
        (999, "999B", "999B"),
        (1000, "1000B", "1kB"),
        (1024, "1KiB", "1.02kB"),
        (815_104, "796KiB", "815kB"),
        (999_600, "976.2KiB", "1MB"),
        (64 * MIB, "64MiB", "67.1MB"),
        (1_234_567_890, "1.15GiB", "1.23GB"),
        (1 << 62, "4EiB", "4.61EB"),
    ],
)
def test_sizes(size: int, binary: str, decimal: str) -> None:
    assert binary_size(size) == binary
    assert decimal_size(size) == decimal


def formulas(stats: dict[str, Any]) -> tuple[float, float]:
    """Shares of cpu and memory as the description of the API computes them from the document."""
    cpu, before, memory = stats["cpu_stats"], stats["precpu_stats"], stats["memory_stats"]
    used = cpu["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
    there = cpu["system_cpu_usage"] - before["system_cpu_usage"]
    used_memory = memory["usage"] - memory["stats"]["inactive_file"]
    return used / there * cpu["online_cpus"] * 100, used_memory / memory["limit"] * 100


def test_a_client_computes_the_same_shares() -> None:
    stats = json.loads(json.dumps(document(AFTER, BEFORE, RECORD)))
    assert formulas(stats) == pytest.approx((cpu_percent(AFTER, BEFORE), memory_percent(AFTER)))
    read, written = (
        sum(each["value"] for each in stats["blkio_stats"]["io_service_bytes_recursive"] if each["op"] == operation)
        for operation in ("read", "write")
    )
    assert (read, written) == (788_000, 0)
    assert sum(each["rx_bytes"] for each in stats["networks"].values()) == AFTER.net_rx_bytes


def test_the_document() -> None:
    stats: dict[str, Any] = document(AFTER, BEFORE, RECORD)
    assert (stats["id"], stats["name"], stats["os_type"]) == ("c" * 64, "/one", "linux")
    assert (stats["read"], stats["preread"]) == ("2025-01-16T13:55:42.165243637Z", "2025-01-16T13:55:41.160452595Z")
    assert stats["cpu_stats"] == {
        "cpu_usage": {
            "total_usage": 2_000_000_000,
            "usage_in_kernelmode": 500_000_000,
            "usage_in_usermode": 1_500_000_000,
        },
        "system_cpu_usage": 100_000_000_000,
        "online_cpus": 4,
        "throttling_data": {"periods": 40, "throttled_periods": 3, "throttled_time": 250_000_000},
    }
    assert stats["pids_stats"] == {"current": 3, "limit": 50}
    assert stats["memory_stats"] == {"usage": 40 * MIB, "limit": 64 * MIB, "stats": {"inactive_file": 8 * MIB}}
    assert stats["blkio_stats"]["io_serviced_recursive"] is None
    assert stats["networks"]["eth0"] == {
        "rx_bytes": 5338, "rx_packets": 36, "rx_errors": 1, "rx_dropped": 2,
        "tx_bytes": 648, "tx_packets": 8, "tx_errors": 3, "tx_dropped": 4,
    }  # fmt: skip


def test_the_peak_is_in_the_document_on_v1_only() -> None:
    stats: dict[str, Any] = document(replace(AFTER, memory_stat={"total_inactive_file": 8 * MIB}), None, RECORD)
    assert stats["memory_stats"]["max_usage"] == 48 * MIB


def test_the_document_of_a_first_sample_and_of_none() -> None:
    first: dict[str, Any] = document(replace(AFTER, interfaces=()), None, RECORD)
    assert first["preread"] == "0001-01-01T00:00:00Z"
    assert "networks" not in first
    assert "system_cpu_usage" not in first["precpu_stats"]
    assert first["precpu_stats"]["cpu_usage"]["total_usage"] == 0
    stopped: dict[str, Any] = document(None, None, RECORD)
    assert stopped["read"] == stopped["preread"] == "0001-01-01T00:00:00Z"
    assert (stopped["memory_stats"], stopped["pids_stats"]) == ({}, {})
    assert stopped["blkio_stats"]["io_service_bytes_recursive"] == []


def test_what_the_machine_did(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("cpu  10 20 30 40 50 60 70 1000 1000 1000\ncpu0 1\ncpu1 1\ncpufreq 1\nintr 5\n")
    (tmp_path / "meminfo").write_text("MemTotal:        2048 kB\nMemFree: 1 kB\n")
    assert machine_now(tmp_path) == Machine(280 / os.sysconf("SC_CLK_TCK"), 2, 2 * MIB)


def test_interfaces_but_for_the_loopback(tmp_path: Path) -> None:
    (tmp_path / "7/net").mkdir(parents=True)
    (tmp_path / "7/net/dev").write_text(
        "Inter-|   Receive\n face |bytes\n    lo: 9 9 0 0 0 0 0 0 9 9 0 0 0 0 0 0\n"
        "  eth0:5338 36 1 2 0 0 0 0 648 8 3 4 0 0 0 0\neth0:1: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n"
    )
    assert interfaces_of(7, tmp_path) == (ETH0, Interface("eth0:1", 1, 2, 3, 4, 5, 6, 7, 8))
    assert interfaces_of(8, tmp_path) == ()
