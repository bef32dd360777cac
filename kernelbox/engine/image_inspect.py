"""What is told about an image: `docker image inspect` and `docker history`, from its own documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kernelbox.oci import moments
from kernelbox.oci.digest import Digest
from kernelbox.oci.image_document import ImageDocument
from kernelbox.oci.value import frozen

__all__ = ["HistoryStep", "attrs", "created_at", "history"]

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


def created_at(document: ImageDocument) -> float:
    """In seconds since 1970; 0 where the image does not say."""
    return _seconds(document.created)


def attrs(
    document: ImageDocument, *, tags: Sequence[str], digests: Sequence[str], size: int, tagged_at: float
) -> dict[str, Any]:
    """In Docker's form. `size` is that of its layers as they lie here, in bytes."""
    comment = document.history[-1].comment if document.history else ""
    return {
        "Id": str(document.digest),
        "RepoTags": list(tags),
        "RepoDigests": list(digests),
        "Parent": "",
        "Comment": comment,
        "Created": document.created or _BEGINNING,
        "Author": document.author,
        "Config": document.config.to_json(),
        "Architecture": document.platform.architecture,
        "Variant": document.platform.variant,
        "Os": document.platform.os,
        "Size": size,
        "GraphDriver": {"Data": None, "Name": "overlay"},
        "RootFS": {"Type": "layers", "Layers": [str(each) for each in document.diff_ids]},
        "Metadata": {"LastTagTime": moments.written(int(tagged_at * 1e9)) if tagged_at else _BEGINNING},
    }


def history(document: ImageDocument, sizes: Mapping[Digest, int], tags: Sequence[str]) -> list[HistoryStep]:
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
    return found[::-1]


def _step(created: str, created_by: str, comment: str, size: int) -> HistoryStep:
    return HistoryStep("<missing>", int(_seconds(created)), created_by, None, size, comment)


def _seconds(moment: str) -> float:
    return max(moments.nanoseconds(moment) / 1e9, 0.0) if moment else 0.0
