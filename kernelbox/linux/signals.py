"""What a process does about signals. The first process of a pid namespace has no default actions: a signal that it
does not handle does nothing to it (pid_namespaces(7))."""

from __future__ import annotations

from pathlib import Path

__all__ = ["handles"]


def handles(pid: int, number: int, proc: Path = Path("/proc"), *, blocked: bool = False) -> bool:
    """Whether the process has a handler for the signal, or ignores it on purpose (proc_pid_status(5)); with `blocked`
    also whether it has it blocked: to read it from a signalfd(2), or for a moment, as shells do."""
    try:
        lines = (proc / str(pid) / "status").read_text(encoding="ascii", errors="replace").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return False
    wanted = ("SigCgt:", "SigIgn:", "SigBlk:") if blocked else ("SigCgt:", "SigIgn:")
    masks = dict(line.split(":", 1) for line in lines if line.startswith(wanted))
    return any(int(mask, 16) >> (number - 1) & 1 for mask in masks.values())
