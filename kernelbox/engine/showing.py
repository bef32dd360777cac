"""Kept containers as a person sees them: a table in a notebook, trusted or not, and the same as text elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from kernelbox.engine.inspect import summary
from kernelbox.engine.observing import known
from kernelbox.engine.status import ago
from kernelbox.errors import ContainerNotFound

if TYPE_CHECKING:
    from kernelbox.engine.container import Container

__all__ = ["ContainerList", "html_of", "mimebundle", "text_of"]

_HEAD = ("name", "image", "command", "status", "created", "id")
_LONGEST_COMMAND = 40
_GONE = "Removed"


class ContainerList(list["Container"]):
    """A list of containers that shows itself as a table."""

    def __str__(self) -> str:
        return text_of(_rows(self))

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # IPython prints lists in its own way otherwise
        printer.text(text_of(_rows(self, look=True)))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return mimebundle(self)


def mimebundle(containers: Iterable[Container]) -> dict[str, str]:
    """For a notebook: how they are now, as a table of text and as one of HTML."""
    rows = _rows(containers, look=True)
    return {"text/plain": text_of(rows), "text/html": html_of(rows)}


def text_of(rows: Sequence[Sequence[str]], head: Sequence[str] = _HEAD) -> str:
    """Columns with two blanks between them, under a head."""
    table = [head, *rows]
    widths = [max(len(row[at]) for row in table) for at in range(len(head))]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in table)


def html_of(rows: Sequence[Sequence[str]], head: Sequence[str] = _HEAD) -> str:
    """The same; only what notebooks keep of an output that they do not trust."""
    body = "".join(f"<tr>{_cells('td', row)}</tr>" for row in rows)
    return f"<table><tr>{_cells('th', head)}</tr>{body}</table>"


def _cells(tag: str, texts: Iterable[str]) -> str:
    return "".join(f'<{tag} style="text-align:left">{escape(text)}</{tag}>' for text in texts)


def _rows(containers: Iterable[Container], *, look: bool = False) -> list[tuple[str, ...]]:
    now = time.time()
    return [_row(each, now, look=look) for each in containers]


def _row(container: Container, now: float, *, look: bool) -> tuple[str, ...]:
    gone = False
    if look and not container.box.closed:
        try:
            container.reload()
        except ContainerNotFound:
            gone = True
    record = container.record
    shown = summary(record, now, known=known(container))
    command = str(shown["Command"])
    return (
        record.name,
        record.image,
        command if len(command) <= _LONGEST_COMMAND else f"{command[: _LONGEST_COMMAND - 1]}…",
        _GONE if gone else str(shown["Status"]),
        ago(record.created_at, now),
        record.short_id,
    )
