"""One blob on its way here from another registry, and everybody here who waits for it: they get what has come while the
rest is coming.

What they get first is not verified yet. Where it turns out to be something else in the end, the last bytes are missing
to them, as those of any broken connection, and nothing of it is kept.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Executor

from kernelbox.linux.descriptor import Descriptor as File
from kernelbox.oci.descriptor import Descriptor
from kernelbox.registry.server import records
from kernelbox.registry.server.call import in_thread
from kernelbox.registry.server.storage import Storage

__all__ = ["Fetch"]

_PIECE = 1 << 18
_READ = os.O_RDONLY | os.O_CLOEXEC


class Fetch:
    """For one event loop. `source` gives what follows so many bytes of the blob; it is called in a thread."""

    def __init__(
        self, storage: Storage, repository: str, blob: Descriptor, source: Callable[[int], Iterator[bytes]]
    ) -> None:
        self.blob = blob
        self._storage = storage
        self._repository = repository
        self._source = source
        self._loop = asyncio.get_running_loop()
        self._more = asyncio.Event()
        self._come = 0
        self._file: File | None = None
        self._readers = 0
        self._task: asyncio.Future[None] | None = None

    def start(self, threads: Executor, ended: Callable[[], object]) -> None:
        """`ended` is called when all is here, or nothing more will come."""
        self._task = asyncio.ensure_future(self._loop.run_in_executor(threads, self._fetch))
        self._task.add_done_callback(lambda _: ended())
        self._task.add_done_callback(self._end)

    async def wait(self) -> None:
        """Until it is all here. Raises what went wrong."""
        assert self._task is not None
        await asyncio.shield(self._task)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """From the start, as they come. Raises what went wrong."""
        sent = 0
        self._readers += 1
        try:
            while sent < self.blob.size:
                if self._come <= sent or self._file is None:
                    await self._wait_for_more()
                    continue
                piece = await in_thread(os.pread, self._file.fileno(), min(_PIECE, self._come - sent), sent)
                sent += len(piece)
                if sent == self.blob.size or not piece:
                    await self.wait()
                yield piece
        finally:
            self._readers -= 1
            self._close_if_unused()

    async def _wait_for_more(self) -> None:
        assert self._task is not None
        if self._task.done():
            self._task.result()
            raise ConnectionResetError("the other registry has sent less than it has said")
        await self._more.wait()

    def _fetch(self) -> None:
        """In a thread."""
        blobs, digest = self._storage.blobs, self.blob.digest
        with blobs.partial(digest, self.blob.size) as writer:
            self._file = File(os.open(blobs.path(digest), _READ)) if writer.found else writer.reading()
            self._tell(self.blob.size if writer.found else writer.offset)
            if not writer.found:
                for piece in self._source(writer.offset):
                    writer.write(piece)
                    self._tell(writer.offset)
            with self._storage.state.transaction() as cursor:
                writer.commit()
                records.add_blob(cursor, self._repository, digest, self.blob.size)

    def _tell(self, come: int) -> None:
        self._come = come
        self._loop.call_soon_threadsafe(self._say_more)

    def _say_more(self) -> None:
        self._more.set()
        self._more = asyncio.Event()

    def _end(self, task: asyncio.Future[None]) -> None:
        if not task.cancelled():
            task.exception()  # is for those who read; where nobody does, nobody needs to know
        self._say_more()
        self._close_if_unused()

    def _close_if_unused(self) -> None:
        if self._file is not None and not self._readers and self._task is not None and self._task.done():
            self._file.close()
