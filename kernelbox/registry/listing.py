"""Lists that come in pages: tags, repositories, referrers (distribution-spec v1.1, "Listing Tags"; RFC 8288).

The next page is where the registry says, as long as that is the registry itself, and brings something new. Whoever
leads round in circles is told so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from kernelbox.errors import InvalidContent, KernelBoxError, RegistryError
from kernelbox.oci import content
from kernelbox.registry.origin import Origin
from kernelbox.registry.session import Ask, Session
from kernelbox.registry.stop import Stop
from kernelbox.registry.transport import Response

__all__ = ["MOST_BYTES", "names", "pages"]

MOST_BYTES = 32 << 20
"""Of a page; some registries know no pages, and some repositories have many thousand tags."""

MOST_NAMES = 1_000_000
_MOST_PAGES = 10_000
_LONGEST_NAME = 512
_NEXT = re.compile(r'\s*<([^<>]{1,8192})>\s*((?:;[^,;"]*(?:"[^"]*"[^,;"]*)?)*)')
_IS_NEXT = re.compile(r';\s*rel\s*=\s*(?:"(?:[^"]*\s)?next(?:\s[^"]*)?"|next)\s*(?:;|$)', re.IGNORECASE)


def pages(
    session: Session, ask: Ask, stop: Stop | None = None, most: int = MOST_BYTES
) -> Iterator[tuple[Response, bytes]]:
    """Every page, each fetched when it is asked for. Raises RegistryError."""
    seen: set[str] = set()
    while len(seen) < _MOST_PAGES:
        response, raw = session.read(ask, most, stop)
        yield response, raw
        link = _next(response.header("Link"))
        if not link:
            return
        url = session.url(response, link)
        if Origin.of(url) != session.origin(stop) or not urlsplit(url).path.startswith("/v2/"):
            raise RegistryError(f"could not {ask.what}: the next page is said to be somewhere else: {Origin.of(url)}")
        if url in seen:
            raise _circles(ask)
        seen.add(url)
        ask = Ask(ask.method, url, ask.what, ask.scopes, ask.headers, None, ask.accepted, ask.missing)
    raise _circles(ask)


def names(
    session: Session, ask: Ask, key: str, allowed: Callable[[str], bool], stop: Stop | None = None
) -> Iterator[str]:
    """The strings in the list `key` of every page, each once, in the registry's order. Raises InvalidContent for what
    is no such list and for names that are not `allowed`, RegistryError."""
    known: set[str] = set()
    without = False
    for _, raw in pages(session, ask, stop):
        before = len(known)
        for name in _list(raw, key, ask.what):
            if not isinstance(name, str) or len(name) > _LONGEST_NAME or not allowed(name):
                raise InvalidContent(f"could not {ask.what}: among the {key} is {str(name)[:60]!r}")
            if name not in known:
                known.add(name)
                yield name
        if len(known) > MOST_NAMES:
            raise RegistryError(f"could not {ask.what}: there is no end to the {key}")
        if len(known) == before and without:
            raise _circles(ask)
        without = len(known) == before


def _list(raw: bytes, key: str, what: str) -> list[object]:
    try:
        found = content.load(raw, key, MOST_BYTES).get(key)
    except KernelBoxError as error:
        raise InvalidContent(f"could not {what}: {error.message}") from None
    if found is None:
        return []
    if not isinstance(found, list):
        raise InvalidContent(f"could not {what}: {key} is no list")
    return found


def _next(header: str) -> str:
    """The target of the link whose relation is "next"; "" where there is none."""
    for found in _NEXT.finditer(header[:65536]):
        if _IS_NEXT.search(found[2]):
            return found[1]
    return ""


def _circles(ask: Ask) -> RegistryError:
    return RegistryError(f"could not {ask.what}: the pages of the registry go round in circles")
