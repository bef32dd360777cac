"""`kernelbox images`, `rmi`, `tag`, `history`, and `kernelbox image inspect` and `prune`."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from kernelbox.cli.caller import engine
from kernelbox.cli.inspect import show
from kernelbox.cli.table_layout import ellipsis
from kernelbox.cli.tables import human_size, local_time
from kernelbox.cli.template_values import Row
from kernelbox.cli.templates import render_rows
from kernelbox.cli.verbs import Given, for_each
from kernelbox.engine import filters
from kernelbox.engine.image import Image
from kernelbox.engine.image_inspect import HistoryStep
from kernelbox.engine.images import LIST_KEYS, PRUNE_KEYS
from kernelbox.engine.status import ago

__all__ = ["history", "inspect", "ls", "prune", "remove", "tag"]

_NONE = "<none>"
_SHORT, _STEP_WIDTH = 12, 45
_LIST_HEADERS: Mapping[str, str] = {
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Digest": "DIGEST",
    "ID": "IMAGE ID",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Size": "SIZE",
    "Containers": "CONTAINERS",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
    "VirtualSize": "SIZE",
}
_HISTORY_HEADERS: Mapping[str, str] = {
    "ID": "IMAGE",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "CreatedBy": "CREATED BY",
    "Size": "SIZE",
    "Comment": "COMMENT",
}
_WARNING = """\
WARNING! This will remove {}.
Are you sure you want to continue? [y/N] """
_DANGLING, _UNUSED = "all dangling images", "all images without at least one container associated to them"


class _Image(Row):
    """A name of an image, or an image without any."""

    def __init__(self, image: Image, name: str, digest: str, *, no_trunc: bool) -> None:
        repository, _, tag = name.rpartition(":") if name else (digest.partition("@")[0], "", "")
        size = human_size(image.size)
        super().__init__({
            "Containers": "N/A",
            "CreatedAt": local_time(image.created_at),
            "CreatedSince": ago(image.created_at, time.time()) if image.created_at else "N/A",
            "Digest": digest.partition("@")[2] or _NONE,
            "ID": image.id if no_trunc else image.short_id,
            "Repository": repository or _NONE,
            "SharedSize": "N/A",
            "Size": size,
            "Tag": tag or _NONE,
            "UniqueSize": "N/A",
            "VirtualSize": size,
        })  # fmt: skip


class _Step(Row):
    """A step of an image's history."""

    def __init__(self, step: HistoryStep, *, human: bool, no_trunc: bool) -> None:
        created_by = " ".join(step.CreatedBy.split())
        written = datetime.fromtimestamp(step.Created, UTC).astimezone().isoformat() if step.Created else "N/A"
        short = step.Id.removeprefix("sha256:")[:_SHORT]
        super().__init__({
            "Comment": step.Comment,
            "CreatedAt": written,
            "CreatedBy": created_by if no_trunc else ellipsis(created_by, _STEP_WIDTH),
            "CreatedSince": ago(step.Created, time.time()) if human and step.Created else written,
            "ID": step.Id if no_trunc else short,
            "Size": human_size(step.Size) if human else str(step.Size),
        })  # fmt: skip


def ls(given: Given) -> int:
    template = given.text("format")
    if template in ("", "table"):
        digest = "{{.Digest}}\t" if given.flag("digests") else ""
        template = f"table {{{{.Repository}}}}\t{{{{.Tag}}}}\t{digest}{{{{.ID}}}}\t{{{{.CreatedSince}}}}\t{{{{.Size}}}}"
        template = "{{.ID}}" if given.flag("quiet") else template
    with engine() as box:
        found = box.images.list(*given.words, filters=filters.parse(given.texts("filter"), LIST_KEYS))
    rows = [row for image in found for row in _rows(image, given)]
    if given.flag("quiet") and template == "{{.ID}}":
        rows = list({str(row["ID"]): row for row in rows}.values())
    sys.stdout.write(render_rows(template, rows, _LIST_HEADERS))
    return 0


def _rows(image: Image, given: Given) -> list[_Image]:
    digests = {digest.partition("@")[0]: digest for digest in image.repo_digests}
    named = [(tag, digests.pop(tag.rpartition(":")[0], "")) for tag in image.tags]
    left = [("", digest) for digest in digests.values()]  # pulled by its digest, or whose tag is another's now
    return [_Image(image, name, digest, no_trunc=given.flag("no_trunc")) for name, digest in named + left or [("", "")]]


def inspect(given: Given) -> int:
    return show(given, lambda box, name: box.images.get(name).attrs)


def history(given: Given) -> int:
    template = given.text("format")
    if template in ("", "table"):
        template = "table {{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}"
        template = "{{.ID}}" if given.flag("quiet") else template
    human = bool(given.values.get("human", True))
    with engine() as box:
        found = box.images.history(given.words[0])
    rows = [_Step(step, human=human, no_trunc=given.flag("no_trunc")) for step in found]
    sys.stdout.write(render_rows(template, rows, _HISTORY_HEADERS))
    return 0


def tag(given: Given) -> int:
    with engine() as box:
        box.images.tag(*given.words)
    return 0


def remove(given: Given) -> int:
    with engine() as box:

        def forget(name: str) -> str:
            return _told(box.images.remove(name, force=given.flag("force")))

        return for_each(given.words, forget)


def _told(changes: Sequence[Mapping[str, str]]) -> str:
    return "\n".join(f"{what}: {name}" for change in changes for what, name in change.items())


def prune(given: Given) -> int:
    wanted = filters.parse(given.texts("filter"), PRUNE_KEYS)
    if not given.flag("force"):
        sys.stdout.write(_WARNING.format(_UNUSED if given.flag("all") else _DANGLING))
        sys.stdout.flush()
        if sys.stdin is None or sys.stdin.readline().strip().lower() != "y":
            return 0
    with engine() as box:
        done = box.images.prune(wanted, all=given.flag("all"))
    if done["ImagesDeleted"]:
        sys.stdout.write(f"Deleted Images:\n{_told(done['ImagesDeleted']).lower()}\n\n")
    sys.stdout.write(f"Total reclaimed space: {human_size(done['SpaceReclaimed'], 4)}\n")
    return 0
