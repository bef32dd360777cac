"""A short table of words, shown whole: DataFrames cut long text, and a command that mends a machine must not be cut."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape


class Report:
    """Rows of text under a head: aligned text in a terminal, a table in a notebook, trusted or not.

    `html` is a richer table of the same rows."""

    def __init__(self, head: Sequence[str], rows: Sequence[Sequence[str]], html: str = "") -> None:
        self.head = tuple(head)
        self.rows = tuple(tuple(row) for row in rows)
        self._html = html

    def __repr__(self) -> str:
        table = [self.head, *self.rows]
        widths = [max(len(row[at]) for row in table) for at in range(len(self.head))]
        return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in table)

    def _repr_html_(self) -> str:
        if self._html:
            return self._html
        rows = "".join(f"<tr>{_cells('td', row)}</tr>" for row in self.rows)
        return f"<table><tr>{_cells('th', self.head)}</tr>{rows}</table>"


def _cells(tag: str, texts: Sequence[str]) -> str:
    return "".join(f'<{tag} style="text-align:left">{escape(text)}</{tag}>' for text in texts)
