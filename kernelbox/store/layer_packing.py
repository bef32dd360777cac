"""A layer of our own on its way into the store: the tar that C writes to a pipe, hashed, compressed and kept."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable

from kernelbox.linux.descriptor import Descriptor
from kernelbox.oci import media_types
from kernelbox.oci.descriptor import Descriptor as Content
from kernelbox.oci.digest import Digest
from kernelbox.oci.value import frozen
from kernelbox.store.blobs import Blobs

__all__ = ["Packed", "pack"]

_CHUNK = 1 << 19
_LEVEL = 1
"""Of isal's four: layers are made while somebody waits, and the next levels save a twentieth."""
_GZIP = 31


@frozen
class Packed:
    """`content` is the blob, compressed with gzip, `diff_id` the digest of the tar in it."""

    content: Content
    diff_id: Digest


def pack(blobs: Blobs, write: Callable[[int], object]) -> Packed:
    """Keeps what `write`, in a thread of its own, writes to the descriptor that it is given. The same tar gives the
    same blob. Raises what `write` raises, StoreError; nothing is kept then."""
    from isal import isal_zlib

    reading, writing = map(Descriptor, os.pipe2(os.O_CLOEXEC))
    failures: list[BaseException] = []

    def run() -> None:
        with writing:
            try:
                write(writing.fileno())
            except BaseException as error:
                failures.append(error)

    thread = threading.Thread(target=run, name="kernelbox-pack", daemon=True)
    found, gzip = hashlib.sha256(), isal_zlib.compressobj(_LEVEL, wbits=_GZIP)
    with blobs.writer() as writer:
        with reading:  # closed before the thread is waited for: it ends when nobody reads
            thread.start()
            while piece := os.read(reading.fileno(), _CHUNK):
                found.update(piece)
                writer.write(gzip.compress(piece))
        thread.join()
        if failures:
            raise failures[0]
        writer.write(gzip.flush())
        size = writer.offset
        content = Content(media_types.LAYER_GZIP, writer.commit(), size)
    return Packed(content, Digest("sha256", found.hexdigest()))
