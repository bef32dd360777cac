"""A layer as one file: the image of an EROFS file system, which overlay takes as a lower layer once it is mounted
(kernelbox.linux.erofs). No file of the layer costs an inode of the disk, so it is there several times sooner.

What the image holds is what `layer_tree.unpack` makes of the same archive, ids as in the archive, and the same archives
are refused. The same archive gives the same bytes.

    >>> with open("layer.erofs", "w+b") as image, open("layer.tar", "rb") as tar:
    ...     write(image.fileno(), tar.fileno()).entries
    6012
"""

from __future__ import annotations

from kernelbox.native import lib
from kernelbox.store.layer_work import MOST_BYTES, MOST_ENTRIES, NATURAL, Facts, call, facts_of, refused

__all__ = ["write"]


def write(
    output: int,
    source: int,
    *,
    verified: bool = False,
    most_entries: int = MOST_ENTRIES,
    most_bytes: int = MOST_BYTES,
) -> Facts:
    """Writes the image of the tar that the descriptor `source` gives, to its end, to the regular file `output`, which
    is open for reading and writing; what was in that goes.

    `verified`: a digest of the archive is checked elsewhere, so that it may end without the mark for its end. Both
    descriptors stay the caller's. Memory is that of names: some 100 bytes an entry. Nothing is synchronised to disk;
    after an error, or an interrupt, the file is no image.

    Raises InvalidContent, which names the entry, also where that has more attributes than fit (256 KiB, of the root
    less than 3); KernelError where the machine refused (no space), or the image would have more than 16 TiB (EFBIG)."""
    flags = lib.KB_LAYER_END_OPTIONAL if verified else 0
    outcome, result = call(lib.kb_layer_erofs, source, output, flags, NATURAL, (most_entries, most_bytes))
    if outcome < 0:
        raise refused(outcome, result)
    return facts_of(result)
