"""Finding repositories by a word, where a registry offers that: the default one does, by an interface older than the
specification; of others the list of repositories is looked through.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from urllib.parse import urlencode

from kernelbox.errors import NotSupported, RegistryError
from kernelbox.oci import content
from kernelbox.oci.value import frozen
from kernelbox.registry import answers
from kernelbox.registry.session import Ask, Session

__all__ = ["Found", "of_catalog", "of_index"]

_MOST_BYTES = 4 << 20
_MOST_RESULTS = 100


@frozen
class Found:
    """A repository, in the words of whoever keeps it; `official` where the registry vouches for it."""

    name: str
    description: str = ""
    stars: int = 0
    official: bool = False


def of_index(session: Session, words: str, most: int) -> tuple[Found, ...]:
    """Raises RegistryError (with 404 where there is no such interface), InvalidContent."""
    query = urlencode({"q": words, "n": min(most, _MOST_RESULTS)})
    _, raw = session.read(Ask("GET", f"/v1/search?{query}", f"search for {words[:60]!r}"), _MOST_BYTES)
    results = content.load(raw, "search", _MOST_BYTES).get("results")
    return tuple(itertools.islice(_read(results), most))


def of_catalog(names: Iterator[str], words: str, most: int, registry: str) -> tuple[Found, ...]:
    """Those names that contain the words. Raises NotSupported where there is no list of names."""
    try:
        return tuple(itertools.islice((Found(name) for name in names if words.lower() in name), most))
    except RegistryError as error:
        if error.http_status not in (404, 405):
            raise
        raise NotSupported(f"{registry} offers no search, and no list of its repositories") from error


def _read(results: object) -> Iterator[Found]:
    for each in results if isinstance(results, list) else ():
        name = each.get("name") if isinstance(each, dict) else None
        if isinstance(name, str) and name:
            description, stars = each.get("description"), each.get("star_count")
            yield Found(
                answers.readable(name),
                answers.readable(description) if isinstance(description, str) else "",
                stars if isinstance(stars, int) else 0,
                each.get("is_official") is True,
            )
