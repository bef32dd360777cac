"""What the command line prints as tables, as DataFrames: `df = %container ps -a`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from kernelbox.cli import ps, stats
from kernelbox.cli.tables import ports_text
from kernelbox.cli.verbs import Given
from kernelbox.engine import filters
from kernelbox.engine.images import LIST_KEYS as IMAGE_KEYS
from kernelbox.engine.inspect import summary
from kernelbox.engine.observing import known
from kernelbox.engine.stats import Sample, cpu_percent, memory_percent
from kernelbox.engine.volumes import LIST_KEYS
from kernelbox.store.log_times import parse_time

__all__ = ["FRAMES", "GROUP_FRAMES"]

_TO_SECONDS, _TO_MILLISECONDS = "datetime64[s, UTC]", "datetime64[ms, UTC]"
_PS = {
    "name": "str",
    "image": "str",
    "command": "str",
    "status": "str",
    "created": _TO_SECONDS,
    "state": "str",
    "exit_code": "Int64",
    "ports": "str",
    "id": "str",
}
_STATS = {
    "name": "str",
    "cpu_percent": "Float64",
    "memory_bytes": "Int64",
    "memory_limit_bytes": "Int64",
    "memory_percent": "Float64",
    "pids": "Int64",
    "io_read_bytes": "Int64",
    "io_write_bytes": "Int64",
    "net_rx_bytes": "Int64",
    "net_tx_bytes": "Int64",
    "id": "str",
}
_EVENTS = {
    "time": _TO_MILLISECONDS,
    "action": "str",
    "name": "str",
    "image": "str",
    "exit_code": "Int64",
    "id": "str",
    "attributes": "object",
}
_VOLUMES = {
    "name": "str",
    "driver": "str",
    "created": _TO_SECONDS,
    "containers": "Int64",
    "labels": "object",
    "mountpoint": "str",
}
_IMAGES = {
    "repository": "str",
    "tag": "str",
    "id": "str",
    "created": _TO_SECONDS,
    "size_bytes": "Int64",
    "platform": "str",
    "layers": "Int64",
    "labels": "object",
}
_HISTORY = {"created": _TO_SECONDS, "created_by": "str", "size_bytes": "Int64", "comment": "str", "id": "str"}
_CHANGES = {"A": "added", "C": "changed", "D": "deleted"}
_SHORT = 12


def ps_frame(box: Any, given: Given) -> pd.DataFrame:
    """A row per container, the newest first; `exit_code` is of those that have ended."""
    now, rows = time.time(), []
    for each in ps.chosen(box, given):
        shown: Mapping[str, Any] = summary(each.record, now, known=known(each, size=given.flag("size")))
        row = {
            "name": each.name,
            "image": each.record.image,
            "command": shown["Command"],
            "status": shown["Status"],
            "created": _moment(each.record.created_at),
            "state": each.status,
            "exit_code": each.exit_code if each.status in ("exited", "dead") else None,
            "ports": ports_text(shown["Ports"]),
            "id": each.id if given.flag("no_trunc") else each.short_id,
        }
        if given.flag("size"):
            row |= {"changed_bytes": shown["SizeRw"], "root_bytes": shown["SizeRootFs"]}
        rows.append(row)
    more = {"changed_bytes": "Int64", "root_bytes": "Int64"} if given.flag("size") else {}
    return _frame(rows, {**_PS, **more})


def stats_frame(box: Any, given: Given) -> pd.DataFrame:
    """A row per container: what it uses now, its share of processors during one second (100 is one processor)."""
    before = stats.samples_of(stats.chosen(box, given))
    time.sleep(stats.SECOND)
    containers = stats.chosen(box, given)
    now = stats.samples_of(containers)
    rows = []
    for _, each in containers:
        identity = each.id if given.flag("no_trunc") else each.short_id
        measured = _measured(now.get(each.id), before.get(each.id))
        rows.append({"name": each.name, **measured, "id": identity})
    return _frame(rows, _STATS)


def _measured(now: Sample | None, before: Sample | None) -> dict[str, Any]:
    if now is None:
        return {}
    plain = [name for name in _STATS if hasattr(now, name)]
    return {
        **{name: getattr(now, name) for name in plain},
        "cpu_percent": None if before is None else round(cpu_percent(now, before), 2),
        "memory_percent": round(memory_percent(now), 2),
    }


def top_frame(box: Any, given: Given) -> pd.DataFrame:
    """The columns of ps(1), a row per process."""
    reference, *arguments = given.words
    titles, rows = box.containers.get(reference).top(" ".join(arguments) or "-ef")
    frame = pd.DataFrame(rows, columns=list(titles), dtype="str")
    for name in frame:
        if len(frame) and frame[name].str.fullmatch(r"\d{1,18}").all():
            frame[name] = frame[name].astype("int64")
    return frame


def diff_frame(box: Any, given: Given) -> pd.DataFrame:
    """A row for each path that the container has changed of its image."""
    found = box.containers.get(given.words[0]).diff()
    return _frame(
        [{"change": _CHANGES[each.kind], "path": each.path} for each in found], {"change": "str", "path": "str"}
    )


def events_frame(box: Any, given: Given) -> pd.DataFrame:
    """What happened until now, the oldest first."""
    now = time.time()
    wanted = filters.parse(given.texts("filter"), filters.EVENT_KEYS)
    since = parse_time(given.text("since"), now) if given.text("since") else 0.0
    until = parse_time(given.text("until"), now) if given.text("until") else now
    rows = []
    for event in box.containers.events(since=since, until=until, filters=wanted):
        attributes = dict(event.attributes)
        name, image, code = (attributes.pop(key, "") for key in ("name", "image", "exitCode"))
        row = {"name": name, "image": image, "exit_code": int(code) if code else None}
        rows.append(
            {
                "time": _moment(event.time),
                "action": event.action,
                **row,
                "id": event.id[:_SHORT],
                "attributes": attributes,
            }
        )
    return _frame(rows, _EVENTS)


def volumes_frame(box: Any, given: Given) -> pd.DataFrame:
    """A row per volume; `containers` is how many have it, of those that are kept."""
    used = box.volumes.store.used()
    return _frame(
        [
            {
                "name": volume.name,
                "driver": "local",
                "created": _moment(volume.record.created_at),
                "containers": used.get(volume.name, 0),
                "labels": volume.labels,
                "mountpoint": volume.mountpoint,
            }
            for volume in box.volumes.list(filters.parse(given.texts("filter"), LIST_KEYS))
        ],
        _VOLUMES,
    )


def images_frame(box: Any, given: Given) -> pd.DataFrame:
    """A row per name of an image, one for an image without any: the newest first."""
    rows = []
    for image in box.images.list(*given.words, filters=filters.parse(given.texts("filter"), IMAGE_KEYS)):
        whole = {
            "id": image.short_id,
            "created": _moment(image.created_at),
            "size_bytes": image.size,
            "platform": str(image.platform),
            "layers": len(image.layers),
            "labels": image.labels,
        }
        names = [tag.rpartition(":") for tag in image.tags] or [(None, "", None)]
        rows += [{"repository": repository, "tag": tag, **whole} for repository, _, tag in names]
    return _frame(rows, _IMAGES)


def history_frame(box: Any, given: Given) -> pd.DataFrame:
    """A row per step of how an image was made, the latest first."""
    return _frame(
        [
            {
                "created": _moment(step.Created) if step.Created else None,
                "created_by": step.CreatedBy,
                "size_bytes": step.Size,
                "comment": step.Comment,
                "id": step.Id if step.Tags else None,
            }
            for step in box.images.history(given.words[0])
        ],
        _HISTORY,
    )


def _moment(seconds: float) -> pd.Timestamp:
    return pd.Timestamp(round(seconds * 1000), unit="ms", tz="UTC")


def _frame(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> pd.DataFrame:
    """Columns of these types also where there are no rows; what a row lacks is missing."""
    kept: Sequence[Mapping[str, Any]] = list(rows)
    return pd.DataFrame(
        {name: pd.Series([row.get(name) for row in kept], dtype=kind) for name, kind in columns.items()}
    )


FRAMES = {"diff": diff_frame, "events": events_frame, "ps": ps_frame, "stats": stats_frame, "top": top_frame}
"""The verbs that answer with a table."""

GROUP_FRAMES = {
    ("volume", "ls"): volumes_frame,
    ("image", "ls"): images_frame,
    ("image", "history"): history_frame,
}
"""The same behind a word of their own."""
