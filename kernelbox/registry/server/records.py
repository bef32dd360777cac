"""The rows of a registry's state: which blobs, manifests and tags its repositories have. Each function is given the
cursor of the transaction, or of the question, that it is part of."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator

from kernelbox.oci.digest import Digest
from kernelbox.oci.manifest import Index, Manifest
from kernelbox.oci.value import frozen

__all__ = ["ManifestRow", "Totals"]

_FRESH_S = 60.0
"""What was seen more recently is not written down as seen once more."""

_NOT_DISTRIBUTED = ("nondistributable", ".foreign.")
"""In the media types of layers that a client may keep to itself (image-spec v1.1, layer.md)."""


@frozen
class ManifestRow:
    """`size` in bytes."""

    digest: Digest
    size: int
    media_type: str


@frozen
class Totals:
    """Of all repositories together; content that several have is counted once. `size` in bytes."""

    repositories: int
    manifests: int
    tags: int
    blobs: int
    size: int


def blob_size(cursor: sqlite3.Cursor, repository: str, digest: Digest) -> int | None:
    """In bytes; None where the repository does not have it."""
    row = cursor.execute(
        "SELECT size FROM blobs WHERE repository = ? AND digest = ?", (repository, str(digest))
    ).fetchone()
    return row[0] if row else None


def add_blob(cursor: sqlite3.Cursor, repository: str, digest: Digest, size: int) -> None:
    cursor.execute(
        "INSERT OR REPLACE INTO blobs (repository, digest, size, seen_at) VALUES (?, ?, ?, ?)",
        (repository, str(digest), size, time.time()),
    )


def is_fresh(cursor: sqlite3.Cursor, repository: str, digest: Digest) -> bool:
    """Whether somebody has asked for this blob a moment ago."""
    row = cursor.execute(
        "SELECT seen_at FROM blobs WHERE repository = ? AND digest = ?", (repository, str(digest))
    ).fetchone()
    return row is not None and row[0] > time.time() - _FRESH_S


def see_blob(cursor: sqlite3.Cursor, repository: str, digest: Digest) -> bool:
    """Somebody relies on it: they may be about to put a manifest that needs it. Whether it is there."""
    cursor.execute(
        "UPDATE blobs SET seen_at = ? WHERE repository = ? AND digest = ?", (time.time(), repository, str(digest))
    )
    return cursor.rowcount > 0


def repositories_with(cursor: sqlite3.Cursor, digest: Digest) -> list[str]:
    return [row[0] for row in cursor.execute("SELECT repository FROM blobs WHERE digest = ?", (str(digest),))]


def delete_blob(cursor: sqlite3.Cursor, repository: str, digest: Digest) -> bool:
    """Whether it was there."""
    cursor.execute("DELETE FROM blobs WHERE repository = ? AND digest = ?", (repository, str(digest)))
    return cursor.rowcount > 0


def needing(cursor: sqlite3.Cursor, repository: str, digest: Digest) -> str | None:
    """The digest of a manifest of the repository that needs this, if one does."""
    row = cursor.execute(
        "SELECT manifest FROM needs WHERE repository = ? AND digest = ? LIMIT 1", (repository, str(digest))
    ).fetchone()
    return row[0] if row else None


def is_needed(cursor: sqlite3.Cursor, digest: Digest) -> bool:
    """Whether any repository has this content."""
    found = cursor.execute(
        "SELECT EXISTS (SELECT 1 FROM blobs WHERE digest = ?1) OR EXISTS (SELECT 1 FROM manifests WHERE digest = ?1)",
        (str(digest),),
    ).fetchone()
    return bool(found[0])


def is_repository(cursor: sqlite3.Cursor, repository: str) -> bool:
    """Whether anything was ever brought there, and is there still."""
    found = cursor.execute(
        "SELECT EXISTS (SELECT 1 FROM manifests WHERE repository = ?1) "
        "OR EXISTS (SELECT 1 FROM blobs WHERE repository = ?1)",
        (repository,),
    ).fetchone()
    return bool(found[0])


def missing(cursor: sqlite3.Cursor, repository: str, manifest: Manifest | Index) -> list[Digest]:
    """What the manifest needs and the repository does not have. What it is about (`subject`) may come later."""
    if isinstance(manifest, Index):
        wanted = [each.digest for each in manifest.manifests]
    else:
        kept = [each for each in manifest.layers if not _is_kept_back(each.media_type)]
        wanted = [manifest.config.digest, *(each.digest for each in kept)]
    return [each for each in dict.fromkeys(wanted) if not _is_there(cursor, repository, each)]


def _is_kept_back(media_type: str) -> bool:
    return any(word in media_type for word in _NOT_DISTRIBUTED)


def _is_there(cursor: sqlite3.Cursor, repository: str, digest: Digest) -> bool:
    found = cursor.execute(
        "SELECT EXISTS (SELECT 1 FROM blobs WHERE repository = ?1 AND digest = ?2) "
        "OR EXISTS (SELECT 1 FROM manifests WHERE repository = ?1 AND digest = ?2)",
        (repository, str(digest)),
    ).fetchone()
    return bool(found[0])


def add_manifest(cursor: sqlite3.Cursor, repository: str, digest: Digest, manifest: Manifest | Index) -> None:
    """And what it needs."""
    kind = manifest.artifact_type
    if isinstance(manifest, Manifest):
        kind = kind or manifest.config.media_type
        needed = [manifest.config, *manifest.layers]
    else:
        needed = [*manifest.manifests]
    cursor.execute(
        "INSERT OR REPLACE INTO manifests VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            repository,
            str(digest),
            len(manifest.raw),
            manifest.media_type,
            str(manifest.subject.digest) if manifest.subject else "",
            kind,
            json.dumps(dict(manifest.annotations), ensure_ascii=False),
            time.time(),
        ),
    )
    cursor.execute("DELETE FROM needs WHERE repository = ? AND manifest = ?", (repository, str(digest)))
    cursor.executemany(
        "INSERT OR IGNORE INTO needs VALUES (?, ?, ?)",
        [(repository, str(digest), str(each.digest)) for each in needed],
    )


def set_tags(cursor: sqlite3.Cursor, repository: str, digest: Digest, tags: Iterable[str]) -> None:
    """These tags are that manifest's from now on."""
    cursor.executemany("INSERT OR REPLACE INTO tags VALUES (?, ?, ?)", [(repository, tag, str(digest)) for tag in tags])


def manifest(cursor: sqlite3.Cursor, repository: str, reference: Digest | str) -> ManifestRow | None:
    """By digest or tag."""
    by_tag = "(SELECT digest FROM tags WHERE repository = ?1 AND tag = ?2)"
    place = "?2" if isinstance(reference, Digest) else by_tag
    row = cursor.execute(
        f"SELECT digest, size, media_type FROM manifests WHERE repository = ?1 AND digest = {place}",
        (repository, str(reference)),
    ).fetchone()
    return ManifestRow(Digest.parse(row[0]), row[1], row[2]) if row else None


def delete_manifest(cursor: sqlite3.Cursor, repository: str, digest: Digest) -> bool:
    """With its tags. Whether it was there."""
    for table, column in (("tags", "digest"), ("needs", "manifest")):
        cursor.execute(f"DELETE FROM {table} WHERE repository = ? AND {column} = ?", (repository, str(digest)))
    cursor.execute("DELETE FROM manifests WHERE repository = ? AND digest = ?", (repository, str(digest)))
    return cursor.rowcount > 0


def delete_tag(cursor: sqlite3.Cursor, repository: str, tag: str) -> bool:
    """Whether it was there. The manifest stays."""
    cursor.execute("DELETE FROM tags WHERE repository = ? AND tag = ?", (repository, tag))
    return cursor.rowcount > 0


def tags(cursor: sqlite3.Cursor, repository: str, after: str, most: int) -> list[str]:
    """In the order of their bytes."""
    rows = cursor.execute(
        "SELECT tag FROM tags WHERE repository = ? AND tag > ? ORDER BY tag LIMIT ?", (repository, after, most)
    )
    return [row[0] for row in rows]


def repositories(cursor: sqlite3.Cursor, after: str) -> Iterator[str]:
    """Those that have manifests, in the order of their bytes. Each step is one look into the index, however many
    manifests a repository has."""
    name = after
    while row := cursor.execute(
        "SELECT repository FROM manifests WHERE repository > ? ORDER BY repository LIMIT 1", (name,)
    ).fetchone():
        name = row[0]
        yield name


def referrers(
    cursor: sqlite3.Cursor, repository: str, subject: Digest, artifact_type: str, after: str
) -> Iterator[dict[str, object]]:
    """The descriptors of the manifests that are about `subject`, by digest."""
    rows = cursor.execute(
        "SELECT digest, size, media_type, artifact_type, annotations FROM manifests "
        "WHERE repository = ?1 AND subject = ?2 AND subject != '' AND digest > ?3 "
        "AND (?4 = '' OR artifact_type = ?4) ORDER BY digest",
        (repository, str(subject), after, artifact_type),
    )
    for digest, size, media_type, kind, notes in rows:
        found: dict[str, object] = {"mediaType": media_type, "digest": digest, "size": size}
        if kind:
            found["artifactType"] = kind
        if notes != "{}":
            found["annotations"] = json.loads(notes)
        yield found


def totals(cursor: sqlite3.Cursor) -> Totals:
    content = "SELECT digest, size FROM blobs UNION SELECT digest, size FROM manifests"
    manifests, tags, blobs, size = cursor.execute(
        "SELECT (SELECT count(*) FROM manifests), (SELECT count(*) FROM tags), count(*), coalesce(sum(size), 0) "
        f"FROM ({content})"
    ).fetchone()
    return Totals(sum(1 for _ in repositories(cursor, "")), manifests, tags, blobs, size)
