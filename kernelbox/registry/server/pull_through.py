"""A cache of another registry: what is asked for comes from there when it is not here, and is kept.

A tag is compared each time with what the other registry says it stands for; where that cannot be reached, what is here
is what there is. Blobs are brought only where a manifest that is here names them, which says how long they are. Nothing
is pushed to a cache. Whoever may pull from it gets what the user who runs it may pull from there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from aiohttp import web

from kernelbox.errors import BlobNotFound, ImageNotFound, KernelBoxError, RegistryError, Unauthorized
from kernelbox.oci import descriptor
from kernelbox.oci import manifest as oci
from kernelbox.oci.descriptor import Descriptor
from kernelbox.oci.digest import Digest
from kernelbox.oci.reference import DEFAULT_REGISTRY, Reference
from kernelbox.registry.server import blobs, listings, manifests, records
from kernelbox.registry.server.call import EVERYWHERE, Call, in_thread
from kernelbox.registry.server.failures import refusal
from kernelbox.registry.server.fetching import Fetch
from kernelbox.registry.server.storage import Storage
from kernelbox.registry.server.target import digest_of, reference_of
from kernelbox.registry.stop import Stop

if TYPE_CHECKING:
    from kernelbox.registry.client import Client

__all__ = ["PullThrough"]

_THREADS = 8
_NOT_REACHED = 502
T = TypeVar("T")
_log = logging.getLogger("kernelbox.registry")


class PullThrough:
    """`registry` as names of images have it ("docker.io"); `client` becomes this object's. For one event loop."""

    def __init__(self, storage: Storage, client: Client, registry: str) -> None:
        self._storage = storage
        self._client = client
        self._registry = registry
        self._asking = ThreadPoolExecutor(_THREADS, "kernelbox registry asks")
        self._fetching = ThreadPoolExecutor(_THREADS, "kernelbox registry fetches")
        self._stop = Stop()
        self._fetches: dict[Digest, Fetch] = {}
        self.endpoints: dict[tuple[str, str], Callable[[Call], Awaitable[web.StreamResponse]]] = {
            ("manifest", "GET"): self._manifest,
            ("manifest", "HEAD"): self._manifest,
            ("blob", "GET"): self._blob,
            ("blob", "HEAD"): self._has_blob,
            ("tags", "GET"): self._tags,
            ("referrers", "GET"): self._referrers,
        }

    async def end(self) -> None:
        """Gives up what is being fetched; what has come of it stays, to be gone on with."""
        self._stop.set()
        for threads in (self._asking, self._fetching):
            await asyncio.to_thread(threads.shutdown, cancel_futures=True)
        self._client.close()

    async def _manifest(self, call: Call) -> web.StreamResponse:
        """Also for HEAD."""
        wanted = reference_of(call.target.reference)
        if isinstance(wanted, str):
            await self._compare(call.repository, wanted)
        elif not await in_thread(self._has, call.repository, wanted):
            await self._afar(self._bring, call.repository, self._named(call.repository, wanted))
        return await manifests.get(call)

    async def _blob(self, call: Call) -> web.StreamResponse:
        """What is not here yet goes on to the client while it comes; a part of it, when all is here."""
        digest = digest_of(call.target.reference)
        if await in_thread(self._has_content, call.repository, digest):
            return await blobs.get(call)
        fetch = await self._fetch(call.repository, digest)
        if "Range" in call.request.headers:
            await self._answered(fetch.wait())
            return await blobs.get(call)
        headers = {"Content-Type": blobs.KIND, "Docker-Content-Digest": str(digest)}
        answer = web.StreamResponse(headers={**EVERYWHERE, **headers})
        answer.content_length = fetch.blob.size
        return await _sent(answer, call.request, fetch)

    async def _has_blob(self, call: Call) -> web.StreamResponse:
        """For HEAD: nothing is brought."""
        digest = digest_of(call.target.reference)
        if await in_thread(self._has_content, call.repository, digest):
            return await blobs.head(call)
        found = await in_thread(self._described, call.repository, digest)
        headers = {"Docker-Content-Digest": str(digest), "Content-Length": str(found.size), "Accept-Ranges": "bytes"}
        return web.Response(headers=headers, content_type=blobs.KIND)

    async def _tags(self, call: Call) -> web.StreamResponse:
        """Those of the other registry; where it cannot be reached, those that are here."""
        named = self._named(call.repository, "latest")
        try:
            found = await self._afar(lambda: sorted(self._client.tags(named)))
        except RegistryError as error:
            if error.http_status != _NOT_REACHED:
                raise
            return await listings.tags(call)
        return listings.page_of_tags(call, found)

    async def _referrers(self, call: Call) -> web.StreamResponse:
        """As `_tags`."""
        subject = digest_of(call.target.reference)
        named = self._named(call.repository, subject)
        try:
            found = await self._afar(self._client.referrers, named, subject, call.asked("artifactType"))
        except RegistryError as error:
            if error.http_status != _NOT_REACHED:
                raise
            return await listings.referrers(call)
        return listings.whole_index(call, [descriptor.written(each) for each in found])

    async def _compare(self, repository: str, tag: str) -> None:
        """Sees to it that the tag stands here for what it stands for there."""
        named = self._named(repository, tag)
        try:
            found = await self._afar(self._client.resolve, named, self._stop)
            if not await in_thread(self._tag_here, repository, tag, found.digest):
                await self._afar(self._bring, repository, named.with_digest(found.digest), tag)
        except RegistryError as error:
            if error.http_status != _NOT_REACHED or not await in_thread(self._has, repository, tag):
                raise
            _log.warning("%s", error)

    async def _fetch(self, repository: str, digest: Digest) -> Fetch:
        """The one that runs, or a new one."""
        found = await in_thread(self._described, repository, digest)
        if digest not in self._fetches:
            named = self._named(repository, digest)
            fetch = Fetch(
                self._storage,
                repository,
                found,
                lambda offset: self._client.blob(named, found, offset, stop=self._stop),
            )
            self._fetches[digest] = fetch
            fetch.start(self._fetching, lambda: self._fetches.pop(digest, None))
        return self._fetches[digest]

    async def _afar(self, function: Callable[..., T], *args: object) -> T:
        """Asks the other registry."""
        return await self._answered(asyncio.get_running_loop().run_in_executor(self._asking, function, *args))

    async def _answered(self, asked: Awaitable[T]) -> T:
        """What the other registry refuses becomes a refusal of ours."""
        try:
            return await asked
        except ImageNotFound as error:
            raise refusal("MANIFEST_UNKNOWN", error.message) from error
        except BlobNotFound as error:
            raise refusal("BLOB_UNKNOWN", error.message) from error
        except Unauthorized as error:
            raise refusal("DENIED", error.message) from error
        except KernelBoxError as error:
            raise refusal("UNKNOWN", error.message, status=_NOT_REACHED) from error

    def _bring(self, repository: str, named: Reference, *tags: str) -> None:
        raw, media_type = self._client.manifest(named, self._stop)
        assert named.digest is not None
        self._storage.put_manifest(repository, named.digest, oci.parse(raw, media_type), tags, whole=False)

    def _tag_here(self, repository: str, tag: str, digest: Digest) -> bool:
        """Whether the manifest is here, which has the tag then."""
        if not self._has(repository, digest):
            return False
        with self._storage.state.transaction() as cursor:
            found = records.manifest(cursor, repository, tag)
            if found is None or found.digest != digest:
                records.set_tags(cursor, repository, digest, [tag])
        return True

    def _has(self, repository: str, reference: Digest | str) -> bool:
        with self._storage.state.reading() as cursor:
            found = records.manifest(cursor, repository, reference)
        return found is not None and self._storage.blobs.has(found.digest)

    def _has_content(self, repository: str, digest: Digest) -> bool:
        try:
            self._storage.blob(repository, digest)
        except RegistryError:
            return False
        return True

    def _described(self, repository: str, digest: Digest) -> Descriptor:
        """By a manifest that needs it. Raises the refusal BLOB_UNKNOWN."""
        with self._storage.state.reading() as cursor:
            user = records.needing(cursor, repository, digest)
        if user is not None:
            manifest = oci.parse(self._storage.blobs.read(Digest.parse(user), oci.MAX_BYTES))
            for each in (manifest.config, *manifest.layers) if isinstance(manifest, oci.Manifest) else ():
                if each.digest == digest:
                    return each
        raise refusal("BLOB_UNKNOWN", f"no manifest of {repository} that is here needs {digest}")

    def _named(self, repository: str, reference: Digest | str) -> Reference:
        """There."""
        official = self._registry == DEFAULT_REGISTRY and "/" not in repository
        name = f"library/{repository}" if official else repository
        if isinstance(reference, Digest):
            return Reference(self._registry, name, "", reference)
        return Reference(self._registry, name, reference)


async def _sent(answer: web.StreamResponse, request: web.BaseRequest, fetch: Fetch) -> web.StreamResponse:
    """Where it cannot be sent to its end the connection is broken: the client is to see that something is missing."""
    await answer.prepare(request)
    try:
        async with contextlib.aclosing(fetch.pieces()) as pieces:
            async for piece in pieces:
                await answer.write(piece)
        await answer.write_eof()
    except (KernelBoxError, ConnectionError) as error:
        if isinstance(error, KernelBoxError):
            _log.error("could not pass on %s: %s", fetch.blob.digest, error)
        if request.transport is not None:
            request.transport.abort()
    return answer
