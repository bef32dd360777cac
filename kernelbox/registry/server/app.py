"""A server as one function from requests to answers: who asks, what about, whether they may, and who answers."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial

from aiohttp import web

from kernelbox.errors import KernelBoxError
from kernelbox.registry.server import blobs, listings, manifests, metrics, pushes, records
from kernelbox.registry.server.access import Access
from kernelbox.registry.server.call import EVERYWHERE, Call, Limits, in_thread
from kernelbox.registry.server.failures import answer_for, refusal
from kernelbox.registry.server.metrics import Metrics
from kernelbox.registry.server.pull_through import PullThrough
from kernelbox.registry.server.storage import Storage
from kernelbox.registry.server.target import Target, parse

__all__ = ["MOST_REQUESTS", "App"]

MOST_REQUESTS = 256
"""Answered at a time; whoever comes while there are so many is asked to come again."""

Handler = Callable[[Call], Awaitable[web.StreamResponse]]

_ENDPOINTS: dict[tuple[str, str], tuple[str, Handler]] = {
    ("blob", "GET"): ("pull", blobs.get),
    ("blob", "HEAD"): ("pull", blobs.head),
    ("blob", "DELETE"): ("delete", blobs.delete),
    ("manifest", "GET"): ("pull", manifests.get),
    ("manifest", "HEAD"): ("pull", manifests.get),
    ("manifest", "PUT"): ("push", manifests.put),
    ("manifest", "DELETE"): ("delete", manifests.delete),
    ("uploads", "POST"): ("push", pushes.begin),
    ("upload", "GET"): ("push", pushes.status),
    ("upload", "PATCH"): ("push", pushes.append),
    ("upload", "PUT"): ("push", pushes.finish),
    ("upload", "DELETE"): ("push", pushes.cancel),
    ("tags", "GET"): ("pull", listings.tags),
    ("referrers", "GET"): ("pull", listings.referrers),
}
"""Which right each needs, and who answers."""

_GONE = 499
"""What is counted where the client went away before it had an answer; HTTP has no number for it."""

_log = logging.getLogger("kernelbox.registry")


class App:
    """Of one server, in one event loop."""

    def __init__(
        self, storage: Storage, access: Access, *, read_only: bool = False, cache: PullThrough | None = None
    ) -> None:
        self.metrics = Metrics()
        self._storage = storage
        self._access = access
        self._read_only = read_only
        self._cache = cache
        self._limits = Limits()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Every request."""
        began, kind = time.monotonic(), "none"
        self.metrics.in_flight += 1
        try:
            target = parse(request.rel_url.raw_path)
            kind = target.kind
            answer = await self._answer(request, target)
        except KernelBoxError as error:
            answer = answer_for(error)
            if answer.status >= 500:
                _log.error("%s %s: %s", request.method, request.rel_url.raw_path, error)
        except ConnectionError:
            answer = web.Response(status=_GONE)  # nobody is there to get it
        except Exception as error:
            _log.exception("%s %s: a fault of the registry itself", request.method, request.rel_url.raw_path)
            answer = answer_for(KernelBoxError(str(error)))
        finally:
            self.metrics.in_flight -= 1
            self.metrics.received_bytes += request.content.total_bytes
        answer.headers.update(EVERYWHERE)
        self.metrics.answered(request.method, kind, answer.status, time.monotonic() - began)
        return answer

    async def _answer(self, request: web.BaseRequest, target: Target) -> web.StreamResponse:
        if self.metrics.in_flight > MOST_REQUESTS:
            raise refusal("TOOMANYREQUESTS", f"{MOST_REQUESTS} requests are being answered already")
        user = await self._access.user_of(request.headers.get("Authorization"))
        call = Call(request, target, self._storage, partial(self._access.may, user), self._limits)
        if target.kind in ("api", "catalog", "metrics"):
            return await self._answer_plain(call, user)
        endpoint = _ENDPOINTS.get((target.kind, request.method))
        if endpoint is None:
            return _not_allowed(request, [method for kind, method in _ENDPOINTS if kind == target.kind])
        right, handler = endpoint
        self._check_right(user, right, target.repository)
        if self._read_only and right != "pull":
            raise refusal("UNSUPPORTED", "this registry is for reading only")
        if self._cache and right == "push":
            raise refusal("UNSUPPORTED", "this registry is a cache of another one: push to that")
        if self._cache:
            handler = self._cache.endpoints.get((target.kind, request.method), handler)
        return await handler(call)

    async def _answer_plain(self, call: Call, user: str | None) -> web.StreamResponse:
        """What is about no repository."""
        if call.request.method not in ("GET", "HEAD"):
            return _not_allowed(call.request, ["GET", "HEAD"])
        if user is None and self._access.asks_for_passwords:
            # Also where anyone may pull something: by this answer clients find out how to say who they are.
            raise refusal("UNAUTHORIZED", "a name and a password are asked for")
        if call.target.kind == "catalog":
            return await listings.catalog(call)
        if call.target.kind == "metrics":
            text = await in_thread(self._metrics_text)
            return web.Response(body=text.encode(), headers={"Content-Type": metrics.CONTENT_TYPE})
        return web.json_response({})

    def _check_right(self, user: str | None, right: str, repository: str) -> None:
        if self._access.may(user, right, repository):
            return
        if user is None and self._access.asks_for_passwords:
            raise refusal("UNAUTHORIZED", f"one who may {right} is asked for")
        raise refusal("DENIED", f"{user or 'nobody'} may not {right} in {repository}")

    def _metrics_text(self) -> str:
        with self._storage.state.reading() as cursor:
            totals = records.totals(cursor)
        return self.metrics.text(totals, self._storage.uploads.count())


def _not_allowed(request: web.BaseRequest, methods: list[str]) -> web.Response:
    """RFC 9110, section 15.5.6."""
    answer = answer_for(refusal("UNSUPPORTED", f"{request.method} is nothing that one does here"))
    answer.headers["Allow"] = ", ".join(methods)
    return answer
