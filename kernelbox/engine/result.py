"""What a run returns: how it ended, what it said, what it cost."""

from __future__ import annotations

import functools
import signal as signals
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from kernelbox.errors import OutOfMemory, RunFailed, RunTimeout
from kernelbox.oci.units import format_size

if TYPE_CHECKING:
    import pandas as pd

    from kernelbox.linux import cgroups
    from kernelbox.runtime.trace import TraceRow

__all__ = ["ContainerInfo", "LimitsReport", "RunResult", "Usage", "Written"]


@dataclass(frozen=True, slots=True)
class ContainerInfo:
    """Which container it was."""

    id: str
    name: str
    hostname: str

    @property
    def short_id(self) -> str:
        return self.id[:12]


@dataclass(frozen=True, slots=True)
class LimitsReport:
    """`applied` are the limits as they were set; `notes` says, a sentence each, what this machine could not enforce
    or what was done differently than asked."""

    applied: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """Exact totals of a whole container, read from its control groups after its last process had ended.

    Seconds and bytes; None where this machine cannot tell. `wall_seconds` is from the start of the program to its
    end."""

    cpu_usage_seconds: float | None = None
    cpu_user_seconds: float | None = None
    cpu_system_seconds: float | None = None
    memory_peak_bytes: int | None = None
    pids_peak: int | None = None
    io_read_bytes: int | None = None
    io_write_bytes: int | None = None
    net_rx_bytes: int | None = None
    net_tx_bytes: int | None = None
    wall_seconds: float | None = None

    def _asdict(self) -> dict[str, float | int | None]:
        return asdict(self)


class Written:
    """What a program has written to its standard streams, as bytes and as text. Where among its fields they are each
    kind of result says itself."""

    __slots__ = ()
    stdout_bytes: bytes
    stderr_bytes: bytes

    @property
    def stdout(self) -> str:
        """Standard output as UTF-8; bytes that are none are replaced."""
        return self.stdout_bytes.decode("utf-8", "replace")

    @property
    def stderr(self) -> str:
        """Standard error as UTF-8; bytes that are none are replaced."""
        return self.stderr_bytes.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class RunResult(Written):
    """The end of a run, as subprocess.run gives it, with the container's costs.

    `exit_code` is Docker's: the program's own, or 128 plus the number of the signal that ended it (`signal`)."""

    exit_code: int
    signal: int | None
    oom_killed: bool
    timed_out: bool
    stdout_bytes: bytes = field(repr=False)
    stderr_bytes: bytes = field(repr=False)
    duration: float
    command: tuple[str, ...]
    image: str
    image_digest: str
    container: ContainerInfo
    limits: LimitsReport
    usage: Usage
    started_at: float
    trace_rows: Callable[[], tuple[TraceRow, ...]] = field(repr=False, compare=False)
    truncated: bool = False

    @property
    def trace(self) -> tuple[TraceRow, ...]:
        """The steps of the launch and of the end, in their order."""
        return self.trace_rows()

    def explain(self) -> pd.DataFrame:
        """The launch and the end, a row per step: step, where, what, syscall, start_us, duration_us.

        Microseconds, `start_us` since the monitor began. The frame draws itself as a timeline in a notebook."""
        from kernelbox.metrics.frame import trace_frame

        return trace_frame(self.trace)

    @property
    def metrics(self) -> pd.DataFrame:
        """One row with the exact totals, columns named as for samples (units in the names)."""
        from kernelbox.metrics.frame import usage_frame

        return usage_frame([self])

    def check(self) -> RunResult:
        """This result, if the command succeeded. Raises RunFailed, OutOfMemory or RunTimeout otherwise."""
        if self.timed_out:
            raise RunTimeout(f"{self._program} was killed: its timeout passed", result=self, exit_code=self.exit_code)
        if self.oom_killed and self.exit_code:
            raise self._out_of_memory()
        if self.signal:
            name = _signal_name(self.signal)
            raise RunFailed(f"{self._program} was ended by {name}", result=self, exit_code=self.exit_code)
        if self.exit_code:
            raise RunFailed(
                f"{self._program} ended with exit code {self.exit_code}", result=self, exit_code=self.exit_code
            )
        return self

    def _out_of_memory(self) -> OutOfMemory:
        limit = self._memory_limit
        why = f" at the memory limit of {format_size(limit)}" if limit else ": the machine ran out of memory"
        peak = self.usage.memory_peak_bytes
        used = f", peak {format_size(peak)}" if peak else ""
        return OutOfMemory(
            f"{self._program} was killed{why}{used}",
            result=self,
            exit_code=self.exit_code,
            hint="give it more with memory=" if limit else "limit what takes too much of it with memory=",
        )

    @property
    def _memory_limit(self) -> int | None:
        limit = self.limits.applied.get("memory")
        return limit if isinstance(limit, int) and limit > 0 else None

    @property
    def _program(self) -> str:
        return self.command[0] if self.command else self.image

    def __repr__(self) -> str:
        how = f"exit {self.exit_code}"
        if self.timed_out:
            how = "timed out"
        elif self.oom_killed:
            how = "killed at the memory limit" if self._memory_limit else "killed when the machine ran out of memory"
        parts = [how, f"{self.duration * 1000:.1f} ms"]
        if self.usage.cpu_usage_seconds is not None:
            parts.append(f"cpu {self.usage.cpu_usage_seconds * 1000:.1f} ms")
        if self.usage.memory_peak_bytes:
            parts.append(f"peak {format_size(self.usage.memory_peak_bytes)}")
        return f"<RunResult {self.image} {self._program}: {', '.join(parts)}>"


@functools.cache
def _signal_name(number: int) -> str:
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"


def exit_code_of(status: int | None, signal: int) -> int:
    """Docker's exit code."""
    return 128 + signal if status is None else status


def usage_of(
    counters: cgroups.Usage,
    network: tuple[int, int] | None,
    wall_seconds: float,
    rusage_us: tuple[int, int],
    largest: int,
) -> Usage:
    """From the parsed counters of control groups; without groups, the processor time and the largest process (bytes)
    that wait4(2) tells."""
    cpu = (counters.cpu_usage_seconds, counters.cpu_user_seconds, counters.cpu_system_seconds)
    peak = counters.memory_peak_bytes
    if cpu[0] is None:
        cpu = (sum(rusage_us) / 1e6, rusage_us[0] / 1e6, rusage_us[1] / 1e6)
        peak = largest if peak is None else peak
    received, sent = network or (None, None)
    return Usage(
        cpu_usage_seconds=cpu[0],
        cpu_user_seconds=cpu[1],
        cpu_system_seconds=cpu[2],
        memory_peak_bytes=peak,
        pids_peak=counters.pids_peak,
        io_read_bytes=counters.io_read_bytes,
        io_write_bytes=counters.io_write_bytes,
        net_rx_bytes=received,
        net_tx_bytes=sent,
        wall_seconds=wall_seconds,
    )
