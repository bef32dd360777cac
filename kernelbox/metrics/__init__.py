"""What containers use and cost.

`usage_row` reads one finished run; `frame` makes DataFrames of runs and of launches and is the only module here that
imports pandas, when it is asked for one.
"""

from __future__ import annotations

from typing import Any

USAGE_COLUMNS: dict[str, str] = {
    "time": "datetime64[ns, UTC]",
    "container_id": "str",
    "name": "str",
    "image": "str",
    "command": "str",
    "exit_code": "int64",
    "signal": "Int64",
    "oom_killed": "bool",
    "timed_out": "bool",
    "wall_seconds": "float64",
    "cpu_usage_seconds_total": "float64",
    "cpu_user_seconds_total": "float64",
    "cpu_system_seconds_total": "float64",
    "memory_peak_bytes": "Int64",
    "pids_peak": "Int64",
    "io_read_bytes_total": "Int64",
    "io_write_bytes_total": "Int64",
    "net_rx_bytes_total": "Int64",
    "net_tx_bytes_total": "Int64",
}
"""The columns of a frame of runs with their types. Names end in their unit, counters in `_total`. NA is what this
machine cannot tell. `time` is when the run began."""

_COUNTERS = ("cpu_usage_seconds", "cpu_user_seconds", "cpu_system_seconds")
_COUNTS = ("io_read_bytes", "io_write_bytes", "net_rx_bytes", "net_tx_bytes")


def usage_row(run: Any) -> dict[str, object]:
    """One finished run (a RunResult, or what has its attributes) as a row with USAGE_COLUMNS."""
    usage = run.usage
    return {
        "time": run.started_at,
        "container_id": run.container.id,
        "name": run.container.name,
        "image": run.image,
        "command": " ".join(run.command),
        "exit_code": run.exit_code,
        "signal": run.signal,
        "oom_killed": run.oom_killed,
        "timed_out": run.timed_out,
        "wall_seconds": usage.wall_seconds,
        **{f"{name}_total": getattr(usage, name) for name in _COUNTERS},
        "memory_peak_bytes": usage.memory_peak_bytes,
        "pids_peak": usage.pids_peak,
        **{f"{name}_total": getattr(usage, name) for name in _COUNTS},
    }
