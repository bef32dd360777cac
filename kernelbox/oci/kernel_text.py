"""What text the kernel can be given: bytes without NUL, which it takes for the end."""

from __future__ import annotations

__all__ = ["unwritable"]


def unwritable(text: str) -> str | None:
    """What is in `text` that cannot be written as bytes for the kernel, or None. File names that are no UTF-8 can: they
    are the half characters that os.fsdecode makes of them."""
    if "\0" in text:
        return "a NUL character"
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return "half a character (a lone surrogate)"
    return None
