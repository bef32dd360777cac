"""System calls of a process that fail at chosen moments: strace(1) tampers with them from outside."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


class Injected:
    """What came of it, when it is over."""

    count = 0
    """How many calls were made to fail."""
    seen = 0
    """How many there were of that name."""


@contextlib.contextmanager
def injected(pid: int, call: str, error: str, when: str, folder: Path) -> Iterator[Injected]:
    """The thread `pid` has its `when`-th calls of `call` fail with `error`, counted from here on. `when` is as strace
    takes it: "3", "3+" for that and all that follow."""
    program = shutil.which("strace")
    if program is None:
        pytest.skip("strace is not installed")
    log = folder / "strace.log"
    expression = ["-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={when}"]
    with subprocess.Popen(
        [program, "-o", log, *expression, "-p", str(pid)], stderr=subprocess.PIPE, text=True
    ) as tracer:
        assert tracer.stderr is not None
        told = tracer.stderr.readline()
        if "attached" not in told:
            tracer.kill()
            pytest.skip(f"strace cannot be used here: {told.strip()}")
        result = Injected()
        try:
            yield result
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.communicate()
            text = log.read_text(errors="replace")
            result.count, result.seen = text.count("(INJECTED)"), text.count(f"{call}(")
