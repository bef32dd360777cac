"""Images in the state file: a row for each, one for each name that it has, and one for each piece of content and each
layer that somebody wants to be kept.

The functions here are parts of somebody's transaction. Who wants something kept is its owner: an image (by its id) or a
pull that is running ("lease/..."). What nobody owns may be removed, and is only removed within a transaction: so what
was there when an owner's row was made stays.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING

from kernelbox.errors import ImageNotFound
from kernelbox.oci.digest import Digest
from kernelbox.oci.value import frozen
from kernelbox.store import trust_rows

if TYPE_CHECKING:
    import sqlite3

__all__ = ["FORGOTTEN", "READY", "SCHEMA", "ImageRecord", "LayerUse"]

READY, FORGOTTEN = "ready", "forgotten"

SCHEMA = """
CREATE TABLE images (
    id TEXT PRIMARY KEY NOT NULL, manifest TEXT NOT NULL, created_at REAL NOT NULL, added_at REAL NOT NULL,
    platform TEXT NOT NULL, labels TEXT NOT NULL, size INTEGER NOT NULL, status TEXT NOT NULL
);
CREATE TABLE image_names (name TEXT PRIMARY KEY NOT NULL, image TEXT NOT NULL, tagged_at REAL NOT NULL);
CREATE INDEX image_names_by_image ON image_names (image);
CREATE TABLE blob_uses (
    owner TEXT NOT NULL, digest TEXT NOT NULL, size INTEGER NOT NULL, PRIMARY KEY (owner, digest)
);
CREATE INDEX blob_uses_by_digest ON blob_uses (digest);
CREATE TABLE layer_uses (
    owner TEXT NOT NULL, chain_id TEXT NOT NULL, size INTEGER NOT NULL, position INTEGER NOT NULL,
    PRIMARY KEY (owner, chain_id)
);
CREATE INDEX layer_uses_by_layer ON layer_uses (chain_id);
"""

_COLUMNS = "id, manifest, created_at, added_at, platform, labels, size, status"


@frozen
class ImageRecord:
    """One image. `id` is the digest of its configuration, `manifest` that of the manifest that it came with last, both
    as text. `created_at` is when it was made and `added_at` when it came here, in seconds since 1970; `size` the bytes
    of its layers on this disk. `names` are whole ones, with a tag or with a digest.

    A FORGOTTEN one was removed while a container had it: it is not shown any more, and keeps its layers until that has
    gone."""

    id: str
    manifest: str
    created_at: float
    added_at: float
    platform: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    size: int = 0
    status: str = READY
    names: tuple[str, ...] = ()

    @property
    def short_id(self) -> str:
        """The twelve digits that Docker shows."""
        return self.id.partition(":")[2][:12]

    @property
    def tags(self) -> tuple[str, ...]:
        """Its names that have a tag."""
        return tuple(name for name in self.names if "@" not in name)

    @property
    def digests(self) -> tuple[str, ...]:
        """Its names that have a digest."""
        return tuple(name for name in self.names if "@" in name)

    @property
    def dangling(self) -> bool:
        """Nobody calls it anything."""
        return not self.names


@frozen
class LayerUse:
    """A layer of an image, and the bytes that it takes of the disk."""

    chain_id: Digest
    size: int


def get(cursor: sqlite3.Cursor, identity: str, *, forgotten: bool = False) -> ImageRecord | None:
    """By its whole id; None where there is none, or a FORGOTTEN one unless that will do too."""
    found = _select(cursor, "id = ?", (identity,))
    return found[0] if found and (forgotten or found[0].status == READY) else None


def by_prefix(cursor: sqlite3.Cursor, prefix: str) -> list[ImageRecord]:
    """Those whose id begins so ("sha256:0c9b")."""
    return _select(cursor, "id >= ? AND id < ? AND status = ?", (prefix, f"{prefix}g", READY))


def by_name(cursor: sqlite3.Cursor, name: str) -> ImageRecord | None:
    rows = cursor.execute("SELECT image FROM image_names WHERE name = ?", (name,)).fetchall()
    return get(cursor, rows[0][0]) if rows else None


def every(cursor: sqlite3.Cursor) -> list[ImageRecord]:
    """Those that are shown, the newest first."""
    return _select(cursor, "status = ? ORDER BY created_at DESC, added_at DESC, id", (READY,))


def put(cursor: sqlite3.Cursor, record: ImageRecord) -> None:
    """A new image, or one that has come again, whose names stay."""
    cursor.execute(
        f"INSERT INTO images ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET manifest = excluded.manifest, added_at = excluded.added_at,"
        " size = excluded.size, status = excluded.status",
        (
            *(record.id, record.manifest, record.created_at, record.added_at, record.platform),
            *(json.dumps(dict(record.labels)), record.size, record.status),
        ),
    )


def set_name(cursor: sqlite3.Cursor, name: str, image: str) -> None:
    """Calls the image so, and no other any more."""
    cursor.execute(
        "INSERT OR REPLACE INTO image_names (name, image, tagged_at) VALUES (?, ?, ?)", (name, image, time.time())
    )


def drop_name(cursor: sqlite3.Cursor, name: str) -> None:
    cursor.execute("DELETE FROM image_names WHERE name = ?", (name,))


def delete(cursor: sqlite3.Cursor, identity: str) -> bool:
    """Removes an image and its names; where a container has it, it is only FORGOTTEN, and False the answer."""
    cursor.execute("DELETE FROM image_names WHERE image = ?", (identity,))
    if containers_of(cursor, identity):
        cursor.execute("UPDATE images SET status = ? WHERE id = ?", (FORGOTTEN, identity))
        return False
    cursor.execute("DELETE FROM images WHERE id = ?", (identity,))
    trust_rows.forget(cursor, identity)
    release(cursor, identity)
    return True


def delete_forgotten(cursor: sqlite3.Cursor) -> None:
    """Those that no container has any more."""
    condition = "status = ? AND id NOT IN (SELECT image_digest FROM containers)"
    for record in _select(cursor, condition, (FORGOTTEN,)):
        delete(cursor, record.id)


def containers_of(cursor: sqlite3.Cursor, identity: str) -> list[tuple[str, str]]:
    """The id and status of each container that is kept and has this image."""
    found = cursor.execute("SELECT id, status FROM containers WHERE image_digest = ? ORDER BY created_at", (identity,))
    return [(str(container), str(status)) for container, status in found]


def used(cursor: sqlite3.Cursor) -> dict[str, int]:
    """How many containers that are kept have each image that any has."""
    rows = cursor.execute(
        "SELECT image_digest, COUNT(*) FROM containers WHERE image_digest != '' GROUP BY image_digest"
    )
    return dict(rows.fetchall())


def check_present(cursor: sqlite3.Cursor, identity: str) -> None:
    """For a new container: its image, if it has one of the store, has not gone in the meantime. Raises
    ImageNotFound."""
    if identity and get(cursor, identity) is None:
        raise ImageNotFound(f"the image {identity} has just been removed", hint="pull it again")


def use_blobs(cursor: sqlite3.Cursor, owner: str, blobs: Iterable[tuple[Digest, int]]) -> None:
    """The owner has these, with their sizes in bytes, besides what it has already."""
    cursor.executemany(
        "INSERT OR REPLACE INTO blob_uses (owner, digest, size) VALUES (?, ?, ?)",
        [(owner, str(digest), size) for digest, size in blobs],
    )


def use_layers(cursor: sqlite3.Cursor, owner: str, layers: Sequence[LayerUse]) -> None:
    """The owner has these, the lowest first, besides what it has already."""
    cursor.executemany(
        "INSERT OR REPLACE INTO layer_uses (owner, chain_id, size, position) VALUES (?, ?, ?, ?)",
        [(owner, str(each.chain_id), each.size, position) for position, each in enumerate(layers)],
    )


def release(cursor: sqlite3.Cursor, owner: str) -> None:
    """It has nothing any more."""
    for table in ("blob_uses", "layer_uses"):
        cursor.execute(f"DELETE FROM {table} WHERE owner = ?", (owner,))


def layers_of(cursor: sqlite3.Cursor, owner: str) -> list[LayerUse]:
    """The lowest first."""
    rows = cursor.execute("SELECT chain_id, size FROM layer_uses WHERE owner = ? ORDER BY position", (owner,))
    return [LayerUse(Digest.parse(chain_id), size) for chain_id, size in rows]


def owners(cursor: sqlite3.Cursor, beginning: str) -> list[str]:
    """Those whose name begins so."""
    condition = "WHERE owner >= ? AND owner < ?"
    rows = cursor.execute(
        f"SELECT owner FROM blob_uses {condition} UNION SELECT owner FROM layer_uses {condition}",
        (beginning, f"{beginning}\U0010ffff") * 2,
    )
    return [str(owner) for (owner,) in rows]


def owned_blobs(cursor: sqlite3.Cursor) -> set[str]:
    return {digest for (digest,) in cursor.execute("SELECT DISTINCT digest FROM blob_uses")}


def owned_layers(cursor: sqlite3.Cursor) -> set[str]:
    return {chain_id for (chain_id,) in cursor.execute("SELECT DISTINCT chain_id FROM layer_uses")}


def in_use(cursor: sqlite3.Cursor) -> tuple[set[str], set[str]]:
    """The blobs and the layers of images that containers have which are kept."""
    owner = "owner IN (SELECT image_digest FROM containers)"
    blobs = cursor.execute(f"SELECT DISTINCT digest FROM blob_uses WHERE {owner}").fetchall()
    layers = cursor.execute(f"SELECT DISTINCT chain_id FROM layer_uses WHERE {owner}").fetchall()
    return {digest for (digest,) in blobs}, {chain_id for (chain_id,) in layers}


def note(cursor: sqlite3.Cursor, identity: str, action: str, attributes: Mapping[str, str]) -> None:
    """An event."""
    cursor.execute(
        "INSERT INTO events (time, kind, action, id, attributes) VALUES (?, 'image', ?, ?, ?)",
        (time.time(), action, identity, json.dumps(dict(attributes))),
    )


def _select(cursor: sqlite3.Cursor, condition: str, values: tuple[object, ...]) -> list[ImageRecord]:
    rows = cursor.execute(f"SELECT {_COLUMNS} FROM images WHERE {condition}", values).fetchall()
    return [_record(cursor, row) for row in rows]


def _record(cursor: sqlite3.Cursor, row: Sequence[object]) -> ImageRecord:
    identity, manifest, created_at, added_at, platform, labels, size, status = row
    names = cursor.execute("SELECT name FROM image_names WHERE image = ? ORDER BY name", (identity,)).fetchall()
    return ImageRecord(
        str(identity),
        str(manifest),
        float(str(created_at)),
        float(str(added_at)),
        str(platform),
        json.loads(str(labels)),
        int(str(size)),
        str(status),
        tuple(str(name) for (name,) in names),
    )
