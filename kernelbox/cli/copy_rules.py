"""The rules of `docker cp`: what a word means, where a copy goes and what it is called there, what is not taken out."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable
from dataclasses import replace

from kernelbox.errors import InvalidOption, NotFound
from kernelbox.oci.value import frozen
from kernelbox.store.tar_entries import Entry, Kind

__all__ = [
    "LeftOut",
    "Place",
    "Source",
    "destination",
    "ending",
    "last_name",
    "renamed",
    "split_word",
    "stays_below",
    "tamed",
    "whole_path",
]


@frozen
class Source:
    """`base` begins the name of each of its entries ("" where nothing does); `name` is what it is to be called, "."
    where only what is in it is meant."""

    base: str
    name: str
    is_folder: bool


@frozen
class Place:
    """Where a copy is to go; its path may end in "/", which says that it is a folder."""

    path: str
    exists: bool
    is_folder: bool


def split_word(word: str) -> tuple[str, str]:
    """CONTAINER:PATH as (container, path); a path of the machine has "" for the container."""
    container, colon, path = word.partition(":")
    if not colon or word.startswith(("/", ".")):
        return "", word
    return container, path


def whole_path(path: str) -> str:
    """A path of the machine from the root; what it ends in, "/" or "/.", still says what it says."""
    whole = os.path.abspath(path).rstrip("/")
    return f"{whole}{ending(path)}" or "/"


def ending(path: str) -> str:
    """What says at the end of a path that it is a folder: "/", "/." or nothing."""
    if path == "." or path.endswith("/."):
        return "/."
    return "/" if path.endswith("/") else ""


def last_name(path: str) -> str:
    """What a copy of it is called: "." for what is in a folder, or in the root."""
    if ending(path) == "/.":
        return "."
    return posixpath.basename(posixpath.normpath(path)) or "."


def destination(source: Source, place: Place) -> tuple[str, str]:
    """The folder that the copy goes into, and its name there. Raises InvalidOption, NotFound."""
    if place.is_folder:
        return place.path, source.name
    if place.exists and source.is_folder:
        raise InvalidOption(f"a folder cannot be copied onto a file: {place.path}")
    if not place.exists and not source.is_folder and ending(place.path):
        raise NotFound(f"no such folder: {place.path}", hint="a file is copied into a folder that exists")
    whole = posixpath.normpath(place.path)
    return posixpath.dirname(whole), posixpath.basename(whole)


def renamed(source: Source, name: str) -> Callable[[Entry], Entry]:
    """Changes the entries of a copy that is to be called `name`."""

    def rename(path: str) -> str:
        if path == source.base:
            return name
        rest = path.removeprefix(f"{source.base}/") if source.base else path
        return f"{name}/{rest}"

    def change(entry: Entry) -> Entry:
        link = rename(entry.link) if entry.kind is Kind.HARD_LINK else entry.link
        return replace(entry, name=rename(entry.name.rstrip("/")), link=link)

    return change


class LeftOut:
    """What of a copy was left out: a sentence each, and the names."""

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self.names: set[str] = set()

    def note(self, entry: Entry, why: str) -> None:
        self.names.add(posixpath.normpath(entry.name))
        self.sentences.append(f"{posixpath.normpath(entry.name)}: {why}")


def tamed(entry: Entry, left_out: LeftOut, top: int = 0) -> Entry | None:
    """What may come out of a container onto the machine: nothing that is more there than data.

    A file keeps its permissions, but not those that let it run as another user; a link stays where it cannot lead out
    of what is copied, to whose folder `top` names lead. None for what is left out, which is noted."""
    if entry.kind is Kind.LINK and not stays_below(entry.name, entry.link, top):
        left_out.note(entry, f"a link that leads out of there, to {entry.link}")
        return None
    if entry.kind in (Kind.CHARACTERS, Kind.BLOCKS, Kind.FIFO):
        left_out.note(entry, f"a {entry.kind}")
        return None
    if entry.kind is Kind.HARD_LINK and posixpath.normpath(entry.link) in left_out.names:
        left_out.note(entry, f"another name of {posixpath.normpath(entry.link)}")
        return None
    attributes = {name: value for name, value in entry.attributes.items() if name.startswith("user.")}
    return replace(entry, mode=entry.mode & 0o777, attributes=attributes)


def stays_below(name: str, target: str, top: int = 0) -> bool:
    """Whether a link of this name cannot lead above the folder to which its first `top` names lead: ".." only in front,
    and no more often than there are folders. Further behind it could follow another link, and mean something else."""
    if target.startswith("/"):
        return False
    parts = [part for part in target.split("/") if part not in ("", ".")]
    depth = len([part for part in posixpath.normpath(name).split("/") if part != "."]) - 1
    ups = next((index for index, part in enumerate(parts) if part != ".."), len(parts))
    return ups <= max(depth - top, 0) and ".." not in parts[ups:]
