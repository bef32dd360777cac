"""What this process has run: `last` is the newest result."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kernelbox.engine.result import RunResult

last: RunResult | None = None
