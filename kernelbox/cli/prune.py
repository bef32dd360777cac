"""`kernelbox container prune`: away with all that does not run."""

from __future__ import annotations

import sys
import time
from contextlib import suppress

from kernelbox.cli.caller import engine
from kernelbox.cli.tables import human_size
from kernelbox.cli.verbs import Given
from kernelbox.engine import filters
from kernelbox.engine.container import Container
from kernelbox.errors import Conflict, ContainerNotFound
from kernelbox.store.container_record import ContainerRecord
from kernelbox.store.log_times import parse_time

__all__ = ["prune"]

_KEYS = ("label", "label!", "until")
_WARNING = "WARNING! This will remove all stopped containers.\nAre you sure you want to continue? [y/N] "


def prune(given: Given) -> int:
    wanted = filters.parse(given.texts("filter"), _KEYS)
    until = [parse_time(each, time.time()) for each in wanted.get("until", ())]
    if not given.flag("force") and not _agreed():
        return 0
    gone, freed = [], 0
    with engine() as box:
        for container in box.containers.list(all=True, filters={"label": wanted.get("label", ())}):
            if container.record.living or _is_spared(container, wanted.get("label!", ()), until):
                continue
            size = container.sizes().changed
            with suppress(Conflict, ContainerNotFound):  # somebody has started it just now, or removed it
                container.remove()
                gone.append(container.id)
                freed += size
    if gone:
        sys.stdout.write("Deleted Containers:\n" + "".join(f"{each}\n" for each in gone) + "\n")
    sys.stdout.write(f"Total reclaimed space: {human_size(freed, 4)}\n")
    return 0


def _agreed() -> bool:
    sys.stdout.write(_WARNING)
    sys.stdout.flush()
    return sys.stdin is not None and sys.stdin.readline().strip().lower() == "y"


def _is_spared(container: Container, without: tuple[str, ...], until: list[float]) -> bool:
    labelled = any(filters.matches(container.record, {"label": [each]}, _no_other) for each in without)
    return labelled or any(container.record.created_at >= each for each in until)


def _no_other(reference: str) -> ContainerRecord:
    raise ContainerNotFound(f"no such container: {reference}")
