"""Images as a person sees them: a table in a notebook, trusted or not, and the same as text elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from kernelbox.engine.showing import html_of, text_of
from kernelbox.engine.status import ago
from kernelbox.oci.units import format_size

if TYPE_CHECKING:
    import pandas as pd

    from kernelbox.engine.image import Image
    from kernelbox.engine.layer_picture import LayerPicture

__all__ = ["ImageList"]

_HEAD = ("name", "id", "created", "size", "platform", "layers")


class ImageList(list["Image"]):
    """A list of images that shows itself as a table: a row for each name."""

    def __str__(self) -> str:
        return text_of(self._rows(), _HEAD)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # IPython prints lists in its own way otherwise
        printer.text(str(self))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": html_of(self._rows(), _HEAD)}

    def picture(self) -> LayerPicture:
        """Which of them share which layers. Raises NotSupported for images that no store has."""
        from kernelbox.engine.layer_picture import picture

        return picture(self)

    def frame(self) -> pd.DataFrame:
        """A DataFrame with a row for each name; `size_bytes` are those of the layers on this disk."""
        from kernelbox.metrics.frame import images_frame

        return images_frame(self)

    def _rows(self) -> list[tuple[str, ...]]:
        now = time.time()
        return [
            (
                name,
                image.short_id,
                ago(image.created_at, now) if image.created_at else "",
                format_size(image.size),
                image.platform,
                str(len(image.layers)),
            )
            for image in self
            for name in image.tags or ("<none>",)
        ]
