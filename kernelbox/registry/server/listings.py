"""What there is: tags, repositories, what is about a manifest (distribution-spec v1.1, end-8 and 12; Docker's
`_catalog`). A page is bounded whatever is asked for, and its Link leads to the next."""

from __future__ import annotations

import itertools
import json
from urllib.parse import urlencode

from aiohttp import web

from kernelbox.oci import media_types
from kernelbox.oci.digest import Digest
from kernelbox.registry.server import records
from kernelbox.registry.server.call import Call, in_thread
from kernelbox.registry.server.failures import refusal
from kernelbox.registry.server.target import digest_of

__all__ = ["catalog", "page_of_tags", "referrers", "tags", "whole_index"]

_MOST = 5000
_MOST_BYTES = 1 << 20
"""Of a page of descriptors, whose annotations may be long; one always fits."""


async def tags(call: Call) -> web.StreamResponse:
    """In the order of their bytes."""
    most = _wanted(call)
    found = await in_thread(_tags, call, most)
    return _page({"name": call.repository, "tags": found[:most]}, call, found[:most], len(found) > most > 0)


def page_of_tags(call: Call, every: list[str]) -> web.StreamResponse:
    """As `tags`, from a list of all of them in their order."""
    most, after = _wanted(call), call.asked("last")
    found = [tag for tag in every if tag > after][: most + 1]
    return _page({"name": call.repository, "tags": found[:most]}, call, found[:most], len(found) > most > 0)


def _tags(call: Call, most: int) -> list[str]:
    call.storage.check_repository(call.repository)
    with call.storage.state.reading() as cursor:
        return records.tags(cursor, call.repository, call.asked("last"), most + 1)


async def catalog(call: Call) -> web.StreamResponse:
    """The repositories that the one who asks may pull from."""
    most = _wanted(call)
    found = await in_thread(_repositories, call, most)
    return _page({"repositories": found[:most]}, call, found[:most], len(found) > most > 0)


def _repositories(call: Call, most: int) -> list[str]:
    with call.storage.state.reading() as cursor:
        every = records.repositories(cursor, call.asked("last"))
        return list(itertools.islice((each for each in every if call.may("pull", each)), most + 1))


async def referrers(call: Call) -> web.StreamResponse:
    """An index of them; empty for what nobody has heard of."""
    shown, more = await in_thread(_referrers, call, digest_of(call.target.reference))
    index: dict[str, object] = {"schemaVersion": 2, "mediaType": media_types.INDEX, "manifests": shown}
    answer = _page(index, call, [str(each["digest"]) for each in shown], more)
    answer.content_type = media_types.INDEX
    if call.asked("artifactType"):
        answer.headers["OCI-Filters-Applied"] = "artifactType"
    return answer


def whole_index(call: Call, entries: list[dict[str, object]]) -> web.StreamResponse:
    """As `referrers`, of these and no others."""
    answer = _page({"schemaVersion": 2, "mediaType": media_types.INDEX, "manifests": entries}, call, [], False)
    answer.content_type = media_types.INDEX
    if call.asked("artifactType"):
        answer.headers["OCI-Filters-Applied"] = "artifactType"
    return answer


def _referrers(call: Call, subject: Digest) -> tuple[list[dict[str, object]], bool]:
    """A page of them, and whether there are more."""
    shown: list[dict[str, object]] = []
    size = 0
    with call.storage.state.reading() as cursor:
        for each in records.referrers(cursor, call.repository, subject, call.asked("artifactType"), call.asked("last")):
            size += len(json.dumps(each))
            if shown and (size > _MOST_BYTES or len(shown) == _MOST):
                return shown, True
            shown.append(each)
    return shown, False


def _wanted(call: Call) -> int:
    """How many are asked for, at most a page. Raises the refusal PAGINATION_NUMBER_INVALID."""
    text = call.asked("n")
    if not text:
        return _MOST
    if not text.isascii() or not text.isdecimal():
        raise refusal("PAGINATION_NUMBER_INVALID", f"n is a number, not {text[:40]!r}")
    return min(int(text[:20]), _MOST)


def _page(document: dict[str, object], call: Call, names: list[str], more: bool) -> web.Response:
    answer = web.Response(
        body=json.dumps(document, ensure_ascii=False).encode(), headers={"Content-Type": "application/json"}
    )
    if more:
        asked = {key: call.asked(key) for key in ("n", "artifactType") if call.asked(key)}
        query = urlencode({**asked, "last": names[-1]})
        answer.headers["Link"] = f'<{call.request.rel_url.raw_path}?{query}>; rel="next"'
    return answer
