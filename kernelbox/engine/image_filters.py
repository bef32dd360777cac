"""Which images are meant: the filters of `docker images` and `docker image prune`."""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from kernelbox.engine.filters import has_labels
from kernelbox.engine.volumes import boolean, checked
from kernelbox.errors import InvalidOption
from kernelbox.oci import reference
from kernelbox.store.image_rows import ImageRecord
from kernelbox.store.log_times import parse_time

if TYPE_CHECKING:
    from kernelbox.store.image_store import ImageStore

__all__ = ["Filters", "matching", "prune_condition"]

Filters = Mapping[str, object]
_Values = Sequence[str]


def matching(
    images: Iterable[ImageRecord], given: Filters, known: Sequence[str], store: ImageStore
) -> list[ImageRecord]:
    """Those that have all of what is asked for, and of several values of one kind any. Raises InvalidOption, and
    ImageNotFound for an image that others are compared with."""
    wanted, now = checked(given, known), time.time()
    tests = [
        *(_dangling(wanted["dangling"]) if "dangling" in wanted else ()),
        lambda image: has_labels(image.labels, wanted.get("label", ())),
        *(_older(parse_time(text, now)) for text in wanted.get("until", ())),
        *(_older(store.find(text).created_at) for text in wanted.get("before", ())),
        *(_newer(store.find(text).created_at) for text in wanted.get("since", ())),
    ]
    found = [image for image in images if all(test(image) for test in tests)]
    if "reference" not in wanted:
        return found
    named = ((image, _named(image, wanted["reference"])) for image in found)
    return [image for image, names in named if names]


def prune_condition(given: Filters, known: Sequence[str]) -> tuple[Callable[[ImageRecord], bool], bool]:
    """Whether an image is meant, and whether those with names are (dangling=false). Raises InvalidOption."""
    wanted, now = checked(given, known), time.time()
    until = [parse_time(text, now) for text in wanted.get("until", ())]

    def is_meant(image: ImageRecord) -> bool:
        return (
            has_labels(image.labels, wanted.get("label", ()))
            and not any(has_labels(image.labels, [each]) for each in wanted.get("label!", ()))
            and all(image.created_at < each for each in until)
        )

    return is_meant, any(not boolean("dangling", text) for text in wanted.get("dangling", ()))


def _dangling(values: _Values) -> Iterable[Callable[[ImageRecord], bool]]:
    meant = {boolean("dangling", text) for text in values}
    yield lambda image: image.dangling in meant


def _older(moment: float) -> Callable[[ImageRecord], bool]:
    return lambda image: image.created_at < moment


def _newer(moment: float) -> Callable[[ImageRecord], bool]:
    return lambda image: image.created_at > moment


def _named(image: ImageRecord, patterns: _Values) -> bool:
    """A pattern is of a repository, and of a tag if it has one: "debian", "*/lab:1*"."""
    return any(_fits(reference.parse(name), pattern) for name in image.names for pattern in patterns)


def _fits(name: reference.Reference, pattern: str) -> bool:
    if pattern.startswith(":") or not pattern:
        raise InvalidOption(f"invalid filter 'reference={pattern}'", hint="debian, for example, or debian:12*")
    repository, colon, tag = pattern.rpartition(":")
    if not colon or "/" in tag:
        repository, tag = pattern, "*"
    names = (name.familiar_name, name.name)
    return any(fnmatch.fnmatchcase(each, repository) for each in names) and fnmatch.fnmatchcase(name.tag, tag)
