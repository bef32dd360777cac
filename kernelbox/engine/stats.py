"""What a running container uses at one moment, in Docker's words: `docker stats` and `GET /containers/{id}/stats`.

A `Sample` is taken of its control groups, of its network and of the machine; shares are of what happened between two of
them. Docker's command line computes its columns from the API's document, and so must get from ours what `row` says.
"""

from __future__ import annotations

import datetime
import errno
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from kernelbox.errors import KernelError
from kernelbox.linux.cgroups.live import DiskUsage, LiveUsage, processes, read_now
from kernelbox.oci.value import frozen

if TYPE_CHECKING:
    from kernelbox.linux.cgroups import Counter, Group
    from kernelbox.store.container_record import ContainerRecord

__all__ = [
    "Interface",
    "Machine",
    "Sample",
    "binary_size",
    "cpu_percent",
    "decimal_size",
    "document",
    "interfaces_of",
    "machine_now",
    "memory_percent",
    "row",
    "sample_of",
    "take",
]

_NS = 1_000_000_000
_NEVER = "0001-01-01T00:00:00Z"
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_UNKNOWN = "--"
_NOT_RUNNING = {
    "CPUPerc": "0.00%",
    "MemUsage": "0B / 0B",
    "MemPerc": "0.00%",
    "NetIO": "0B / 0B",
    "BlockIO": "0B / 0B",
    "PIDs": "0",
}


@frozen
class Interface:
    """The counters of one network interface of a container."""

    name: str
    rx_bytes: int
    rx_packets: int
    rx_errors: int
    rx_dropped: int
    tx_bytes: int
    tx_packets: int
    tx_errors: int
    tx_dropped: int


@frozen
class Machine:
    """What the whole machine has and did: seconds of all its cpus since it started, idle ones too."""

    cpu_seconds: float
    online_cpus: int
    memory_bytes: int


@frozen
class Sample:
    """One moment of a running container. Counters are totals since it started; None where this machine cannot tell.

    `time_ns` is since 1970. `cpu_system_seconds` are the container's in the kernel, `machine_cpu_seconds` the
    machine's. `memory_bytes` is Docker's: all but the page cache that can go at once, which `memory_total_bytes` has
    too. `memory_limit_bytes` is the machine's memory where there is no lower limit. `interfaces` is empty for a
    container without a network of its own, and then nothing is known of `net_rx_bytes` and `net_tx_bytes`."""

    time_ns: int
    cpu_usage_seconds: float | None = None
    cpu_user_seconds: float | None = None
    cpu_system_seconds: float | None = None
    cpu_periods: int | None = None
    cpu_throttled_periods: int | None = None
    cpu_throttled_seconds: float | None = None
    machine_cpu_seconds: float = 0.0
    online_cpus: int = 0
    memory_bytes: int | None = None
    memory_total_bytes: int | None = None
    memory_peak_bytes: int | None = None
    memory_limit_bytes: int | None = None
    memory_stat: Mapping[str, int] = field(default_factory=dict)
    pids: int | None = None
    pids_limit: int | None = None
    io_read_bytes: int | None = None
    io_write_bytes: int | None = None
    disks: tuple[DiskUsage, ...] = ()
    net_rx_bytes: int | None = None
    net_tx_bytes: int | None = None
    interfaces: tuple[Interface, ...] = ()


def take(groups: Sequence[Group], counters: Sequence[Counter], pid: int = 0, proc: Path = Path("/proc")) -> Sample:
    """A sample of the container of these groups, now; `pid` is its first process, or 0 where it has no network of its
    own.

    Raises Conflict where the container has ended."""
    time_ns = time.time_ns()
    usage = read_now(groups, counters)
    interfaces = interfaces_of(pid, proc) if pid else ()
    if interfaces and groups and pid not in processes(groups):
        interfaces = ()  # it has ended meanwhile, and the number may be another's by now
    return sample_of(usage, machine_now(proc), interfaces, time_ns)


def sample_of(usage: LiveUsage, machine: Machine, interfaces: Sequence[Interface], time_ns: int) -> Sample:
    """From what has been read."""
    total, idle = usage.memory_bytes, usage.memory_inactive_file_bytes or 0
    return Sample(
        time_ns=time_ns,
        cpu_usage_seconds=usage.cpu_usage_seconds,
        cpu_user_seconds=usage.cpu_user_seconds,
        cpu_system_seconds=usage.cpu_system_seconds,
        cpu_periods=usage.cpu_periods,
        cpu_throttled_periods=usage.cpu_throttled_periods,
        cpu_throttled_seconds=usage.cpu_throttled_seconds,
        machine_cpu_seconds=machine.cpu_seconds,
        online_cpus=machine.online_cpus,
        memory_bytes=total - idle if total is not None and idle < total else total,
        memory_total_bytes=total,
        memory_peak_bytes=usage.memory_peak_bytes,
        memory_limit_bytes=min(usage.memory_limit_bytes or machine.memory_bytes, machine.memory_bytes),
        memory_stat=usage.memory_stat,
        pids=usage.pids,
        pids_limit=usage.pids_limit,
        io_read_bytes=usage.io_read_bytes,
        io_write_bytes=usage.io_write_bytes,
        disks=usage.disks,
        net_rx_bytes=sum(each.rx_bytes for each in interfaces) if interfaces else None,
        net_tx_bytes=sum(each.tx_bytes for each in interfaces) if interfaces else None,
        interfaces=tuple(interfaces),
    )


def machine_now(proc: Path = Path("/proc")) -> Machine:
    """What the machine has, and what its cpus did until now."""
    lines = (proc / "stat").read_text().splitlines()
    # user nice system idle iowait irq softirq, as Docker adds them; the rest is in these already, or is stolen.
    ticks = sum(map(int, lines[0].split()[1:8]))
    cpus = sum(line.startswith("cpu") and line[3].isdecimal() for line in lines)
    memory = next(line for line in (proc / "meminfo").read_text().splitlines() if line.startswith("MemTotal:"))
    return Machine(ticks / os.sysconf("SC_CLK_TCK"), cpus, int(memory.split()[1]) * 1024)


def interfaces_of(pid: int, proc: Path = Path("/proc")) -> tuple[Interface, ...]:
    """The network interfaces that a process sees, but for the loopback; none where it has ended."""
    try:
        lines = (proc / str(pid) / "net/dev").read_text(errors="replace").splitlines()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESRCH, errno.EINVAL):  # EINVAL: a zombie has no network
            return ()
        raise KernelError(error.errno or 0, "read the network counters of process", str(pid)) from error
    found = []
    for line in lines[2:]:
        name, _, numbers = line.strip().rpartition(":")
        if name != "lo":
            columns = list(map(int, numbers.split()))
            found.append(Interface(name, *columns[0:4], *columns[8:12]))
    return tuple(found)


def cpu_percent(sample: Sample, previous: Sample) -> float:
    """By Docker's formula: 100 is one cpu, all the time from `previous` to `sample`."""
    used = (sample.cpu_usage_seconds or 0.0) - (previous.cpu_usage_seconds or 0.0)
    there = sample.machine_cpu_seconds - previous.machine_cpu_seconds
    return used / there * sample.online_cpus * 100 if used > 0 and there > 0 else 0.0


def memory_percent(sample: Sample) -> float:
    """Of the limit, or of the machine's memory."""
    limit = sample.memory_limit_bytes or 0
    return (sample.memory_bytes or 0) / limit * 100 if limit else 0.0


def row(sample: Sample | None, previous: Sample | None) -> dict[str, str]:
    """The columns of `docker stats` beside the names: CPUPerc, MemUsage, MemPerc, NetIO, BlockIO, PIDs.

    "--" is what is not known (yet: a share of cpus needs two samples). Without a sample, a container that does not
    run."""
    if sample is None:
        return dict(_NOT_RUNNING)
    cpu = memory = usage = _UNKNOWN
    if previous is not None and sample.cpu_usage_seconds is not None:
        cpu = f"{cpu_percent(sample, previous):.2f}%"
    if sample.memory_bytes is not None:
        memory = f"{memory_percent(sample):.2f}%"
        usage = f"{binary_size(sample.memory_bytes)} / {binary_size(sample.memory_limit_bytes or 0)}"
    network = (sample.net_rx_bytes or 0, sample.net_tx_bytes or 0)  # Docker says 0 of a container without network
    return {
        "CPUPerc": cpu,
        "MemUsage": usage,
        "MemPerc": memory,
        "NetIO": _pair(*network),
        "BlockIO": _pair(sample.io_read_bytes, sample.io_write_bytes),
        "PIDs": _UNKNOWN if sample.pids is None else str(sample.pids),
    }


def document(sample: Sample | None, previous: Sample | None, record: ContainerRecord) -> dict[str, object]:
    """The body of `GET /containers/{id}/stats`, as JSON can hold it. Without a sample, a container that does not run.

    Docker's command line takes one character off the name, so it begins with "/"."""
    running: dict[str, object] = {}
    if sample is not None and sample.interfaces:
        running["networks"] = {each.name: _network(each) for each in sample.interfaces}
    return {
        "id": record.id,
        "name": f"/{record.name}",
        "os_type": "linux",
        "read": _time(sample),
        "preread": _time(previous),
        "cpu_stats": _cpu(sample),
        "precpu_stats": _cpu(previous),
        "memory_stats": {} if sample is None else _memory(sample),
        "pids_stats": {} if sample is None else _known(current=sample.pids, limit=sample.pids_limit),
        "blkio_stats": _disks(sample),
        "num_procs": 0,
        "storage_stats": {},
        **running,
    }


def decimal_size(size: float) -> str:
    """As Docker writes what was moved: 788000 is "788kB", three digits."""
    return _sized(size, 1000, 3, _DECIMAL)


def binary_size(size: float) -> str:
    """As Docker writes memory: 67108864 is "64MiB", four digits."""
    return _sized(size, 1024, 4, _BINARY)


def _sized(size: float, base: int, digits: int, units: Sequence[str]) -> str:
    amount, at = float(size), 0
    # what is rounded up to the next unit is said in that: "1MB", not "1e+03kB"
    while at < len(units) - 1 and (amount >= base or "e+" in f"{amount:.{digits}g}"):
        amount, at = amount / base, at + 1
    return f"{amount:.{digits}g}{units[at]}"


def _pair(first: int | None, second: int | None) -> str:
    if first is None or second is None:
        return _UNKNOWN
    return f"{decimal_size(first)} / {decimal_size(second)}"


def _time(sample: Sample | None) -> str:
    if sample is None:
        return _NEVER
    seconds, rest = divmod(sample.time_ns, _NS)
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%dT%H:%M:%S}.{rest:09}Z"


def _known(**values: int | None) -> dict[str, int]:
    return {name: value for name, value in values.items() if value is not None}


def _nanoseconds(seconds: float | None) -> int:
    return round((seconds or 0.0) * _NS)


def _cpu(sample: Sample | None) -> dict[str, object]:
    at = sample or Sample(0)
    stats: dict[str, object] = {
        "cpu_usage": {
            "total_usage": _nanoseconds(at.cpu_usage_seconds),
            "usage_in_kernelmode": _nanoseconds(at.cpu_system_seconds),
            "usage_in_usermode": _nanoseconds(at.cpu_user_seconds),
        },
        "throttling_data": {
            "periods": at.cpu_periods or 0,
            "throttled_periods": at.cpu_throttled_periods or 0,
            "throttled_time": _nanoseconds(at.cpu_throttled_seconds),
        },
    }
    if sample is not None:
        stats |= {"system_cpu_usage": _nanoseconds(at.machine_cpu_seconds), "online_cpus": at.online_cpus}
    return stats


def _memory(sample: Sample) -> dict[str, object]:
    v1 = "total_inactive_file" in sample.memory_stat
    known = _known(
        usage=sample.memory_total_bytes,
        max_usage=sample.memory_peak_bytes if v1 else None,
        limit=sample.memory_limit_bytes,
    )
    return {**known, "stats": dict(sample.memory_stat)}


def _disks(sample: Sample | None) -> dict[str, object]:
    entries = [
        {"major": disk.major, "minor": disk.minor, "op": operation, "value": value}
        for disk in (sample.disks if sample else ())
        for operation, value in (("read", disk.read_bytes), ("write", disk.write_bytes))
    ]
    others = ("serviced", "queue", "service_time", "wait_time", "merged", "time")
    return {
        "io_service_bytes_recursive": entries,
        **{f"io_{name}_recursive": None for name in others},
        "sectors_recursive": None,
    }


def _network(interface: Interface) -> dict[str, int]:
    return {
        name: getattr(interface, name)
        for way in ("rx", "tx")
        for name in (f"{way}_bytes", f"{way}_packets", f"{way}_errors", f"{way}_dropped")
    }
