"""The monitor's program: how it is started, and what it says where it cannot go on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from kernelbox.errors import MonitorError
from kernelbox.native import MONITOR_PROGRAM, check, ffi, lib

__all__ = ["last_words", "start"]


def start(mode: bytes, passed: Sequence[int], log: Path) -> None:
    """Returns when it has begun to serve or will say in `log` why not; `passed` become its descriptors from 0 on.

    Raises KernelError, MonitorError."""
    words = [ffi.new("char[]", word) for word in (b"kb-monitor", mode)]
    arguments = ffi.new("char *[]", [*words, ffi.NULL])
    program = _program()
    try:
        pid = check(lib.kb_spawn(program, arguments, list(passed), len(passed)), "start the monitor")
    finally:
        os.close(program)
    _, status = os.waitpid(pid, 0)
    if status:
        raise MonitorError(f"the monitor could not be started{last_words(log)}", hint=f"see {log}")


def _program() -> int:
    """It is in a sealed memfd: nobody can change what runs, whatever happens to the file. The caller closes it."""
    try:
        code = MONITOR_PROGRAM.read_bytes()
    except OSError as error:
        raise MonitorError(f"could not read {MONITOR_PROGRAM}: {error.strerror}", hint="make build") from error
    return check(lib.kb_memfd_sealed(b"kb-monitor", code, len(code)), "make the monitor's program")


def last_words(log: Path) -> str:
    """What a monitor that could not go on has said, to end a sentence with; empty where it has said nothing."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return f": {lines[-1].removeprefix('kb-monitor: ').lower()}" if lines else ""
