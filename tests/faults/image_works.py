"""What is done with images, in a process that may be killed at any of its system calls: `python image_works.py ...`.

STORE WORK          does it
STORE WORK NUMBER   is killed just before its NUMBER-th call of those that change something on the disk, or of SQLite

Each thing is said when it is done; at the end how many such calls there were.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from unit.store.images_made import ALONE, APP, BASE, TOOL, images_in, prepared

from kernelbox.oci import reference
from kernelbox.oci.digest import Digest
from kernelbox.store.image_store import ImageStore
from kernelbox.store.paths import StorePaths
from kernelbox.store.state import StateFile

CALLS = frozenset(
    {"open", "mkdir", "rename", "unlink", "write", "fsync", "ftruncate", "flock", "execute", "executemany", "kb_syncfs"}
)
DOWNLOAD = bytes(range(256)) * 400


class Killer:
    """Counts the calls of every thread, and kills the process before one of them."""

    def __init__(self, at: int) -> None:
        self._at = at
        self.count = 0

    def start(self) -> None:
        threading.setprofile(self._see)
        sys.setprofile(self._see)

    def stop(self) -> None:
        threading.setprofile(None)
        sys.setprofile(None)

    def _see(self, frame: FrameType, event: str, what: object) -> None:
        if event == "c_call" and getattr(what, "__name__", "") in CALLS:
            self.count += 1
            if self.count == self._at:
                os.kill(os.getpid(), signal.SIGKILL)


def say(*words: str) -> None:
    os.writev(1, [" ".join(words).encode() + b"\n"])


def put(images: ImageStore) -> None:
    for content in (b"one", b"two"):
        say("blob", str(images.blobs.put(content)))


def download(images: ImageStore) -> None:
    """Broken off once."""
    digest = Digest.of(DOWNLOAD)
    with images.blobs.partial(digest, len(DOWNLOAD)) as writer:
        writer.write(DOWNLOAD[writer.offset : writer.offset + 50_000])
    with images.blobs.partial(digest, len(DOWNLOAD)) as writer:
        writer.write(DOWNLOAD[writer.offset :])
        say("blob", str(writer.commit()))


def ensure(images: ImageStore) -> None:
    with images.lease() as lease:
        lease.keep(APP.blobs, APP.chain)
        APP.moved_to(images)
        for layer in APP.unpacked_in(images):
            say("layer", str(layer.chain_id))


def add(images: ImageStore) -> None:
    for made, name in ((APP, "app"), (TOOL, "tool"), (APP, "app:2")):
        made.added_to(images, name, action="pull")
        say("image", name, made.id)


def remove(images: ImageStore) -> None:
    images.remove("app")
    say("gone", "app")
    images.remove(TOOL.id, force=True)
    say("gone", TOOL.id)


def prune(images: ImageStore) -> None:
    images.tag(ALONE.id, reference.parse("tool"))
    say("image", "tool", ALONE.id)
    images.prune()
    say("gone", TOOL.id)
    images.prune(lambda image: image.id == APP.id, all=True)
    say("gone", "app")
    images.collect()


WORKS: dict[str, Callable[[ImageStore], None]] = {
    work.__name__: work for work in (put, download, ensure, add, remove, prune)
}
BEFORE = {"remove": (APP, TOOL), "prune": (APP, TOOL, ALONE)}
"""What is there beside the base when it begins."""
NAMES = {APP.id: "app", TOOL.id: "tool", ALONE.id: "alone"}


def prepare(root: Path, work: str) -> None:
    """A store in which the work can be done."""
    paths = prepared(root)
    state = StateFile(paths.state)
    images = images_in(paths, state, [])
    BASE.added_to(images, "base")
    for made in BEFORE.get(work, ()):
        made.added_to(images, NAMES[made.id])
    state.close()


def main(root: str, work: str, at: str = "0") -> None:
    paths = StorePaths.of(root)
    state = StateFile(paths.state)
    images, killer = images_in(paths, state, []), Killer(int(at))
    killer.start()
    WORKS[work](images)
    killer.stop()
    state.close()
    say("calls", str(killer.count))


if __name__ == "__main__":
    main(*sys.argv[1:])
