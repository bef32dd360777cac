"""How far a pull or a push is, as values for whoever shows it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeAlias

from kernelbox.oci.digest import Digest
from kernelbox.oci.value import frozen

__all__ = [
    "COMPLETE",
    "DOWNLOADING",
    "EXISTS",
    "MOUNTED",
    "UPLOADING",
    "WAITING",
    "Listener",
    "Progress",
    "in_turn",
    "nobody",
]

WAITING = "waiting"
DOWNLOADING = "downloading"
UPLOADING = "uploading"
COMPLETE = "complete"
EXISTS = "exists"
"""Where it was to go it is already: nothing was moved."""
MOUNTED = "mounted"
"""The registry has taken it from another of its repositories."""


@frozen
class Progress:
    """Of one blob: `status` is one of the words above, `current` and `total` are bytes, and `detail` is the repository
    that it was mounted from. A layer that is fetched once more after damage begins again at 0."""

    digest: Digest
    status: str
    current: int
    total: int
    detail: str = ""


Listener: TypeAlias = Callable[[Progress], None]


def nobody(_: Progress) -> None:
    """Listens to nothing."""


def in_turn(listener: Listener) -> Listener:
    """The same for several threads: it is called once at a time."""
    mutex = threading.Lock()

    def call(progress: Progress) -> None:
        with mutex:
            listener(progress)

    return call
