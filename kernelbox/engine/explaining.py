"""The steps of a kept container's start and end, whoever started it: its plan is made once more from its options, which
gives the same one, and the times are in its folder."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING

from kernelbox.engine import starting
from kernelbox.errors import InvalidOption
from kernelbox.native import lib
from kernelbox.runtime.connection import NOTHING, Answer
from kernelbox.runtime.launch import rows_of
from kernelbox.runtime.trace import TraceRow

if TYPE_CHECKING:
    from kernelbox.engine.container import Container

__all__ = ["trace"]

_KINDS = ("all", "start", "stop", "remove")


def trace(container: Container, what: str) -> tuple[TraceRow, ...]:
    """See Container.trace."""
    if what not in _KINDS:
        raise InvalidOption(f"{what!r} cannot be explained", hint=f"there are: {', '.join(_KINDS)}")
    if what == "remove":
        return container.removal
    answers: list[Answer] = []
    started, ended = container.folder.trace(), container.folder.exit()
    if started and what in ("all", "start"):
        answers.append(dataclasses.replace(NOTHING, kind=lib.KB_STARTED, traced=started))
    if ended and what in ("all", "stop"):
        answers.append(ended)
    if not answers:
        return ()
    notes, ranges = container.folder.start_notes(), container.box.opened().ranges
    with ranges.named(notes.id_range) if notes.id_range >= 0 else contextlib.nullcontext() as ids:
        record = container.record if notes.options is None else container.record.changed(options=notes.options)
        image, options = container.box.images.of(record), starting.options_of(record)
        ready = starting.planned(container.box, record, image, options, ids, beside=notes.beside)
        return rows_of(ready.encoded, answers)
