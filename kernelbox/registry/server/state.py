"""What a registry knows beside the content itself, in SQLite (WAL), for several servers on one storage at once.

A blob belongs to a repository because somebody brought it there or mounted it: nobody reads it through another one. A
change is one transaction, and durable when the call returns. Where content comes to the storage or leaves it, that
happens within the transaction that says so, so that one who collects and one who brings never miss each other.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from kernelbox.errors import StoreError
from kernelbox.store.held_files import make_folder

__all__ = ["State"]

_PATIENCE_S = 30.0
_SCHEMA = """
CREATE TABLE blobs (
    repository TEXT NOT NULL, digest TEXT NOT NULL, size INTEGER NOT NULL, seen_at REAL NOT NULL,
    PRIMARY KEY (repository, digest)
) WITHOUT ROWID;
CREATE INDEX blobs_by_digest ON blobs (digest);
CREATE TABLE manifests (
    repository TEXT NOT NULL, digest TEXT NOT NULL, size INTEGER NOT NULL, media_type TEXT NOT NULL,
    subject TEXT NOT NULL, artifact_type TEXT NOT NULL, annotations TEXT NOT NULL, seen_at REAL NOT NULL,
    PRIMARY KEY (repository, digest)
) WITHOUT ROWID;
CREATE INDEX manifests_by_digest ON manifests (digest);
CREATE INDEX manifests_by_subject ON manifests (repository, subject, digest) WHERE subject != '';
CREATE TABLE tags (
    repository TEXT NOT NULL, tag TEXT NOT NULL, digest TEXT NOT NULL,
    PRIMARY KEY (repository, tag)
) WITHOUT ROWID;
CREATE INDEX tags_by_digest ON tags (repository, digest);
CREATE TABLE needs (
    repository TEXT NOT NULL, manifest TEXT NOT NULL, digest TEXT NOT NULL,
    PRIMARY KEY (repository, manifest, digest)
) WITHOUT ROWID;
CREATE INDEX needs_by_digest ON needs (repository, digest);
"""
_STEPS = (_SCHEMA,)
"""What each version has added to the one before."""
VERSION = len(_STEPS)


class State:
    """Opened when it is first needed. Safe for several threads and processes; close it. Raises StoreError, with the
    file left as it is, where it is damaged or of a newer kernelbox."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mutex = threading.RLock()
        self._connection: sqlite3.Connection | None = None

    def close(self) -> None:
        """Idempotent."""
        with self._mutex:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Cursor]:
        """A cursor for questions, each of them answered from one moment."""
        with self._mutex, self._explained():
            cursor = self._open().cursor()
            try:
                yield cursor
            finally:
                cursor.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Cursor]:
        """A cursor for one change: all of what the block does with it, or where it raises nothing. Nobody else changes
        anything in the meantime, in this process or in another."""
        with self.reading() as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            try:
                yield cursor
                cursor.execute("COMMIT")
            except BaseException:
                if cursor.connection.in_transaction:
                    cursor.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise StoreError(f"could not use the state of the registry, {self._path}: {error}") from error

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            make_folder(self._path.parent)
            connection = sqlite3.connect(self._path, timeout=_PATIENCE_S, isolation_level=None, check_same_thread=False)
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise StoreError(
                f"the state of the registry, {self._path}, is of a newer kernelbox (version {version}, this one knows "
                f"{VERSION})",
                hint="update kernelbox, or use another storage",
            )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        if version == VERSION:
            return
        connection.execute("BEGIN IMMEDIATE")
        version = connection.execute("PRAGMA user_version").fetchone()[0]  # somebody else may have been quicker
        for step in _STEPS[version:]:
            for statement in step.split(";\n"):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {max(version, VERSION)}")
        connection.execute("COMMIT")
