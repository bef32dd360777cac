"""Who vouches for the images of a store: what a signature said when an image was pulled, so that a start looks it up
instead of asking a registry.

An image is its id, the digest of its configuration, and with that its layers: what was true of it stays true, whatever
it is called later. The functions are parts of somebody's transaction.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from kernelbox.oci.value import frozen

if TYPE_CHECKING:
    import sqlite3

__all__ = ["SCHEMA", "Vouched"]

SCHEMA = """
CREATE TABLE image_signers (
    image TEXT NOT NULL, repository TEXT NOT NULL, key TEXT NOT NULL, verified_at REAL NOT NULL,
    PRIMARY KEY (image, repository, key)
);
"""


@frozen
class Vouched:
    """Whoever has the key of this fingerprint has signed an image as one of this repository ("docker.io/lab/tool")."""

    repository: str
    key: str


def put(cursor: sqlite3.Cursor, image: str, vouched: Iterable[Vouched]) -> None:
    """For the image of this id, besides what is known already."""
    cursor.executemany(
        "INSERT OR REPLACE INTO image_signers (image, repository, key, verified_at) VALUES (?, ?, ?, ?)",
        [(image, each.repository, each.key, time.time()) for each in vouched],
    )


def of(cursor: sqlite3.Cursor, image: str) -> frozenset[Vouched]:
    rows = cursor.execute("SELECT repository, key FROM image_signers WHERE image = ?", (image,))
    return frozenset(Vouched(str(repository), str(key)) for repository, key in rows)


def forget(cursor: sqlite3.Cursor, image: str) -> None:
    """The image has gone."""
    cursor.execute("DELETE FROM image_signers WHERE image = ?", (image,))
