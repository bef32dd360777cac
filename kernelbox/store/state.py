"""The state file of a store: its containers and what happened to them, in SQLite (WAL), for several processes at once.

A change is one transaction, and durable when the call returns, unless `durable` is denied: then it is with the next
change that is, and until then only a power cut can undo it. Nobody holds a lock longer than that. What the file
says of a running container may be out of date at any time: the truth is `engine.truth`'s, which compares it with the
kernel and with the exit records.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from kernelbox.errors import ContainerNotFound, InvalidOption, NameInUse, StoreError
from kernelbox.store import image_rows, trust_rows, volume_rows
from kernelbox.store.container_record import ContainerRecord
from kernelbox.store.volume_rows import VolumeUse

__all__ = ["Event", "StateFile"]

_PATIENCE_S, _MOMENT_S = 10.0, 0.002
_JSON = ("command", "options", "labels", "usage")
_COLUMNS = tuple(ContainerRecord.__dataclass_fields__)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM containers"
_READ: Mapping[str, Callable[[str], object]] = {
    **dict.fromkeys(_JSON, lambda text: {} if text == "{}" else json.loads(text)),  # empty ones are many
    "command": lambda text: tuple(json.loads(text)),
    **dict.fromkeys(("oom_killed", "stopped_by_user"), bool),
}
_READERS = tuple((at, _READ[name]) for at, name in enumerate(_COLUMNS) if name in _READ)
"""Of the columns that SQLite keeps as another type."""

_CONTAINERS = f"""
CREATE TABLE containers (
    {", ".join(f"{name} NOT NULL" if name not in ("exit_code",) else name for name in _COLUMNS)},
    PRIMARY KEY (id), UNIQUE (name)
);
CREATE TABLE events (
    number INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, kind TEXT NOT NULL, action TEXT NOT NULL,
    id TEXT NOT NULL, attributes TEXT NOT NULL
);
CREATE INDEX events_by_time ON events (time);
"""
_STEPS = (_CONTAINERS, volume_rows.SCHEMA, image_rows.SCHEMA, trust_rows.SCHEMA)
"""What each version has added to the one before."""
VERSION = len(_STEPS)

_MOST_EVENTS = 10_000
_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened: `action` is Docker's word ("create", "start", "die", "exec_start: ls"), `kind` what it
    happened to ("container")."""

    number: int
    time: float
    kind: str
    action: str
    id: str
    attributes: Mapping[str, str]


class StateFile:
    """Opened when it is first needed. Safe for several threads and processes; close it.

    Raises StoreError, with the file left as it is, where it is damaged or of a newer kernelbox."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mutex = threading.RLock()
        self._connection: sqlite3.Connection | None = None

    def close(self) -> None:
        """Idempotent; a later call opens it again."""
        with self._mutex:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    @property
    def exists(self) -> bool:
        return self._path.exists()

    def add(self, record: ContainerRecord, uses: Sequence[VolumeUse] = ()) -> None:
        """A new container, and the volumes that it has. Raises NameInUse, ImageNotFound where its image was removed in
        the meantime, and as `volume_rows.add_uses`."""
        places = ", ".join("?" * len(_COLUMNS))
        with self.transaction() as cursor:
            owner = cursor.execute("SELECT id FROM containers WHERE name = ?", (record.name,)).fetchone()
            if owner:
                raise NameInUse(
                    f"the name {record.name!r} is in use by the container {owner[0][:12]}",
                    hint="remove or rename that container, or choose another name",
                )
            image_rows.check_present(cursor, record.image_digest)
            cursor.execute(f"INSERT INTO containers ({', '.join(_COLUMNS)}) VALUES ({places})", _row_of(record))
            volume_rows.add_uses(cursor, uses)
            _note(cursor, record, "create")

    def get(self, reference: str) -> ContainerRecord:
        """By id, name, or the beginning of an id that no other has. Raises ContainerNotFound, InvalidOption."""
        if not reference:
            raise InvalidOption("a container is named by its name or its id, and this is neither: ''")
        if not self.exists:
            raise _not_found(reference)
        with self.reading() as cursor:
            found = _select(cursor, "id = ? OR name = ? ORDER BY id = ? DESC", (reference,) * 3)
            if not found and set(reference) <= set("0123456789abcdef"):
                found = _select(cursor, "id >= ? AND id < ?", (reference, f"{reference}g"))
                if len(found) > 1:
                    some = ", ".join(each.short_id for each in found[:3])
                    raise InvalidOption(f"{len(found)} containers have ids that begin with {reference}: {some}")
        if not found:
            raise _not_found(reference)
        return found[0]

    def all(self) -> list[ContainerRecord]:
        """Every container, the newest first."""
        if not self.exists:
            return []
        with self.reading() as cursor:
            return _select(cursor, "1 ORDER BY created_at DESC, rowid DESC", ())

    def change(
        self,
        identity: str,
        action: str = "",
        *,
        seen: ContainerRecord | None = None,
        attributes: Mapping[str, str] = _NONE,
        durable: bool = True,
        **fields: object,
    ) -> ContainerRecord:
        """Sets fields of a container, and notes `action` as an event of it. The record as it is then.

        Where it is not as it was `seen` any more nothing is changed: somebody else was quicker. Raises
        ContainerNotFound, NameInUse."""
        with self.transaction(durable) as cursor:
            found = _select(cursor, "id = ?", (identity,))
            if not found:
                raise ContainerNotFound(f"no such container: {identity[:12]}")
            if seen is not None and _moment(seen) != _moment(found[0]):
                return found[0]
            record = found[0].changed(**fields)
            values = dict(zip(_COLUMNS, _row_of(record), strict=True))
            if fields:
                sets = ", ".join(f"{name} = ?" for name in fields)
                try:
                    cursor.execute(
                        f"UPDATE containers SET {sets} WHERE id = ?", (*(values[name] for name in fields), identity)
                    )
                except sqlite3.IntegrityError:
                    if "name" not in fields:
                        raise
                    raise NameInUse(
                        f"the name {record.name!r} is in use by another container", hint="choose another name"
                    ) from None
            if action:
                _note(cursor, record, action, attributes)
            return record

    def remove(self, identity: str, *, volumes: bool = False, durable: bool = True) -> None:
        """Forgets a container; nothing where there is none. With `volumes` those that were made for it are to go: see
        `volume_rows.release`."""
        with self.transaction(durable) as cursor:
            found = _select(cursor, "id = ?", (identity,))
            if not found:
                return
            cursor.execute("DELETE FROM containers WHERE id = ?", (identity,))
            volume_rows.release(cursor, identity, anonymous=volumes)
            _note(cursor, found[0], "destroy")

    def note(self, record: ContainerRecord, action: str, attributes: Mapping[str, str] = _NONE) -> None:
        """Something happened to a container that changed nothing of what is recorded about it. Durable with the next
        change."""
        with self.transaction(durable=False) as cursor:
            _note(cursor, record, action, attributes)

    def events(self, after: int = 0, since: float = 0.0, until: float = float("inf")) -> list[Event]:
        """In their order: those with a number above `after`, from `since` up to `until` (seconds since 1970)."""
        if not self.exists:
            return []
        with self.reading() as cursor:
            rows = cursor.execute(
                "SELECT * FROM events WHERE number > ? AND time >= ? AND time <= ? ORDER BY number",
                (after, since, min(until, 1e12)),
            ).fetchall()
        return [_event_of(row) for row in rows]

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
    def transaction(self, durable: bool = True) -> Iterator[sqlite3.Cursor]:
        """A cursor for one change: all of what the block does with it, or where it raises nothing."""
        with self.reading() as cursor:
            cursor.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
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
            raise StoreError(f"could not use the state file {self._path}: {error}", hint=_way_out(error)) from error

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
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
                f"the state file {self._path} is of a newer kernelbox (version {version}, this one knows {VERSION})",
                hint="update kernelbox, or use another store: KERNELBOX_ROOT",
            )
        _write_ahead(connection)
        if version == VERSION:
            return
        connection.execute("BEGIN IMMEDIATE")
        version = connection.execute("PRAGMA user_version").fetchone()[0]  # somebody else may have been quicker
        for step in _STEPS[version:]:
            for statement in step.split(";\n"):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {max(version, VERSION)}")
        connection.execute("COMMIT")


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Those who are the first at the same time get no patience from SQLite here: it refuses all but one."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(_MOMENT_S)


def _not_found(reference: str) -> ContainerNotFound:
    return ContainerNotFound(f"no such container: {reference}", hint="kernelbox ps -a lists them")


def _moment(record: ContainerRecord) -> tuple[object, ...]:
    return record.status, record.process, record.finished_at


def _way_out(error: sqlite3.DatabaseError) -> str:
    words = str(error)
    if "full" in words or "I/O" in words:  # what it shares between processes is a file of its own
        return "free some space on that disk; if there is some, the disk is failing"
    if "malformed" in words or "not a database" in words:
        return "it is damaged and was left as it is: move it away to begin anew; the folders of containers stay"
    if "locked" in words or "busy" in words:
        return "another process holds it for very long"
    return "see that the store can be read and written"


def _row_of(record: ContainerRecord) -> tuple[object, ...]:
    values = ((name, getattr(record, name)) for name in _COLUMNS)
    return tuple(json.dumps(_plain(value)) if name in _JSON else value for name, value in values)


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else value


def _select(cursor: sqlite3.Cursor, condition: str, values: tuple[object, ...]) -> list[ContainerRecord]:
    rows = cursor.execute(f"{_SELECT} WHERE {condition}", values)
    return [_record_of(row) for row in rows]


def _record_of(row: Iterable[Any]) -> ContainerRecord:
    values = list(row)
    for at, read in _READERS:
        values[at] = read(values[at])
    return ContainerRecord(*values)


def _event_of(row: Sequence[object]) -> Event:
    number, moment, kind, action, identity, attributes = row
    return Event(
        int(str(number)), float(str(moment)), str(kind), str(action), str(identity), json.loads(str(attributes))
    )


def _note(cursor: sqlite3.Cursor, record: ContainerRecord, action: str, attributes: Mapping[str, str] = _NONE) -> None:
    every = {"name": record.name, "image": record.image, **record.labels, **attributes}
    cursor.execute(
        "INSERT INTO events (time, kind, action, id, attributes) VALUES (?, 'container', ?, ?, ?)",
        (time.time(), action, record.id, json.dumps(every)),
    )
    if cursor.lastrowid and cursor.lastrowid % 1000 == 0:
        cursor.execute("DELETE FROM events WHERE number <= ?", (cursor.lastrowid - _MOST_EVENTS,))
