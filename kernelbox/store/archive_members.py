"""The files of an image archive, by name: `docker save` and OCI image layouts, as a tar, a compressed one or a folder.

An archive is read once, from its beginning to its end, as it comes from a pipe; what an image consists of is known only
when all of it has been seen. So every file goes into the store of blobs at once, under the digest that it turns out to
have, and its name leads there. What no image turns out to need is garbage, and is collected as such.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from kernelbox.errors import InvalidContent, InvalidOption
from kernelbox.linux.descriptor import Descriptor
from kernelbox.oci.digest import ALGORITHMS, Digest
from kernelbox.oci.value import frozen
from kernelbox.store.blobs import Blobs
from kernelbox.store.layer_content import decompressed
from kernelbox.store.tar_entries import Kind, Readable, TarReader

__all__ = ["Member", "Members", "of_folder", "of_stream"]

_MOST_MEMBERS = 10_000
_MOST_DEPTH = 5
_CHUNK = 1 << 20


@frozen
class Member:
    """One file: the digest of what it holds, and how many bytes that is."""

    digest: Digest
    size: int


class Members:
    """By the path in the archive, which starts with no slash."""

    def __init__(self, blobs: Blobs) -> None:
        self.blobs = blobs
        self._found: dict[str, Member] = {}
        self._links: dict[str, str] = {}

    def __contains__(self, path: str) -> bool:
        return self.get(path) is not None

    def get(self, path: str) -> Member | None:
        """Of a link what it leads to, in the archive: older archives have a layer once that several images share."""
        seen = 0
        while path in self._links and seen <= len(self._links):
            path, seen = self._links[path], seen + 1
        return self._found.get(path)

    def need(self, path: str, whose: str) -> Member:
        """Raises InvalidContent where the archive has no such file."""
        member = self.get(path)
        if member is None:
            raise InvalidContent(f"the archive is incomplete: it has no {path[:200]!r}, which {whose} names")
        return member

    def read(self, path: str, most: int) -> bytes:
        """Raises InvalidContent where it is not there or longer than `most` bytes."""
        return self.blobs.read(self.need(path, "every such archive has").digest, most)

    def keep(self, path: str, content: Iterator[bytes]) -> None:
        """Raises InvalidContent where the name of a blob says another digest than it has."""
        self._bounded()
        size = 0
        with self.blobs.writer(_named(path)) as writer:
            for piece in content:
                writer.write(piece)
                size += len(piece)
            self._found[path] = Member(writer.commit(), size)

    def link(self, path: str, target: str) -> None:
        self._bounded()
        self._links[path] = target

    def _bounded(self) -> None:
        if len(self._found) + len(self._links) >= _MOST_MEMBERS:
            raise InvalidContent(f"the archive has more than {_MOST_MEMBERS} files: it is none of images")


def of_stream(stream: Readable, blobs: Blobs) -> Members:
    """Of a tar, plain or compressed with gzip or zstd. Raises InvalidContent, StoreError."""
    members = Members(blobs)
    reader = TarReader(decompressed(stream))
    try:
        for entry in reader:
            path = _clean(entry.name)
            if entry.kind is Kind.FILE:
                members.keep(path, reader.content())
            elif entry.kind is Kind.LINK:
                members.link(path, _clean(os.path.join(os.path.dirname(path), entry.link)))
            elif entry.kind is Kind.HARD_LINK:
                members.link(path, _clean(entry.link))
    except InvalidOption as error:
        raise InvalidContent(f"this is no archive of images: {error.message}", hint=error.hint) from error
    return members


def of_folder(folder: Path, blobs: Blobs) -> Members:
    """Of an image layout that is not packed. Raises InvalidContent, StoreError, OSError."""
    members = Members(blobs)
    for path in _files(folder, 0):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with Descriptor(descriptor):
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                pieces = iter(lambda fd=descriptor: os.read(fd, _CHUNK), b"")  # type: ignore[misc]
                members.keep(str(path.relative_to(folder)), pieces)
    return members


def _files(folder: Path, depth: int) -> Iterator[Path]:
    if depth > _MOST_DEPTH:
        raise InvalidContent(f"{folder} is no image layout: its folders are deeper than one has them")
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(Path(entry.path), depth + 1)
            elif entry.is_file(follow_symlinks=False):
                yield Path(entry.path)


def _clean(name: str) -> str:
    """Names are looked up, and never opened: one that leads elsewhere leads nowhere."""
    return os.path.normpath(f"/{name}").lstrip("/")


def _named(path: str) -> Digest | None:
    """The digest that the name of a blob of an OCI image layout promises."""
    folder, algorithm, encoded = (*path.split("/"), "", "", "")[:3]
    if folder != "blobs" or algorithm not in ALGORITHMS or path.count("/") != 2:
        return None
    return Digest.parse(f"{algorithm}:{encoded}")
