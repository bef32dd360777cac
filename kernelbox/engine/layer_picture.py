"""Which images share which layers, as a picture: a table with a column for each image, and a row for each layer."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from kernelbox.engine.showing import text_of
from kernelbox.oci.units import format_size
from kernelbox.oci.value import frozen

if TYPE_CHECKING:
    from kernelbox.engine.image import Image

__all__ = ["LayerPicture", "LayerRow", "picture"]

_HAS, _HAS_NOT = "█", "·"
_CELL = "text-align:center"
_SHARED = "text-align:center;background-color:#0072B2;color:#ffffff"
"""Colours that are read on a light and on a dark page; the blocks say the same without them."""


@frozen
class LayerRow:
    """One layer as it lies here: its chain id, its bytes, and for each image whether that has it."""

    chain_id: str
    size: int
    images: tuple[bool, ...]

    @property
    def shared(self) -> bool:
        return sum(self.images) > 1


@frozen
class LayerPicture:
    """Draws itself in a notebook, trusted or not, and as text elsewhere. `rows` has the lowest layers first."""

    names: tuple[str, ...]
    rows: tuple[LayerRow, ...]

    @property
    def kept(self) -> int:
        """The bytes on the disk, where each layer is once."""
        return sum(row.size for row in self.rows)

    @property
    def saved(self) -> int:
        """The bytes that there would be more, if no image shared a layer."""
        return sum(row.size * (sum(row.images) - 1) for row in self.rows)

    def sentence(self) -> str:
        shared = sum(row.shared for row in self.rows)
        return (
            f"{_counted(len(self.names), 'image')} of {_counted(len(self.rows), 'layer')}, {shared} of them shared: "
            f"{format_size(self.kept)} on the disk, {format_size(self.saved)} saved"
        )

    def __str__(self) -> str:
        rows = [(_short(row.chain_id), format_size(row.size), *map(_mark, row.images)) for row in self.rows]
        return "\n".join([self.sentence(), text_of(rows, ("layer", "size", *self.names))])

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self._html()}

    def _html(self) -> str:
        head = "".join(f"<th>{escape(each)}</th>" for each in ("layer", "size", *self.names))
        body = "".join(map(_html_row, self.rows))
        return f"<p>{escape(self.sentence())}</p><table><tr>{head}</tr>{body}</table>"


def picture(images: Sequence[Image]) -> LayerPicture:
    """Of images of the store. Raises NotSupported for what no store has."""
    sizes: dict[str, int] = {}
    owned: list[set[str]] = []
    for image in images:
        layers = image.known.images.store.layers_of(image.known.record)
        sizes.update({str(layer.chain_id): layer.size for layer in layers})
        owned.append({str(layer.chain_id) for layer in layers})
    names = tuple(image.tags[0] if image.tags else image.short_id for image in images)
    rows = (LayerRow(chain, size, tuple(chain in each for each in owned)) for chain, size in sizes.items())
    return LayerPicture(names, tuple(rows))


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _short(digest: str) -> str:
    return digest.partition(":")[2][:12]


def _mark(has: bool) -> str:
    return _HAS if has else _HAS_NOT


def _html_row(row: LayerRow) -> str:
    style = _SHARED if row.shared else _CELL
    marks = "".join(f'<td style="{style if has else _CELL}">{_mark(has)}</td>' for has in row.images)
    return f"<tr><td>{_short(row.chain_id)}</td><td>{format_size(row.size)}</td>{marks}</tr>"
