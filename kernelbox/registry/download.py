"""The bytes of a blob as they come, gone on with where a connection broke (distribution-spec v1.1, "Pulling blobs";
RFC 9110, 14).

Nothing is believed of what a registry says about ranges and lengths; that the bytes are the right ones is seen by
whoever writes them, from their digest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from kernelbox.errors import BlobNotFound, InvalidContent, RegistryError
from kernelbox.oci.descriptor import Descriptor
from kernelbox.registry.retry import Passing
from kernelbox.registry.session import Ask, Session
from kernelbox.registry.stop import Stop
from kernelbox.registry.transport import CHUNK_BYTES, Response

__all__ = ["stream"]

_MOST_BREAKS = 100
"""However much each connection brings before it breaks."""
_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)")


def stream(
    session: Session, where: str, descriptor: Descriptor, scopes: tuple[str, ...], offset: int, stop: Stop | None
) -> Iterator[bytes]:
    """What follows the first `offset` bytes of `descriptor`, exactly up to its size. Raises InvalidContent where the
    registry has something longer or shorter, BlobNotFound, RegistryError."""

    def open_at(at: int) -> Response:
        headers = {"Range": f"bytes={at}-"} if at else {}
        what = f"fetch {descriptor.digest}"
        return session.once(Ask("GET", where, what, scopes, headers, None, (200, 206, 416), BlobNotFound), stop)

    at, breaks, in_a_row = offset, 0, 0
    while at < descriptor.size:
        begun = at
        try:
            for chunk in _rest(open_at, at, descriptor):
                at += len(chunk)
                yield chunk
        except Passing as error:
            breaks += 1
            in_a_row = 1 if at > begun else in_a_row + 1
            if in_a_row >= session.retry.attempts or breaks >= _MOST_BREAKS:
                raise
            session.retry.wait(in_a_row, error, stop)


def _rest(open_at: Callable[[int], Response], at: int, descriptor: Descriptor) -> Iterator[bytes]:
    with open_at(at) as response:
        skipped = _position(response, at, descriptor)
        left = descriptor.size - at
        for chunk in response.chunks(CHUNK_BYTES):
            if skipped:
                piece, skipped = chunk[skipped:], max(0, skipped - len(chunk))
            else:
                piece = chunk
            if len(piece) > left:
                raise InvalidContent(
                    f"{descriptor.digest} is longer than the {descriptor.size} bytes that it should be"
                )
            left -= len(piece)
            if piece:
                yield piece
    if left:
        raise Passing(f"{descriptor.digest} ends after {descriptor.size - left} of its {descriptor.size} bytes")


def _position(response: Response, at: int, descriptor: Descriptor) -> int:
    """How many bytes come that are there already: all of them where the registry knows no ranges."""
    digest, size = descriptor.digest, descriptor.size
    if response.status == 416:
        raise InvalidContent(f"{digest} has no more than {at} bytes there, and should have {size}")
    if response.status == 200:
        if response.length not in (None, size):
            raise InvalidContent(f"{digest} has {response.length} bytes there, and should have {size}")
        return at
    found = _RANGE.fullmatch(response.header("Content-Range").strip())
    if not at or found is None or int(found[1]) != at or found[3] not in ("*", str(size)):
        said = response.header("Content-Range")[:60]
        raise RegistryError(f"asked for {digest} from byte {at} on, the registry answers with {said!r}")
    return 0
