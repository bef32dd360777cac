"""A layer as a folder: its tar unpacked into what overlay takes as a lower layer, and an upper folder's tar.

The work is done in C, without the interpreter's lock, in a thread of its own: an interrupt stops it between two reads.
What an archive says is believed within bounds only, and whatever it says, nothing beside the folder is touched.

    >>> with Descriptor(os.open("layer", os.O_RDONLY | os.O_DIRECTORY)) as folder, open("layer.tar", "rb") as tar:
    ...     unpack(folder.fileno(), tar.fileno()).entries
    6012
"""

from __future__ import annotations

import errno
from typing import Any

from kernelbox.errors import InvalidContent, KernelBoxError, KernelError, NotSupported, StoreError
from kernelbox.native import lib
from kernelbox.store.layer_work import (
    FAULTS,
    MOST_BYTES,
    MOST_ENTRIES,
    NATURAL,
    Facts,
    Owners,
    call,
    facts_of,
    name_in,
    refused,
)

__all__ = ["MOST_BYTES", "MOST_ENTRIES", "NATURAL", "Facts", "Owners", "diff", "unpack"]


def unpack(
    root: int,
    source: int,
    *,
    rootless: bool = False,
    owners: Owners = NATURAL,
    verified: bool = False,
    most_entries: int = MOST_ENTRIES,
    most_bytes: int = MOST_BYTES,
) -> Facts:
    """Unpacks the tar that the descriptor `source` gives, to its end, into the empty folder of the descriptor `root`.

    `rootless`: for overlays with "userxattr", and without devices. `verified`: a digest of the archive is checked
    elsewhere, so that it may end without the mark for its end, as some programs write it. Both descriptors stay the
    caller's. Nothing is synchronised to disk; after an error, or an interrupt, the folder has what was done till then.

    Raises InvalidContent, which names the entry; KernelError where the machine refused (no space, no right)."""
    flags = _flags(rootless, owners) | (lib.KB_LAYER_END_OPTIONAL if verified else 0)
    outcome, result = call(lib.kb_layer_apply, root, source, flags, owners, (most_entries, most_bytes))
    if outcome < 0:
        raise refused(outcome, result)
    return facts_of(result)


def diff(
    upper: int, target: int, *, rootless: bool = False, owners: Owners = NATURAL, with_root: bool = False
) -> Facts:
    """Writes the tar of the layer that an overlay's upper folder makes to the descriptor `target`; the same tree gives
    the same bytes. Deleted names and replaced folders become whiteouts; sockets are left out.

    `rootless`: the overlay was mounted with "userxattr". `with_root`: the folder itself has an entry. Both descriptors
    stay the caller's.

    Raises InvalidContent for a name that an archive cannot have, NotSupported for what overlay renamed, StoreError
    where something changed meanwhile, KernelError (EPIPE where nobody reads `target` any more)."""
    flags = _flags(rootless, owners) | (lib.KB_LAYER_WITH_ROOT if with_root else 0)
    outcome, result = call(lib.kb_layer_diff, upper, target, flags, owners, (MOST_ENTRIES, MOST_BYTES))
    if outcome < 0:
        raise _unwritten(outcome, result)
    return facts_of(result)


def _flags(rootless: bool, owners: Owners) -> int:
    return int((lib.KB_LAYER_ROOTLESS if rootless else 0) | (lib.KB_LAYER_ONE_OWNER if owners.one else 0))


def _unwritten(outcome: int, result: Any) -> KernelBoxError:
    name = name_in(result) or "the root"
    if outcome != -errno.EBADMSG or result.fault not in FAULTS:
        return KernelError(-outcome, "write", f"{name} to the archive of a layer")
    sentence = f"{name} cannot be written to the archive of a layer: {FAULTS[result.fault]}"
    if result.fault == lib.KB_FAULT_CHANGED:
        return StoreError(sentence, hint="pause the container for as long as it takes")
    return NotSupported(sentence) if result.fault == lib.KB_FAULT_MARK else InvalidContent(sentence)
