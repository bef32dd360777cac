"""`kernelbox search`: repositories of a registry, by a word."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from kernelbox.cli.table_layout import ellipsis
from kernelbox.cli.template_values import Row
from kernelbox.cli.templates import render_rows
from kernelbox.cli.verbs import Given
from kernelbox.engine import filters
from kernelbox.errors import InvalidOption
from kernelbox.oci import reference
from kernelbox.registry.client import Client
from kernelbox.registry.search import Found

__all__ = ["search"]

_HEADERS: Mapping[str, str] = {
    "Name": "NAME",
    "Description": "DESCRIPTION",
    "StarCount": "STARS",
    "IsOfficial": "OFFICIAL",
    "IsAutomated": "AUTOMATED",
}
_KEYS = ("is-official", "stars")
_MOST, _USUAL, _WIDTH = 100, 25, 45


class _Found(Row):
    def __init__(self, found: Found, name: str, *, no_trunc: bool) -> None:
        description = " ".join(found.description.split())
        super().__init__({
            "Name": name,
            "Description": description if no_trunc else ellipsis(description, _WIDTH),
            "StarCount": str(found.stars),
            "IsOfficial": "[OK]" if found.official else "",
            "IsAutomated": "",
        })  # fmt: skip


def search(given: Given) -> int:
    registry, words = _parts(given.words[0])
    wanted = filters.parse(given.texts("filter"), _KEYS)
    stars = max(map(_number, wanted.get("stars", ())), default=0)
    limit = given.number("limit")
    if limit is not None and not 1 <= limit <= _MOST:
        raise InvalidOption(f"--limit: {limit} is not between 1 and {_MOST}")
    with Client() as client:
        found = client.search(registry, words, limit or _USUAL)
    official = [word.lower() for word in wanted.get("is-official", ())]
    rows = [
        _Found(each, _name(registry, each), no_trunc=given.flag("no_trunc"))
        for each in found
        if each.stars >= stars and all(word == str(each.official).lower() for word in official)
    ]
    template = given.text("format")
    if template in ("", "table"):
        template = "table {{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}"
    sys.stdout.write(render_rows(template, rows, _HEADERS))
    return 0


def _parts(term: str) -> tuple[str, str]:
    """The registry that is named in front, or the default one, and what is looked for there."""
    first, slash, rest = term.partition("/")
    named = bool(slash) and ("." in first or ":" in first or first == "localhost") and reference.is_registry(first)
    return (first, rest) if named else (reference.DEFAULT_REGISTRY, term)


def _name(registry: str, found: Found) -> str:
    """As it can be pulled."""
    return found.name if registry == reference.DEFAULT_REGISTRY else f"{registry}/{found.name}"


def _number(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise InvalidOption(f"invalid filter 'stars={text[:40]}'", hint="a number: stars=3")
    return int(text)
