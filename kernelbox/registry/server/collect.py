"""Garbage collection of a registry's storage, beside servers that go on serving, in this process and in others.

What somebody may be about to use is left alone: a blob that no manifest needs is kept for a while after it was
brought, mounted or asked for (a client that finds it there does not bring it again, and puts its manifest a little
later), and an upload for a while after something came. A manifest is put in one transaction with the check that all it
needs is there, and what is forgotten here is forgotten in a transaction before its content goes in another.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

from kernelbox.oci.digest import Digest
from kernelbox.oci.value import frozen
from kernelbox.registry.server import records
from kernelbox.registry.server.storage import Storage

__all__ = ["KEPT_S", "UPLOADS_KEPT_S", "Collected", "collect"]

KEPT_S = 3600.0
"""How long a blob that nothing needs is kept after somebody has last relied on it."""

UPLOADS_KEPT_S = 24 * 3600.0
"""How long an upload waits to be gone on with."""

_AT_ONCE = 64

_KEPT_MANIFESTS = """
WITH RECURSIVE kept (repository, digest) AS (
    SELECT repository, digest FROM tags
    UNION SELECT repository, digest FROM manifests WHERE seen_at > ?1
    UNION SELECT needs.repository, needs.digest FROM needs
        JOIN kept ON needs.repository = kept.repository AND needs.manifest = kept.digest
    UNION SELECT manifests.repository, manifests.digest FROM manifests
        JOIN kept ON manifests.repository = kept.repository AND manifests.subject = kept.digest
)
SELECT repository, digest FROM manifests WHERE (repository, digest) NOT IN (SELECT repository, digest FROM kept)
"""
"""Those that no tag leads to: not itself, not through an index, and not as something that is about such a one."""

_UNNEEDED_BLOBS = """
SELECT repository, digest FROM blobs WHERE seen_at <= ?1 AND NOT EXISTS (
    SELECT 1 FROM needs WHERE needs.repository = blobs.repository AND needs.digest = blobs.digest
) LIMIT ?2
"""


@frozen
class Collected:
    """What has gone: `blobs` and `manifests` from their repositories, `uploads`, and `size` bytes from the disk."""

    blobs: int
    manifests: int
    uploads: int
    size: int


def collect(
    storage: Storage, *, kept_s: float = KEPT_S, uploads_kept_s: float = UPLOADS_KEPT_S, untagged: bool = False
) -> Collected:
    """Forgets what nothing needs; with `untagged` also manifests that no tag leads to. Raises StoreError."""
    before = time.time() - kept_s
    manifests, size = _collect_manifests(storage, before) if untagged else (0, 0)
    blobs, freed = _collect_blobs(storage, before)
    uploads, broken = _collect_uploads(storage, uploads_kept_s)
    storage.blobs.clean()
    return Collected(blobs, manifests, uploads, size + freed + broken + _collect_strays(storage))


def _collect_manifests(storage: Storage, before: float) -> tuple[int, int]:
    with storage.state.transaction() as cursor:
        found = cursor.execute(_KEPT_MANIFESTS, (before,)).fetchall()
        for repository, digest in found:
            records.delete_manifest(cursor, repository, Digest.parse(digest))
    return len(found), storage.drop(Digest.parse(digest) for _, digest in found)


def _collect_blobs(storage: Storage, before: float) -> tuple[int, int]:
    """A few in each transaction: others wait for it."""
    count = freed = 0
    while True:
        with storage.state.transaction() as cursor:
            found = cursor.execute(_UNNEEDED_BLOBS, (before, _AT_ONCE)).fetchall()
            for repository, digest in found:
                records.delete_blob(cursor, repository, Digest.parse(digest))
        freed += storage.drop(Digest.parse(digest) for _, digest in found)
        count += len(found)
        if len(found) < _AT_ONCE:
            return count, freed


def _collect_uploads(storage: Storage, kept_s: float) -> tuple[int, int]:
    count = freed = 0
    for path, size in storage.uploads.stale(kept_s):
        path.unlink(missing_ok=True)
        count += 1
        freed += size
    return count, freed


def _collect_strays(storage: Storage) -> int:
    """Content that somebody who was killed has brought, and had not yet written down whose it is."""
    return sum(storage.drop(some) for some in _batches(storage.blobs.every()))


def _batches(found: Iterator[Digest]) -> Iterator[list[Digest]]:
    while some := list(itertools.islice(found, _AT_ONCE)):
        yield some
