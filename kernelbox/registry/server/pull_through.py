"""A cache of another registry: what is asked for comes from there when it is not here, and is kept.

A tag is compared with what the other registry says it stands for; where that cannot be reached, what is here is what
there is. Blobs are brought only where a manifest that is here names them, which says how long they are. Nothing is
pushed to a cache.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from aiohttp import web

from kernelbox.errors import BlobNotFound, ImageNotFound, InvalidContent, KernelBoxError, RegistryError
from kernelbox.linux.descriptor import Closing
from kernelbox.oci import descriptor
from kernelbox.oci import manifest as oci
from kernelbox.oci.descriptor import Descriptor
from kernelbox.oci.digest import Digest
from kernelbox.oci.reference import DEFAULT_REGISTRY, Reference
from kernelbox.registry.server import blobs, listings, manifests, records
from kernelbox.registry.server.call import Call, Handler, in_thread
from kernelbox.registry.server.failures import refusal
from kernelbox.registry.server.fetching import Fetch
from kernelbox.registry.server.storage import Storage
from kernelbox.registry.server.target import digest_of, reference_of
from kernelbox.registry.stop import Stop

if TYPE_CHECKING:
    from kernelbox.registry.client import Client

__all__ = ["PullThrough"]

_FRESH_S = 60.0
"""How long a tag is believed to stand for what it stood for."""

_THREADS = 8
_BAD_GATEWAY = 502
_MOST_REMEMBERED = 10_000
T = TypeVar("T")


class PullThrough(Closing):
    """`registry` as names of images have it ("docker.io"); `client` becomes this object's. For one event loop."""

    def __init__(self, storage: Storage, client: Client, registry: str) -> None:
        self._storage = storage
        self._client = client
        self._registry = registry
        self._threads = ThreadPoolExecutor(_THREADS, "kernelbox registry, from afar")
        self._stop = Stop()
        self._fetches: dict[Digest, Fetch] = {}
        self._checked: OrderedDict[Reference, float] = OrderedDict()

    def close(self) -> None:
        """Gives up what is being fetched; what has come of it stays, to be gone on with."""
        self._stop.set()
        self._threads.shutdown(cancel_futures=True)
        self._client.close()

    def endpoints(self) -> dict[tuple[str, str], tuple[str, Handler]]:
        """What is answered otherwise than by a registry that has everything itself."""
        return {
            ("manifest", "GET"): ("pull", self.manifest),
            ("manifest", "HEAD"): ("pull", self.manifest),
            ("blob", "GET"): ("pull", self.blob),
            ("blob", "HEAD"): ("pull", self.has_blob),
            ("tags", "GET"): ("pull", self.tags),
            ("referrers", "GET"): ("pull", self.referrers),
        }

    async def manifest(self, call: Call) -> web.StreamResponse:
        """Also for HEAD."""
        wanted = reference_of(call.target.reference)
        named = self._named(call.repository, wanted)
        if isinstance(wanted, Digest):
            if not await in_thread(self._has, call.repository, wanted):
                await self._afar(self._bring, call.repository, named)
        elif self._checked.get(named, 0.0) < time.monotonic() - _FRESH_S:
            await self._compare(call, named)
        return await manifests.get(call)

    async def blob(self, call: Call) -> web.StreamResponse:
        """What is not here yet goes on to the client while it comes; a part of it, when all is here."""
        digest = digest_of(call.target.reference)
        try:
            return await blobs.get(call)
        except RegistryError as error:
            if error.code != "BLOB_UNKNOWN":
                raise
        fetch = await self._fetch(call, digest)
        if "Range" in call.request.headers:
            await _answered(fetch.wait())
            return await blobs.get(call)
        answer = web.StreamResponse(headers={"Content-Type": blobs.KIND, "Docker-Content-Digest": str(digest)})
        answer.content_length = fetch.blob.size
        return await _sent(answer, call.request, fetch)

    async def has_blob(self, call: Call) -> web.StreamResponse:
        """For HEAD: nothing is brought."""
        digest = digest_of(call.target.reference)
        try:
            return await blobs.head(call)
        except RegistryError as error:
            if error.code != "BLOB_UNKNOWN":
                raise
        found = await in_thread(self._described, call.repository, digest)
        headers = {"Docker-Content-Digest": str(digest), "Content-Length": str(found.size), "Accept-Ranges": "bytes"}
        return web.Response(headers=headers, content_type=blobs.KIND)

    async def tags(self, call: Call) -> web.StreamResponse:
        """Those of the other registry; where it cannot be reached, those that are here."""
        named = self._named(call.repository, "latest")
        try:
            found = await self._afar(lambda: sorted(self._client.tags(named)))
        except RegistryError as error:
            if error.http_status != _BAD_GATEWAY:
                raise
            return await listings.tags(call)
        return listings.page_of_tags(call, found)

    async def referrers(self, call: Call) -> web.StreamResponse:
        """Those of the other registry, in one page; where it cannot be reached, those that are here."""
        subject, kind = digest_of(call.target.reference), call.asked("artifactType")
        named = self._named(call.repository, subject)
        try:
            found = await self._afar(self._client.referrers, named, subject, kind)
        except RegistryError as error:
            if error.http_status != _BAD_GATEWAY:
                raise
            return await listings.referrers(call)
        return listings.page_of_referrers(call, [descriptor.written(each) for each in found], False)

    async def _compare(self, call: Call, named: Reference) -> None:
        """Sees to it that the tag stands here for what it stands for there."""
        try:
            found = await self._afar(self._client.resolve, named, self._stop)
            here = await in_thread(self._tag_here, call.repository, named.tag, found.digest)
            if not here:
                await self._afar(self._bring, call.repository, named.with_digest(found.digest), named.tag)
        except RegistryError as error:
            if error.http_status == _BAD_GATEWAY and await in_thread(self._has, call.repository, named.tag):
                return
            raise
        self._checked[named] = time.monotonic()
        while len(self._checked) > _MOST_REMEMBERED:
            self._checked.popitem(last=False)

    async def _fetch(self, call: Call, digest: Digest) -> Fetch:
        """The one that runs, or a new one."""
        found = await in_thread(self._described, call.repository, digest)
        if digest not in self._fetches:
            named = self._named(call.repository, digest)
            fetch = Fetch(
                self._storage,
                call.repository,
                found,
                lambda offset: self._client.blob(named, found, offset, stop=self._stop),
            )
            self._fetches[digest] = fetch
            fetch.start(self._threads, lambda: self._fetches.pop(digest, None))
        return self._fetches[digest]

    async def _afar(self, function: Callable[..., T], *args: object) -> T:
        """Asks the other registry. What that refuses becomes a refusal of ours."""
        return await _answered(asyncio.get_running_loop().run_in_executor(self._threads, function, *args))

    def _bring(self, repository: str, named: Reference, *tags: str) -> None:
        raw, media_type = self._client.manifest(named, self._stop)
        assert named.digest is not None
        self._storage.put_manifest(repository, named.digest, oci.parse(raw, media_type), tags, whole=False)

    def _tag_here(self, repository: str, tag: str, digest: Digest) -> bool:
        """Whether the manifest is here, which has the tag then."""
        if not self._has(repository, digest):
            return False
        with self._storage.state.transaction() as cursor:
            records.set_tags(cursor, repository, digest, [tag])
        return True

    def _has(self, repository: str, reference: Digest | str) -> bool:
        with self._storage.state.reading() as cursor:
            found = records.manifest(cursor, repository, reference)
        return found is not None and self._storage.blobs.has(found.digest)

    def _described(self, repository: str, digest: Digest) -> Descriptor:
        """By a manifest that needs it. Raises the refusal BLOB_UNKNOWN."""
        with self._storage.state.reading() as cursor:
            user = records.needing(cursor, repository, digest)
        if user is not None:
            manifest = oci.parse(self._storage.blobs.read(Digest.parse(user), oci.MAX_BYTES))
            if isinstance(manifest, oci.Manifest):
                for each in (manifest.config, *manifest.layers):
                    if each.digest == digest:
                        return each
        raise refusal("BLOB_UNKNOWN", f"no manifest of {repository} that is here needs {digest}")

    def _named(self, repository: str, reference: Digest | str) -> Reference:
        official = self._registry == DEFAULT_REGISTRY and "/" not in repository
        name = f"library/{repository}" if official else repository
        if isinstance(reference, Digest):
            return Reference(self._registry, name, "", reference)
        return Reference(self._registry, name, reference)


async def _answered(asked: Awaitable[T]) -> T:
    """What the other registry refuses becomes a refusal of ours, with 502 where the fault is over there."""
    try:
        return await asked
    except ImageNotFound as error:
        raise refusal("MANIFEST_UNKNOWN", error.message) from error
    except BlobNotFound as error:
        raise refusal("BLOB_UNKNOWN", error.message) from error
    except (RegistryError, InvalidContent) as error:
        raise refusal(
            "UNKNOWN", f"the registry that this is a cache of: {error.message}", status=_BAD_GATEWAY
        ) from error


async def _sent(answer: web.StreamResponse, request: web.BaseRequest, fetch: Fetch) -> web.StreamResponse:
    """What goes wrong before the first byte is told; later the connection is broken off, which is all that is left."""
    async with contextlib.aclosing(fetch.pieces()) as pieces:
        piece = await _answered(anext(pieces, b""))
        await answer.prepare(request)
        try:
            while piece:
                await answer.write(piece)
                piece = await _answered(anext(pieces, b""))
        except KernelBoxError:
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("the blob has not come whole") from None
    return answer
