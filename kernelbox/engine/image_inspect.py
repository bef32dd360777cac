"""What is told about an image: `docker image inspect` and `docker history`, from its own documents."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kernelbox.oci import moments
from kernelbox.oci.digest import Digest
from kernelbox.oci.image_document import ImageDocument
from kernelbox.oci.platform import of_machine
from kernelbox.oci.value import frozen

if TYPE_CHECKING:
    import pandas as pd

    from kernelbox.engine.image import Image

__all__ = ["HistoryList", "HistoryStep", "attrs", "history"]

_BEGINNING = "0001-01-01T00:00:00Z"
"""What Docker writes for a moment that nobody knows."""


@frozen
class HistoryStep:
    """One step of how an image was made, the latest first; docker-py's words. `Created` is in seconds since 1970, 0
    where nobody knows; `Size` in bytes of the layer as it lies here."""

    Id: str
    Created: int
    CreatedBy: str
    Tags: tuple[str, ...] | None
    Size: int
    Comment: str


class HistoryList(list[HistoryStep]):
    """The steps of an image, the latest first."""

    def frame(self) -> pd.DataFrame:
        """A DataFrame with a row for each step."""
        from kernelbox.metrics.frame import history_frame

        return history_frame(self)


def attrs(image: Image) -> dict[str, Any]:
    """In Docker's form; of what no store has, what there is to say."""
    document = image.stored.document if image.stored else None
    steps = document.history if document else ()
    platform = document.platform if document else of_machine(os.uname().machine)
    return {
        "Id": image.id,
        "RepoTags": list(image.tags) or ([] if image.stored else [image.name]),
        "RepoDigests": list(image.repo_digests),
        "Parent": "",
        "Comment": steps[-1].comment if steps else "",
        "Created": (document.created if document else "") or _BEGINNING,
        "Author": document.author if document else "",
        "Config": image.config.to_json(),
        "Architecture": platform.architecture,
        "Variant": platform.variant,
        "Os": platform.os,
        "Size": image.size,
        "GraphDriver": {"Data": None, "Name": "overlay"},
        "RootFS": {"Type": "layers", "Layers": [str(each) for each in document.diff_ids] if document else []},
        "Metadata": {"LastTagTime": moments.written(int(image.stored.record.added_at * 1e9))} if image.stored else {},
    }


def history(document: ImageDocument, sizes: Mapping[Digest, int], tags: Sequence[str]) -> HistoryList:
    """`sizes` are those of the layers, by diff_id. Layers of which no step tells are listed too, below all others."""
    steps = list(document.steps)
    if not any(diff_id for _, diff_id in steps):
        told: Iterable[HistoryStep] = (_step(each.created, each.created_by, each.comment, 0) for each, _ in steps)
        untold = (_step("", "", "", sizes.get(diff_id, 0)) for diff_id in document.diff_ids)
        found = [*untold, *told]
    else:
        found = [
            _step(each.created, each.created_by, each.comment, sizes.get(diff_id, 0) if diff_id else 0)
            for each, diff_id in steps
        ]
    if found:
        last = found[-1]
        found[-1] = HistoryStep(
            str(document.digest), last.Created, last.CreatedBy, tuple(tags) or None, last.Size, last.Comment
        )
    return HistoryList(found[::-1])


def _step(created: str, created_by: str, comment: str, size: int) -> HistoryStep:
    return HistoryStep("<missing>", int(_seconds(created)), created_by, None, size, comment)


def _seconds(moment: str) -> float:
    return max(moments.nanoseconds(moment) / 1e9, 0.0) if moment else 0.0
