"""What the monitor has written down of a container's health checks, in the file "health" of its folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import UTC, datetime
from pathlib import Path

from kernelbox.oci.value import frozen

__all__ = ["Health", "health_in"]

_HEALTH = "health"
_NS = 1_000_000_000


@frozen
class Health:
    """What is known: `status` is starting, healthy or unhealthy."""

    status: str = "starting"
    failing_streak: int = 0
    log: tuple[Mapping[str, object], ...] = field(default=())

    def document(self) -> dict[str, object]:
        """As the API has it (State.Health)."""
        return {"Status": self.status, "FailingStreak": self.failing_streak, "Log": list(self.log)}


def health_in(folder: Path) -> Health | None:
    """What the monitor has written down; None where nothing is asked."""
    try:
        head, _, output = (folder / _HEALTH).read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    status, failures, code, begun, ended = head.decode().split()
    log: tuple[Mapping[str, object], ...] = ()
    if int(begun):
        log = ({"Start": _time(int(begun)), "End": _time(int(ended)), "ExitCode": int(code), "Output": _text(output)},)
    return Health(status, int(failures), log)


def _time(nanoseconds: int) -> str:
    return datetime.fromtimestamp(nanoseconds / _NS, UTC).isoformat().replace("+00:00", "Z")


def _text(output: bytes) -> str:
    return output.decode("utf-8", "replace")
