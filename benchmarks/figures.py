"""The names of what is measured besides the starts of contenders."""

from __future__ import annotations

IMPORT = "import kernelbox"
IMPORT_ENGINE = "from kernelbox import Engine"
GONE = "interrupt until nothing is left"
RETURNED = "interrupt until box.run has raised"
MONITOR = "monitor and sweeper"
INTERPRETER = "interpreter with its engine"
AT_ONCE = "from threads at once"
