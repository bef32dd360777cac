"""Volumes in the state file: a row for each volume, and one for each container and place where it is used.

The functions here are parts of somebody's transaction. A volume that a container uses, running or not, has a row that
says so, which is made and goes with the container's own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING

from kernelbox.errors import Conflict, VolumeNotFound
from kernelbox.oci.value import frozen

if TYPE_CHECKING:
    import sqlite3

__all__ = ["ANONYMOUS_LABEL", "NEW", "READY", "REMOVING", "SCHEMA", "VolumeRecord", "VolumeUse"]

ANONYMOUS_LABEL = "com.docker.volume.anonymous"
"""Docker's label of volumes that nobody gave a name."""

NEW, READY, REMOVING = "new", "ready", "removing"

SCHEMA = """
CREATE TABLE volumes (
    name TEXT PRIMARY KEY NOT NULL, created_at REAL NOT NULL, labels TEXT NOT NULL, status TEXT NOT NULL
);
CREATE TABLE volume_uses (
    container TEXT NOT NULL, destination TEXT NOT NULL, volume TEXT NOT NULL, options TEXT NOT NULL,
    anonymous INTEGER NOT NULL, filled INTEGER NOT NULL, PRIMARY KEY (container, destination)
);
CREATE INDEX volume_uses_by_volume ON volume_uses (volume);
"""


@frozen
class VolumeRecord:
    """One volume; `created_at` is in seconds since 1970. Its folder is sure to be there once `status` is READY; a
    REMOVING one is not shown any more, and whoever sees it finishes that."""

    name: str
    created_at: float
    labels: Mapping[str, str] = field(default_factory=dict)
    status: str = READY

    @property
    def anonymous(self) -> bool:
        return ANONYMOUS_LABEL in self.labels


@frozen
class VolumeUse:
    """Where a container has a volume. `options` are the words of the mount (`engine.volume_options`), `anonymous`: it
    was made for this place, and `rm -v` removes it; `filled`: what the image has there needs no copying any more.
    `labels` are for one that has to be made, and not kept here."""

    container: str
    destination: str
    volume: str
    options: tuple[str, ...] = ()
    anonymous: bool = False
    filled: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)


def find(cursor: sqlite3.Cursor, name: str) -> VolumeRecord | None:
    rows = cursor.execute("SELECT name, created_at, labels, status FROM volumes WHERE name = ?", (name,)).fetchall()
    return _record(rows[0]) if rows else None


def every(cursor: sqlite3.Cursor) -> list[VolumeRecord]:
    """By name, whatever their status."""
    rows = cursor.execute("SELECT name, created_at, labels, status FROM volumes ORDER BY name")
    return [_record(row) for row in rows]


def insert(cursor: sqlite3.Cursor, record: VolumeRecord) -> None:
    cursor.execute(
        "INSERT INTO volumes (name, created_at, labels, status) VALUES (?, ?, ?, ?)",
        (record.name, record.created_at, json.dumps(dict(record.labels)), record.status),
    )
    note(cursor, record.name, "create")


def set_status(cursor: sqlite3.Cursor, name: str, status: str) -> None:
    cursor.execute("UPDATE volumes SET status = ? WHERE name = ?", (status, name))


def delete(cursor: sqlite3.Cursor, name: str) -> None:
    """Forgets a volume whose removal is done; nothing where it is not being removed."""
    if cursor.execute("DELETE FROM volumes WHERE name = ? AND status = ?", (name, REMOVING)).rowcount:
        note(cursor, name, "destroy")


def add_uses(cursor: sqlite3.Cursor, uses: Iterable[VolumeUse]) -> None:
    """For a new container. What is not there is made with it. Raises Conflict for a volume that is being removed."""
    for use in uses:
        found = find(cursor, use.volume)
        if found is None:
            labels = {ANONYMOUS_LABEL: ""} if use.anonymous else use.labels
            insert(cursor, VolumeRecord(use.volume, time.time(), labels, NEW))
        elif found.status == REMOVING:
            raise Conflict(f"the volume {use.volume} is just being removed", hint="try again")
        cursor.execute(
            "INSERT INTO volume_uses (container, destination, volume, options, anonymous, filled)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (use.container, use.destination, use.volume, json.dumps(use.options), use.anonymous, use.filled),
        )


def uses_of(cursor: sqlite3.Cursor, container: str) -> list[VolumeUse]:
    return _uses(cursor, "container = ? ORDER BY destination", (container,))


_OF_CONTAINERS = "FROM volume_uses JOIN containers ON containers.id = volume_uses.container"
"""An older kernelbox that has the file open removes containers without these rows."""


def names_of_users(cursor: sqlite3.Cursor, volume: str) -> list[str]:
    """The names of the containers that have it."""
    found = cursor.execute(
        f"SELECT DISTINCT containers.name {_OF_CONTAINERS} WHERE volume = ? ORDER BY containers.name", (volume,)
    )
    return [str(row[0]) for row in found]


def users_of(cursor: sqlite3.Cursor, volume: str) -> set[str]:
    """The ids of the containers that have it."""
    return {str(row[0]) for row in cursor.execute(f"SELECT container {_OF_CONTAINERS} WHERE volume = ?", (volume,))}


def used(cursor: sqlite3.Cursor) -> dict[str, int]:
    """How many containers have each volume that any has."""
    found = cursor.execute(f"SELECT volume, COUNT(DISTINCT container) {_OF_CONTAINERS} GROUP BY volume")
    return {str(name): int(count) for name, count in found}


def set_filled(cursor: sqlite3.Cursor, use: VolumeUse) -> None:
    cursor.execute(
        "UPDATE volume_uses SET filled = 1 WHERE container = ? AND destination = ?", (use.container, use.destination)
    )


def release(cursor: sqlite3.Cursor, container: str, *, anonymous: bool) -> None:
    """A container goes. `anonymous`: so do the volumes that were made for it and that nobody else has; they are
    REMOVING then."""
    uses = uses_of(cursor, container)
    cursor.execute("DELETE FROM volume_uses WHERE container = ?", (container,))
    for use in uses:
        if anonymous and use.anonymous and not names_of_users(cursor, use.volume):
            set_status(cursor, use.volume, REMOVING)


def note(cursor: sqlite3.Cursor, name: str, action: str) -> None:
    """An event."""
    cursor.execute(
        "INSERT INTO events (time, kind, action, id, attributes) VALUES (?, 'volume', ?, ?, ?)",
        (time.time(), action, name, json.dumps({"driver": "local"})),
    )


def not_found(name: str) -> VolumeNotFound:
    return VolumeNotFound(f"no such volume: {name}", hint="kernelbox volume ls lists them")


def _uses(cursor: sqlite3.Cursor, condition: str, values: tuple[object, ...]) -> list[VolumeUse]:
    rows = cursor.execute(
        f"SELECT container, destination, volume, options, anonymous, filled FROM volume_uses WHERE {condition}", values
    )
    return [
        VolumeUse(container, destination, volume, tuple(json.loads(options)), bool(anonymous), bool(filled))
        for container, destination, volume, options, anonymous, filled in rows
    ]


def _record(row: Sequence[object]) -> VolumeRecord:
    name, created_at, labels, status = row
    return VolumeRecord(str(name), float(str(created_at)), json.loads(str(labels)), str(status))
