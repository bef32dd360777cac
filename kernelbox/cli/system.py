"""`kernelbox system df`: what images, containers and volumes take of the disk, and how much of that nobody needs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from kernelbox.cli.caller import engine
from kernelbox.cli.tables import human_size
from kernelbox.cli.template_values import Row
from kernelbox.cli.templates import render_rows
from kernelbox.cli.verbs import Given

__all__ = ["df"]

_HEADERS: Mapping[str, str] = {
    "Type": "TYPE",
    "TotalCount": "TOTAL",
    "Active": "ACTIVE",
    "Size": "SIZE",
    "Reclaimable": "RECLAIMABLE",
}
_TABLE = "table {{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}"


class _Usage(Row):
    """A kind of things."""

    def __init__(self, kind: str, total: int, active: int, size: int, free: int, *, share: bool) -> None:
        percent = f" ({100 * free // size}%)" if share and size else ""
        super().__init__({
            "Active": str(active),
            "Reclaimable": human_size(free, 4) + percent,
            "Size": human_size(size, 4),
            "TotalCount": str(total),
            "Type": kind,
        })  # fmt: skip


def df(given: Given) -> int:
    template = given.text("format")
    with engine() as box:
        found = box.df()
    rows = list(_rows(found))
    sys.stdout.write(render_rows(_TABLE if template in ("", "table") else template, rows, _HEADERS))
    return 0


def _rows(found: Mapping[str, Any]) -> Iterator[_Usage]:
    images, containers, volumes = found["Images"], found["Containers"], found["Volumes"]
    used = [each for each in images if each["Containers"]]
    size = found["LayersSize"] + found["BlobsSize"]
    needed = sum(each["Size"] for each in used)
    yield _Usage("Images", len(images), len(used), size, max(size - needed, 0) if used else size, share=True)
    living = [each for each in containers if each["State"] in ("running", "paused", "restarting")]
    size = sum(each.get("SizeRw", 0) for each in containers)
    needed = sum(each.get("SizeRw", 0) for each in living)
    yield _Usage("Containers", len(containers), len(living), size, size - needed, share=True)
    sizes = [(each["UsageData"]["Size"], each["UsageData"]["RefCount"]) for each in volumes]
    size, free = sum(each for each, _ in sizes), sum(each for each, uses in sizes if not uses)
    yield _Usage("Local Volumes", len(sizes), sum(uses > 0 for _, uses in sizes), size, free, share=True)
    yield _Usage("Build Cache", 0, 0, 0, 0, share=False)
