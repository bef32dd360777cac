"""A layer's content on its way to whoever makes a file system of it: read, checked, decompressed and hashed here, a
piece at a time, and written to a pipe. Nothing of it is believed before the last byte was right."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import BinaryIO

from kernelbox.errors import InvalidContent
from kernelbox.linux.descriptor import Descriptor
from kernelbox.oci import media_types
from kernelbox.oci.descriptor import Descriptor as Content
from kernelbox.oci.digest import Digest
from kernelbox.oci.value import frozen
from kernelbox.store.blobs import Blobs
from kernelbox.store.layer_content import Bounded, Bounds, Hashing, decompressed

__all__ = ["LayerSource", "Unpack", "Unpacked", "unpack_from"]

_CHUNK = 1 << 19
_PIPE = 1 << 20


@frozen
class LayerSource:
    """Where a layer comes from: `open` gives it from its start, as it was moved; its digest, size and compression (the
    words of `media_types.LAYERS`) where they are known."""

    open: Callable[[], BinaryIO]
    digest: Digest | None = None
    size: int | None = None
    compression: str | None = None

    @classmethod
    def of(cls, blobs: Blobs, content: Content) -> LayerSource:
        """A layer that is in the store. Raises InvalidContent for what is no layer."""
        compression = media_types.LAYERS.get(content.media_type)
        if compression is None:
            raise InvalidContent(f"{content.digest} is no layer but {content.media_type!r}")
        return cls(lambda: blobs.open(content.digest), content.digest, content.size, compression)


@frozen
class Unpacked:
    """What was made of a layer: how many `entries` its tar has, the bytes of their content, and how often something was
    left out that this store cannot hold ("devices_left": 2)."""

    entries: int
    size: int
    left: Mapping[str, int] = field(default_factory=dict)


Unpack = Callable[[int, int], Unpacked]
"""Makes a file system, in the first descriptor, of the tar that is read from the second, until its end or an error:
InvalidContent, KernelError. Neither descriptor is its own. It runs in a thread of its own, without the interpreter."""

Progress = Callable[[int], object]
"""Is told how many bytes have been read, as they were moved; what it raises ends the work."""


def unpack_from(
    source: LayerSource,
    diff_id: Digest,
    unpack: Unpack,
    target: int,
    *,
    bounds: Bounds,
    folder: Path,
    progress: Progress | None = None,
) -> Unpacked:
    """Has `unpack` make a file system in `target`, which is below `folder`. Raises InvalidContent where the tar is not
    that of `diff_id` or its content not that of `source`, what `unpack` raises, StoreError; what is in `target` is then
    worth nothing."""
    with source.open() as file:
        # What is not compressed has its diff_id for a digest, and is hashed once.
        algorithm = source.digest.algorithm if source.digest is not None and source.digest != diff_id else ""
        moved = Hashing(file, algorithm)
        tar = Hashing(Bounded(decompressed(moved, source.compression), moved, bounds, folder), diff_id.algorithm)
        result = _through_pipe(tar, moved, unpack, target, progress)
        moved.check(source.digest, f"the layer {source.digest or diff_id}", source.size)
        tar.check(diff_id, f"the content of the layer {source.digest or diff_id}")
    if isinstance(result, BaseException):
        raise result
    return result


def _through_pipe(
    tar: Hashing, moved: Hashing, unpack: Unpack, target: int, progress: Progress | None
) -> Unpacked | BaseException:
    """Until both ends are through with it. Where `unpack` finds fault with it the rest is read all the same: that the
    content is damaged is the better reason."""
    with _running(unpack, target) as (pipe, outcome):
        while piece := tar.read(_CHUNK):
            if pipe.is_open:
                pipe.write(piece)
            elif isinstance(outcome[0], BaseException) and not isinstance(outcome[0], InvalidContent):
                raise outcome[0]
            if progress is not None:
                progress(moved.size)
    return outcome[0]


class _Pipe:
    def __init__(self, end: Descriptor) -> None:
        self._end = end
        self.is_open = True

    def write(self, piece: bytes) -> None:
        left = memoryview(piece)
        try:
            while left:
                left = left[os.write(self._end.fileno(), left) :]
        except BrokenPipeError:  # it needs no more, or has failed
            self.is_open = False


@contextlib.contextmanager
def _running(unpack: Unpack, target: int) -> Iterator[tuple[_Pipe, list[Unpacked | BaseException]]]:
    """A thread that unpacks what is written to the pipe, and how that ended: certain after the block."""
    reading, writing = map(Descriptor, os.pipe2(os.O_CLOEXEC))
    with contextlib.suppress(OSError):  # the user's pipes may have come to their bound
        fcntl.fcntl(writing.fileno(), fcntl.F_SETPIPE_SZ, _PIPE)
    outcome: list[Unpacked | BaseException] = []

    def run() -> None:
        with reading:
            try:
                outcome.append(unpack(target, reading.fileno()))
            except BaseException as error:
                outcome.append(error)

    thread = threading.Thread(target=run, name="kernelbox-unpack", daemon=True)
    try:
        thread.start()
    except BaseException:
        reading.close()
        writing.close()
        raise
    try:
        with writing:
            yield _Pipe(writing), outcome
    finally:
        thread.join()
