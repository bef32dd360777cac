"""A blob on its way to a registry (distribution-spec v1.1, "Pushing blobs").

What is small goes in one request; what is large in pieces, or in one long piece, and where a connection breaks the
registry is asked how far it got. A session that it has forgotten is begun anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import BinaryIO
from urllib.parse import urlencode, urlsplit

from kernelbox.errors import InvalidContent, NotFound, RegistryError
from kernelbox.oci.descriptor import Descriptor
from kernelbox.oci.digest import Digest
from kernelbox.registry.authorization import pull_scope, push_scope
from kernelbox.registry.retry import Passing
from kernelbox.registry.session import Ask, Session
from kernelbox.registry.stop import Stop
from kernelbox.registry.transport import Response

__all__ = ["WHOLE_BYTES", "Part", "Upload", "check_kept"]

WHOLE_BYTES = 4 << 20
"""Content up to this size goes in one request: to repeat it costs less than to ask."""

_MOST_BREAKS = 100
_RANGE = re.compile(r"(?:bytes=)?0-([0-9]{1,19})")


class Part:
    """Bytes of a file, as the body of a request. The file stays open, and belongs to whoever made this."""

    def __init__(self, file: BinaryIO, offset: int, length: int, moved: Callable[[int], None]) -> None:
        file.seek(offset)
        self._file = file
        self._length = length
        self._at = offset
        self._left = length
        self._moved = moved

    def __len__(self) -> int:
        return self._length

    def read(self, size: int = -1, /) -> bytes:
        piece = self._file.read(self._left if size < 0 else min(size, self._left))
        if not piece and self._left:
            raise InvalidContent(f"the content ends {self._left} bytes before it should")
        self._at += len(piece)
        self._left -= len(piece)
        self._moved(self._at)
        return piece


class Upload:
    """Of one blob, whose content is `file`, into `repository` (as the endpoint calls it). `chunk` is how much goes up
    in one piece, 0 for everything; `moved` hears how many bytes have gone."""

    def __init__(
        self,
        session: Session,
        repository: str,
        descriptor: Descriptor,
        file: BinaryIO,
        *,
        chunk: int = 0,
        whole: int = WHOLE_BYTES,
        moved: Callable[[int], None] = lambda _: None,
        stop: Stop | None = None,
    ) -> None:
        self._session = session
        self._repository = repository
        self._descriptor = descriptor
        self._file = file
        self._chunk = chunk
        self._whole = min(whole, chunk) if chunk else whole
        self._moved = moved
        self._stop = stop
        self._scopes = (push_scope(repository),)
        self._what = f"push {descriptor.digest} to {repository}"
        self._place = ""
        self._offset = 0
        self._least_chunk = 0

    def mount(self, source: str) -> bool:
        """Whether the registry takes the blob from its repository `source`; where it does not, `run` goes on with what
        it has begun. Raises Unauthorized, RegistryError, Passing."""
        query = urlencode({"mount": str(self._descriptor.digest), "from": source})
        scopes = (*self._scopes, pull_scope(source))
        try:
            with self._session.open(self._ask("POST", f"{self._start}?{query}", (201, 202), scopes=scopes)) as response:
                if response.status == 201:
                    check_kept(response, self._descriptor.digest)
                    return True
                self._begun(response)
        except RegistryError as error:
            # It may not be allowed to read there, or may not know of mounts: then it is uploaded.
            if error.http_status not in (400, 401, 403, 404, 405):
                raise
        return False

    def run(self) -> None:
        """Moves everything that is not there yet. Raises InvalidContent where the registry kept something else,
        Unauthorized, RegistryError."""
        breaks, in_a_row, unsure, reached = 0, 0, False, 0
        while True:
            if unsure and not self._still_there():
                if self._kept():
                    return
                self._place = ""
            if not self._place:
                self._begin()
            if self._offset > reached:
                in_a_row, reached = 0, self._offset
            try:
                if self._go_on():
                    return
                unsure = False
                continue
            except _NotThere as error:
                failure = Passing(error.message)
            except Passing as error:
                failure = error
            unsure = True
            breaks += 1
            in_a_row += 1
            if in_a_row >= self._session.retry.attempts or breaks >= _MOST_BREAKS:
                raise failure
            self._session.retry.wait(in_a_row, failure, self._stop)

    def _go_on(self) -> bool:
        """One request, tried once; whether it was the last."""
        size = self._descriptor.size
        if self._offset == 0 and size <= max(self._whole, self._least_chunk):
            self._end(size)
        elif self._offset < size:
            self._piece(self._offset, min(max(self._chunk, self._least_chunk) or size, size - self._offset))
            return False
        else:
            self._end(0)
        return True

    def _piece(self, at: int, length: int) -> None:
        headers = {"Content-Type": "application/octet-stream", "Content-Range": f"{at}-{at + length - 1}"}
        ask = self._ask("PATCH", self._place, (202, 204), headers, lambda: Part(self._file, at, length, self._moved))
        with self._once(ask) as response:
            self._next_place(response)
            self._reached(response.header("Range"), at + length)

    def _end(self, length: int) -> None:
        """The rest of the content, and its name."""
        joint = "&" if urlsplit(self._place).query else "?"
        url = f"{self._place}{joint}{urlencode({'digest': str(self._descriptor.digest)})}"
        headers = {"Content-Type": "application/octet-stream"}
        ask = self._ask("PUT", url, (201, 204), headers, lambda: Part(self._file, self._offset, length, self._moved))
        with self._once(ask) as response:
            check_kept(response, self._descriptor.digest)

    def _begin(self) -> None:
        with self._session.open(self._ask("POST", self._start, (202,)), self._stop) as response:
            self._begun(response)

    def _still_there(self) -> bool:
        """Asks after a broken connection how far it got; whether the registry knows anything of it."""
        try:
            with self._session.open(self._ask("GET", self._place, (204, 200, 202)), self._stop) as response:
                self._next_place(response)
                said = response.header("Range")
                self._offset = 0
                self._reached(said, self._descriptor.size if said else 0)
                return True
        except _NotThere:
            return False

    def _reached(self, said: str, most: int) -> None:
        """The registry has what its `Range` says, from 0 up to a byte that it names; or `most`, where it says
        nothing."""
        found = _RANGE.fullmatch(said.strip())
        # Of nothing some say "0-0", which would also be a single byte.
        reached = most if not said else int(found[1]) + 1 if found and found[1] != "0" else 0 if found else -1
        if not self._offset <= reached <= most:
            raise RegistryError(f"could not {self._what}: the registry says that it has {said[:40]!r} of it")
        self._offset = reached

    def _begun(self, response: Response) -> None:
        self._next_place(response, needed=True)
        self._offset = 0
        least = response.header("OCI-Chunk-Min-Length")
        self._least_chunk = int(least) if least.isascii() and least.isdecimal() and len(least) < 12 else 0

    def _next_place(self, response: Response, *, needed: bool = False) -> None:
        location = response.header("Location")
        if location:
            self._place = self._session.url(response, location)
        elif needed:
            raise RegistryError(f"could not {self._what}: the registry does not say where to")

    def _kept(self) -> bool:
        """Whether it arrived after all, and only the answer did not."""
        where = f"/v2/{self._repository}/blobs/{self._descriptor.digest}"
        with self._session.open(self._ask("HEAD", where, (200, 404)), self._stop) as response:
            return response.status == 200

    def _once(self, ask: Ask) -> Response:
        try:
            return self._session.once(ask, self._stop)
        except RegistryError as error:
            if error.http_status == 416:  # it is somewhere else than we thought
                raise Passing(error.message, http_status=416, code=error.code) from error
            raise

    @property
    def _start(self) -> str:
        return f"/v2/{self._repository}/blobs/uploads/"

    def _ask(
        self,
        method: str,
        where: str,
        accepted: tuple[int, ...],
        headers: dict[str, str] | None = None,
        body: Callable[[], bytes | Part] | None = None,
        scopes: tuple[str, ...] = (),
    ) -> Ask:
        if method == "POST":
            body = bytes
        missing = RegistryError if method in ("POST", "HEAD") else _NotThere
        return Ask(method, where, self._what, scopes or self._scopes, headers or {}, body, accepted, missing)


class _NotThere(NotFound):
    """The registry knows nothing of an upload."""


def check_kept(response: Response, digest: Digest) -> None:
    """Raises InvalidContent where a registry says that it has kept something else. It may have another kind of digest
    for it."""
    said = response.header("Docker-Content-Digest")
    if said.startswith(f"{digest.algorithm}:") and said != str(digest):
        raise InvalidContent(f"the registry has kept {said[:150]!r} in place of {digest}")
