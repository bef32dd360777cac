"""Blobs, given and deleted (distribution-spec v1.1, end-2 and end-10)."""

from __future__ import annotations

from aiohttp import web

from kernelbox.registry.server.call import Call, in_thread
from kernelbox.registry.server.target import digest_of

__all__ = ["KIND", "delete", "get", "head"]

KIND = "application/octet-stream"


async def get(call: Call) -> web.StreamResponse:
    """From the file to the connection by sendfile(2), whole or a range of it."""
    digest = digest_of(call.target.reference)
    await in_thread(call.storage.blob, call.repository, digest)
    headers = {"Content-Type": KIND, "Docker-Content-Digest": str(digest)}
    return web.FileResponse(call.storage.blobs.path(digest), headers=headers)


async def head(call: Call) -> web.StreamResponse:
    """Whether it is there, and how many bytes."""
    digest = digest_of(call.target.reference)
    size = await in_thread(call.storage.blob, call.repository, digest, relied_on=True)
    headers = {"Docker-Content-Digest": str(digest), "Content-Length": str(size), "Accept-Ranges": "bytes"}
    return web.Response(headers=headers, content_type=KIND)


async def delete(call: Call) -> web.StreamResponse:
    """From this repository; others that have it keep it."""
    await in_thread(call.storage.delete_blob, call.repository, digest_of(call.target.reference))
    return web.Response(status=202)
