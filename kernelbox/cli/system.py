"""`kernelbox system df`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kernelbox.cli.caller import engine
from kernelbox.cli.tables import human_size
from kernelbox.cli.templates import render_rows
from kernelbox.cli.verbs import Given
from kernelbox.engine.status import ago
from kernelbox.errors import InvalidOption

__all__ = ["df"]

_HEADERS: Mapping[str, str] = {
    "Type": "TYPE",
    "TotalCount": "TOTAL",
    "Active": "ACTIVE",
    "Size": "SIZE",
    "Reclaimable": "RECLAIMABLE",
}
_TABLE = r"table {{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}"

_Row = Mapping[str, object]


def df(given: Given) -> int:
    template = given.text("format")
    if given.flag("verbose") and template:
        raise InvalidOption("--verbose and --format exclude each other", hint="a format says what is shown")
    with engine() as box:
        usage = box.df()
    if given.flag("verbose"):
        sys.stdout.write(_verbose(usage))
    else:
        chosen = _TABLE if template in ("", "table") else template
        sys.stdout.write(render_rows(chosen, _summary(usage), _HEADERS))
    return 0


def _summary(usage: Mapping[str, Any]) -> Iterable[_Row]:
    images, containers, volumes = usage["Images"], usage["Containers"], usage["Volumes"]
    running = [each["State"] in ("running", "paused", "restarting") for each in containers]
    written = [each["SizeRw"] for each in containers]
    used = [each["UsageData"]["RefCount"] > 0 for each in volumes]
    sizes = [each["UsageData"]["Size"] for each in volumes]
    active = sum(each["Containers"] > 0 for each in images)
    yield _row("Images", len(images), active, usage["LayersSize"] + usage["BlobsSize"], usage["Reclaimable"])
    yield _row("Containers", len(containers), sum(running), sum(written), _sum_of_others(written, running))
    yield _row("Local Volumes", len(volumes), sum(used), sum(sizes), _sum_of_others(sizes, used))
    yield _row("Build Cache", 0, 0, 0, 0)


def _sum_of_others(sizes: Sequence[int], kept: Sequence[bool]) -> int:
    return sum(size for size, keep in zip(sizes, kept, strict=True) if not keep)


def _row(kind: str, total: int, active: int, size: int, reclaimable: int) -> _Row:
    share = f" ({reclaimable * 100 // size}%)" if size else ""
    return {
        "Type": kind,
        "TotalCount": str(total),
        "Active": str(active),
        "Size": human_size(size, 4),
        "Reclaimable": f"{human_size(reclaimable, 4)}{share}",
    }


def _verbose(usage: Mapping[str, Any]) -> str:
    now = time.time()
    images = [
        {
            "NAME": (each["RepoTags"] or ["<none>"])[0],
            "IMAGE ID": each["Id"].partition(":")[2][:12],
            "CREATED": ago(each["Created"], now),
            "SIZE": human_size(each["Size"]),
            "SHARED SIZE": human_size(each["SharedSize"]),
            "UNIQUE SIZE": human_size(each["Size"] - each["SharedSize"]),
            "CONTAINERS": str(each["Containers"]),
        }
        for each in usage["Images"]
    ]
    containers = [
        {
            "CONTAINER ID": each["Id"][:12],
            "IMAGE": each["Image"],
            "SIZE": human_size(each["SizeRw"]),
            "CREATED": ago(each["Created"], now),
            "STATUS": each["Status"],
            "NAMES": each["Names"][0].removeprefix("/"),
        }
        for each in usage["Containers"]
    ]
    volumes = [
        {
            "VOLUME NAME": each["Name"],
            "LINKS": str(each["UsageData"]["RefCount"]),
            "SIZE": human_size(each["UsageData"]["Size"]),
        }
        for each in usage["Volumes"]
    ]
    parts = (("Images", images), ("Containers", containers), ("Local Volumes", volumes))
    return "\n".join(f"{name} space usage:\n\n{_table(rows)}" for name, rows in parts)


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    if not rows:
        return ""
    fields = list(rows[0])
    names = {name: name.title().replace(" ", "") for name in fields}
    template = "table " + r"\t".join(f"{{{{.{names[name]}}}}}" for name in fields)
    shown = [{names[name]: row[name] for name in fields} for row in rows]
    return render_rows(template, shown, {names[name]: name for name in fields})
