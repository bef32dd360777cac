"""Uploads: begun, gone on with, finished, given up; and blobs that are mounted instead (distribution-spec v1.1, end-4,
5, 6, 11, 13 and 14)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiohttp import web

from kernelbox.errors import RegistryError
from kernelbox.oci.digest import ALGORITHMS, Digest
from kernelbox.registry.server import bodies
from kernelbox.registry.server.call import Call, in_thread
from kernelbox.registry.server.failures import answer_for, refusal
from kernelbox.registry.server.target import Target, digest_of
from kernelbox.registry.server.uploads import Busy, Upload

__all__ = ["append", "begin", "cancel", "finish", "status"]

_TRIES, _PAUSE_S = 50, 0.1
"""For an upload whose last writer may not have noticed yet that its client has gone."""


async def begin(call: Call) -> web.StreamResponse:
    """A new upload; with `digest` the whole blob is in the body; with `mount` none may be needed."""
    if call.asked("mount"):
        mounted = digest_of(call.asked("mount"))
        if await _mount(call, mounted):
            return _created(call.repository, mounted)
    wanted = call.asked("digest")
    digest = digest_of(wanted) if wanted else None
    algorithm = digest.algorithm if digest else call.asked("digest-algorithm", "sha256")
    if algorithm not in ALGORITHMS:
        raise refusal("DIGEST_INVALID", f"no digests of the kind {algorithm[:40]!r}", hint=" or ".join(ALGORITHMS))
    name = await in_thread(call.storage.uploads.begin, call.repository, algorithm)
    if digest is None:
        return _accepted(Target("upload", call.repository, name), 0)
    async with _opened(call, name) as upload:
        try:
            await _receive(call, upload, None)
            await in_thread(call.storage.keep, upload, call.repository, digest)
        except BaseException:  # nobody knows its name, so that nobody could go on with it
            upload.remove()
            raise
    return _created(call.repository, digest)


async def append(call: Call) -> web.StreamResponse:
    """The next chunk. What has come of one that breaks off stays."""
    async with _opened(call, call.target.reference) as upload:
        try:
            await _receive(call, upload, bodies.content_range(call.request))
        except RegistryError as error:
            return _refused(error, call.target, upload)
        return _accepted(call.target, upload.offset)


async def finish(call: Call) -> web.StreamResponse:
    """The last chunk, or nothing more: the upload becomes the blob that it is said to be."""
    digest = digest_of(call.asked("digest"))
    async with _opened(call, call.target.reference) as upload:
        try:
            await _receive(call, upload, bodies.content_range(call.request))
        except RegistryError as error:
            return _refused(error, call.target, upload)
        await in_thread(call.storage.keep, upload, call.repository, digest)
    return _created(call.repository, digest)


async def status(call: Call) -> web.StreamResponse:
    """How much has come."""
    size = await in_thread(call.storage.uploads.size, call.target.reference, call.repository)
    if size is None:
        raise _unknown(call.target.reference)
    answer = _accepted(call.target, size)
    answer.set_status(204)
    return answer


async def cancel(call: Call) -> web.StreamResponse:
    """There is no such upload any more."""
    async with _opened(call, call.target.reference) as upload:
        upload.remove()
    return web.Response(status=204)


async def _mount(call: Call, digest: Digest) -> bool:
    """From the repository that is named, or from any; only from those where the client may read it."""
    source = call.asked("from")
    named = [source] if source else await in_thread(call.storage.holders, digest)
    sources = [each for each in named if call.may("pull", each)]
    return await in_thread(call.storage.mount, call.repository, digest, sources)


@contextlib.asynccontextmanager
async def _opened(call: Call, name: str) -> AsyncIterator[Upload]:
    """Ours until the block ends. Raises the refusals BLOB_UPLOAD_UNKNOWN, TOOMANYREQUESTS."""
    for _ in range(_TRIES):
        with contextlib.suppress(Busy):
            upload = await in_thread(call.storage.uploads.open, name, call.repository)
            break
        await asyncio.sleep(_PAUSE_S)
    else:
        raise refusal("TOOMANYREQUESTS", "somebody else writes to this upload", hint="go on when they have ended")
    if upload is None:
        raise _unknown(name)
    with upload:
        yield upload


async def _receive(call: Call, upload: Upload, said: bodies.Range | None) -> None:
    """The body, behind what is there. Raises a refusal where it is not what `said` says that it is, and then nothing of
    it stays."""
    before = upload.offset
    if said and said.start != before:
        raise refusal("BLOB_UPLOAD_INVALID", f"the next byte is {before}, not {said.start}", status=416)
    async for piece in _pieces(call, upload):
        if said and upload.offset + len(piece) > said.end + 1:
            await in_thread(upload.truncate, before)
            raise refusal("SIZE_INVALID", f"the body is longer than the {said.length} bytes that its range has")
        await in_thread(upload.write, piece)
    if said and upload.offset != said.end + 1:
        await in_thread(upload.truncate, before)
        raise refusal("SIZE_INVALID", f"the body is shorter than the {said.length} bytes that its range has")


async def _pieces(call: Call, upload: Upload) -> AsyncIterator[bytes]:
    """What has come of a body that breaks off stays, but for a single byte: in the words of the specification an upload
    of one byte has the range 0-0, and so has an empty one."""
    try:
        async for piece in bodies.pieces(call.request):
            yield piece
    except ConnectionError:
        if upload.offset == 1:
            await in_thread(upload.truncate, 0)
        raise


def _accepted(target: Target, size: int) -> web.Response:
    return web.Response(status=202, headers=_headers(target, size))


def _refused(error: RegistryError, target: Target, upload: Upload) -> web.Response:
    """With where it can be gone on with."""
    answer = answer_for(error)
    answer.headers.update(_headers(target, upload.offset))
    return answer


def _headers(target: Target, size: int) -> dict[str, str]:
    return {
        "Location": target.path,
        "Range": f"0-{max(size - 1, 0)}",
        "Docker-Upload-UUID": target.reference,
    }


def _created(repository: str, digest: Digest) -> web.Response:
    place = Target("blob", repository, str(digest)).path
    return web.Response(status=201, headers={"Location": place, "Docker-Content-Digest": str(digest)})


def _unknown(name: str) -> RegistryError:
    return refusal("BLOB_UPLOAD_UNKNOWN", f"there is no upload {name[:40]!r} here", hint="begin a new one")
