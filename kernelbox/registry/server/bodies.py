"""The body of a request: read as it comes, in pieces, and never more of it in memory than one piece."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

from aiohttp import web

from kernelbox.oci.value import frozen
from kernelbox.registry.server.failures import refusal

__all__ = ["PIECE", "Range", "content_range", "pieces", "read"]

PIECE = 1 << 18
"""Bytes that are read from a connection before the client has to wait."""

_PATIENCE_S = 60.0
"""For the next piece."""

_RANGE = re.compile(r"(?:bytes[ =])?([0-9]{1,18})-([0-9]{1,18})(?:/(?:[0-9]+|\*))?")


@frozen
class Range:
    """Of an upload, both ends included."""

    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start + 1


def content_range(request: web.BaseRequest) -> Range | None:
    """What the client says that the body is a part of: `0-99` in the words of the specification, and in those of HTTP
    too. Raises a refusal."""
    text = request.headers.get("Content-Range")
    if text is None:
        return None
    found = _RANGE.fullmatch(text.strip())
    if not found or int(found[1]) > int(found[2]):
        raise refusal("BLOB_UPLOAD_INVALID", f"{text[:60]!r} is no range", status=416, hint="Content-Range: 0-99")
    said = Range(int(found[1]), int(found[2]))
    if request.content_length not in (None, said.length):
        raise refusal("SIZE_INVALID", f"a range of {said.length} bytes and a body of {request.content_length}")
    return said


async def pieces(request: web.BaseRequest) -> AsyncIterator[bytes]:
    """Raises ConnectionError where the client goes away, a refusal where it falls silent."""
    await _invite(request)
    while True:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                piece = await request.content.readany()
        except TimeoutError:
            raise refusal("BLOB_UPLOAD_INVALID", f"nothing came for {_PATIENCE_S:.0f} seconds", status=408) from None
        except web.RequestPayloadError as error:
            raise ConnectionResetError("the client went away in the middle of a body") from error
        if not piece:
            return
        yield piece


async def read(request: web.BaseRequest, most: int) -> bytes:
    """All of a body that is to be small. Raises the refusal SIZE_INVALID for more than `most` bytes, unread where the
    client says so before."""
    too_much = refusal("SIZE_INVALID", f"more than {most} bytes", status=413)
    if (request.content_length or 0) > most:
        raise too_much
    found = bytearray()
    try:
        async with asyncio.timeout(_PATIENCE_S):
            async for piece in pieces(request):
                found += piece
                if len(found) > most:
                    raise too_much
    except TimeoutError:
        raise refusal("SIZE_INVALID", f"it was not there within {_PATIENCE_S:.0f} seconds", status=408) from None
    return bytes(found)


async def _invite(request: web.BaseRequest) -> None:
    """A client that asks whether it should send its body at all is told so now, when nothing speaks against it."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
