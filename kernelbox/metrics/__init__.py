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
"""The columns of a frame of runs with their types. Names end in their unit, counters in `_total`; missing (NA) is what the
machine cannot tell. `time` is when the run began."""

_COUNTERS = ("cpu_usage_seconds", "cpu_user_seconds", "cpu_system_seconds")
_COUNTS = ("io_read_bytes", "io_write_bytes", "net_rx_bytes", "net_tx_bytes")
