"""The calls into C that make something of a layer, or a layer of something, and what went wrong in words. They run in a
thread of their own, which an interrupt stops between two reads."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from kernelbox.errors import InvalidContent, KernelBoxError, KernelError
from kernelbox.linux.descriptor import Descriptor
from kernelbox.linux.idmap import IdRange
from kernelbox.native import ffi, lib
from kernelbox.oci.value import frozen

__all__ = [
    "FAULTS",
    "MOST_BYTES",
    "MOST_ENTRIES",
    "NATURAL",
    "Facts",
    "Owners",
    "call",
    "facts_of",
    "name_in",
    "refused",
]

MOST_ENTRIES = 999_999
"""Of one layer."""
MOST_BYTES = 1 << 37
"""Of all content in one layer, without holes."""


@frozen
class Owners:
    """Whose files are on disk. An archive has the natural ids: root is 0. Ranges say what they are on disk where those
    cannot be written, ids without a range becoming the caller's; `one`: everything is the caller's."""

    users: tuple[IdRange, ...] = ()
    groups: tuple[IdRange, ...] = ()
    one: bool = False


NATURAL = Owners()


@frozen
class Facts:
    """What was done, and what of it is not as it was said: left out or changed, each counted."""

    entries: int
    bytes: int
    xattrs_left_out: int
    """Extended attributes other than "user." ones and file capabilities, and those that could not be set here."""
    devices_left_out: int
    sockets_left_out: int
    owners_folded: int
    """Entries whose owner or group has become another for want of an id."""
    folders_implied: int
    """Folders that have no entry of their own: root's, mode 0755."""


def _ranges(ranges: Sequence[IdRange]) -> Any:
    return ffi.new("struct kb_id_range[]", [(each.inside, each.outside, each.count) for each in ranges])


def call(
    function: Callable[..., int], first: int, second: int, flags: int, owners: Owners, most: tuple[int, int]
) -> tuple[int, Any]:
    """Calls `function` of the library with two descriptors; its outcome, and the `struct kb_layer_result`. `most` is
    how many entries, and bytes of content."""
    result = ffi.new("struct kb_layer_result *")
    uids, gids = _ranges(owners.users), _ranges(owners.groups)
    reader, writer = os.pipe2(os.O_CLOEXEC)
    with Descriptor(reader), Descriptor(writer) as stop:
        options = ffi.new(
            "struct kb_layer_options *",
            (flags, reader, *most, uids, gids, len(owners.users), len(owners.groups)),
        )
        outcome = _interruptible(lambda: function(first, second, options, result), stop)
    return outcome, result


def _interruptible(function: Callable[[], int], stop: Descriptor) -> int:
    """What `function` returns from a thread. An exception here closes `stop`, which ends the function soon; it never
    runs on behind our back."""
    turn, outcome, done = [True], [-errno.ECANCELED], threading.Event()

    def take_turn() -> bool:
        with suppress(IndexError):
            return turn.pop()
        return False

    def work() -> None:
        try:
            if take_turn():
                outcome[0] = function()
        finally:
            done.set()

    try:
        threading.Thread(target=work, name="layer", daemon=True).start()
        done.wait()  # not join(), which before Python 3.13 takes an interrupt for the thread's end
    finally:
        stop.close()
        while not take_turn() and not done.is_set():
            with suppress(KeyboardInterrupt):  # one is on its way up already
                done.wait()
    return outcome[0]


def facts_of(result: Any) -> Facts:
    return Facts(
        entries=result.entries,
        bytes=result.bytes,
        xattrs_left_out=result.xattrs_left,
        devices_left_out=result.devices_left,
        sockets_left_out=result.sockets_left,
        owners_folded=result.owners_folded,
        folders_implied=result.parents_made,
    )


FAULTS = {
    lib.KB_FAULT_ENDS_EARLY: "the archive ends too early",
    lib.KB_FAULT_HEADER: "there is no tar header where one should be",
    lib.KB_FAULT_NUMBER: "a number in its header is none, or impossible",
    lib.KB_FAULT_NAME: "its name is empty, has a NUL in it, or is too long for a path or for a name in it",
    lib.KB_FAULT_DOTS: 'its name, or the one that it links to, has ".." in it',
    lib.KB_FAULT_DEPTH: "folders lie in each other deeper than 256 levels",
    lib.KB_FAULT_LINK: "what it links to is empty, has a NUL in it, or is too long",
    lib.KB_FAULT_KIND: "it is of an unknown kind",
    lib.KB_FAULT_RECORDS: "its extended headers make no sense, or are too large or too many",
    lib.KB_FAULT_SPARSE: "what is said of its holes makes no sense",
    lib.KB_FAULT_ROOT: "the root of a layer can only be a folder",
    lib.KB_FAULT_WHITEOUT: 'names that begin with ".wh." are for whiteouts, and this is none',
    lib.KB_FAULT_ENTRIES: "there are too many entries",
    lib.KB_FAULT_BYTES: "the contents are too large in all",
    lib.KB_FAULT_THROUGH: "its path leads through what is no folder of this layer",
    lib.KB_FAULT_TARGET: "it is a hard link to what is no file of this layer",
    lib.KB_FAULT_CHANGED: "it changed while it was read",
    lib.KB_FAULT_MARK: "overlay itself renamed it, or keeps something of it elsewhere",
}


def name_in(result: Any) -> str:
    """Of the entry in trouble, shown as it is written in Python, for it may hold what a terminal would obey."""
    name = ffi.string(result.name)
    shortened = "..." if len(name) == len(result.name) - 1 else ""
    return f"{name.decode('utf-8', 'backslashreplace')!r}{shortened}" if name else ""


def refused(outcome: int, result: Any) -> KernelBoxError:
    """Why an archive was not taken."""
    name = name_in(result)
    if outcome != -errno.EBADMSG or result.fault not in FAULTS:
        return KernelError(-outcome, "unpack", f"{name or 'the end'} of a layer")
    at = f"at entry {result.entries}, {name}" if name else f"after {result.entries} entries"
    return InvalidContent(f"the layer is damaged or hostile: {at}: {FAULTS[result.fault]}")
