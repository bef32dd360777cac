"""What each cell cost: a row for every run of this notebook."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kernelbox.metrics import usage_row

if TYPE_CHECKING:
    from pandas import DataFrame

KEPT = 100_000


class Costs:
    """Keeps numbers only, never a run's output; of very many runs the last `KEPT`."""

    def __init__(self) -> None:
        self._rows: deque[Mapping[str, object]] = deque(maxlen=KEPT)

    def add(self, cell: int, result: Any, command: Sequence[str] | None) -> None:
        """Note a finished run of the cell with that execution count; `command` as it was typed, if one was."""
        row = {"cell": cell, **usage_row(result)}
        if command:
            row["command"] = " ".join(command)
        self._rows.append(row)

    def frame(self) -> DataFrame:
        """One row per run, the oldest first; the column `cell` is the number in the cell's `In [ ]`."""
        from kernelbox.metrics.frame import rows_frame

        return rows_frame(self._rows, {"cell": "int64"})
