"""The last check: a whole container, run in a store of its own that is gone afterwards."""

from __future__ import annotations

import tempfile
from pathlib import Path

from kernelbox.engine.doctor_check import Check, degraded, nearest_folder, tried, works

__all__ = ["checks"]

_SECONDS = 10.0


def checks(store: Path) -> tuple[Check, ...]:
    """`store` is the folder of the real store: the one for trying is made in it, or where it would be, so that both are
    on one file system."""
    return tried("a container", lambda: _run(store))


def _run(store: Path) -> Check:
    from kernelbox.engine.engine import Engine

    name = "a container"
    place = nearest_folder(store)
    with tempfile.TemporaryDirectory(prefix="kernelbox-doctor-", dir=place) as folder, Engine(folder) as box:
        result = box.run("host", ["true"], timeout=_SECONDS)
        if result.exit_code:
            return degraded(name, f"true in the image host ended with {result.exit_code}: {result.stderr.strip()}")
        return works(name, f"true in the image host took {result.duration * 1000:.1f} ms, {len(result.trace)} steps")
