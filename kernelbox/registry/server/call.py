"""One request, with what is needed to answer it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from aiohttp import web

from kernelbox.oci.value import frozen
from kernelbox.registry.server.storage import Storage
from kernelbox.registry.server.target import Target

__all__ = ["EVERYWHERE", "Call", "Limits", "in_thread"]

EVERYWHERE = {"Docker-Distribution-API-Version": "registry/2.0", "Server": "kernelbox"}
"""Headers of every answer."""

_READ_AT_ONCE, _PARSED_AT_ONCE = 16, 1
"""Manifests: a hostile one of 4 MiB takes a hundred when it is parsed."""

P = ParamSpec("P")
T = TypeVar("T")


class Limits:
    """How many manifests one server reads and parses at a time."""

    def __init__(self) -> None:
        self.reading = asyncio.Semaphore(_READ_AT_ONCE)
        self.parsing = asyncio.Semaphore(_PARSED_AT_ONCE)


@frozen
class Call:
    """`may` says whether the one who asks has a right ("pull", "push", "delete") in a repository."""

    request: web.BaseRequest
    target: Target
    storage: Storage
    may: Callable[[str, str], bool]
    limits: Limits

    @property
    def repository(self) -> str:
        return self.target.repository

    def asked(self, name: str, default: str = "") -> str:
        """A parameter of the URL's query."""
        return str(self.request.query.get(name, default))


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What waits for the disk or computes does not keep others waiting. Where the request is given up meanwhile, it is
    waited for nevertheless: files may be closed only when nobody uses them."""
    task = asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
