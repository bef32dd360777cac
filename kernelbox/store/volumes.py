"""The volumes of a store: rows of the state file, and for each a folder with what is in it.

volumes/NAME/_data       what containers see; files belong to the ids that they have inside
volumes/NAME/copy        what an image had at the place of an empty volume, on its way into it (`store.volume_fill`)

A row is made before its folder, and goes after it: whoever is killed in between leaves a row that says so, NEW or
REMOVING, and the next one who comes finishes that. Whoever makes or removes folders holds a lock on `volumes`; a
container that nothing is written down of holds one on `volumes/NAME` for as long as it runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from kernelbox.errors import Conflict, StoreError, reason_of
from kernelbox.linux import mountinfo
from kernelbox.linux.descriptor import Descriptor
from kernelbox.store import volume_rows as rows
from kernelbox.store.paths import StorePaths
from kernelbox.store.state import StateFile
from kernelbox.store.volume_names import DATA, RUN_VOLUME, USED_VOLUMES, checked_name
from kernelbox.store.volume_rows import NEW, READY, REMOVING, VolumeRecord, VolumeUse

__all__ = ["VolumeStore"]

_PATIENCE_S, _MOMENT_S = 5.0, 0.002
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class VolumeStore:
    """`sweep` deletes the folder of that name in the trash, in its own time. Safe for several processes."""

    def __init__(self, state: StateFile, paths: StorePaths, sweep: Callable[[str], object]) -> None:
        self._state = state
        self._paths = paths
        self._sweep = sweep

    def folder(self, name: str) -> Path:
        return self._paths.volumes / name

    def data(self, name: str) -> Path:
        """What containers see of it."""
        return self.folder(name) / DATA

    def create(self, name: str, labels: Mapping[str, str]) -> VolumeRecord:
        """A new volume, or the one that there is. A folder that nobody knows of is taken as it is: the state file may
        have been lost. Raises InvalidOption, StoreError."""
        checked_name(name)
        with self._locked() as gone:
            self._finish(name, gone)
            with self._state.transaction() as cursor:
                record = rows.find(cursor, name)
                if record is None:
                    record = VolumeRecord(name, time.time(), labels, NEW)
                    rows.insert(cursor, record)
            return self._made(record)

    def get(self, name: str) -> VolumeRecord:
        """Raises VolumeNotFound."""
        record = None
        if self._state.exists:
            with self._state.reading() as cursor:
                record = rows.find(cursor, name)
        if record is None or record.status == REMOVING:
            raise rows.not_found(name)
        return record

    def all(self) -> list[VolumeRecord]:
        """By name."""
        if not self._state.exists:
            return []
        with self._state.reading() as cursor:
            return [record for record in rows.every(cursor) if record.status != REMOVING]

    def make_folder(self, name: str) -> None:
        """Sees that the folder of a volume is there. Raises VolumeNotFound, StoreError where it was and has gone."""
        if self.get(name).status == NEW:
            with self._locked():
                self._made(self.get(name))
        if not self.data(name).is_dir():
            raise StoreError(
                f"the volume {name} has lost its folder {self.data(name)}",
                hint=f"put it back, or begin anew: kernelbox volume rm {name}",
            )

    def uses_of(self, container: str) -> list[VolumeUse]:
        """The places where a container has volumes."""
        with self._state.reading() as cursor:
            return rows.uses_of(cursor, container)

    def used(self) -> dict[str, int]:
        """How many containers that are kept have each volume that any has."""
        if not self._state.exists:
            return {}
        with self._state.reading() as cursor:
            return rows.used(cursor)

    def users_of(self, names: Iterable[str]) -> set[str]:
        """The ids of containers that have one of these volumes."""
        wanted = list(names)
        if not wanted or not self._state.exists:
            return set()
        with self._state.reading() as cursor:
            return set().union(*(rows.users_of(cursor, name) for name in wanted))

    def set_filled(self, use: VolumeUse) -> None:
        """What the image has there is in the volume, or need not be."""
        with self._state.transaction() as cursor:
            rows.set_filled(cursor, use)

    def hold(self, name: str, labels: Mapping[str, str]) -> Descriptor:
        """Keeps a volume, which is made if there is none, for as long as a copy of the descriptor is open anywhere."""
        while True:
            self.create(name, labels)
            with contextlib.suppress(FileNotFoundError):
                folder = Descriptor(os.open(self.folder(name), _FOLDER))
                try:
                    fcntl.flock(folder.fileno(), fcntl.LOCK_SH)
                    if os.path.samestat(os.fstat(folder.fileno()), self.folder(name).stat()):
                        return folder
                except BaseException:
                    folder.close()
                    raise
                folder.close()  # it was removed between our open and our lock

    def hold_run(self, identity: str) -> Descriptor:
        """Makes the folder of a run whose own volumes are to be in it, and keeps it for as long as a copy of the
        descriptor is open anywhere. Raises StoreError."""
        path = self._paths.runs / identity
        try:
            path.mkdir(mode=0o700)
        except OSError as error:
            reason = reason_of(error)
            raise StoreError(f"could not make {path}: {reason}", hint="see that its disk has room") from error
        folder = Descriptor(os.open(path, _FOLDER))
        fcntl.flock(folder.fileno(), fcntl.LOCK_SH)
        return folder

    def finish_runs(self) -> None:
        """Deletes the volumes of runs that somebody was killed over before they were launched."""
        for volume in self._paths.runs.glob(f"*/{RUN_VOLUME}0"):
            with contextlib.suppress(FileNotFoundError), Descriptor(os.open(volume.parent, _FOLDER)) as folder:
                try:
                    fcntl.flock(folder.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                volume.parent.rename(self._paths.trash / volume.parent.name)
                self._sweep(volume.parent.name)

    def remove(self, name: str) -> None:
        """Removes it with all that is in it, but not what is mounted there. Raises VolumeNotFound, Conflict where a
        container has it, running or not."""
        with self._locked() as gone, contextlib.ExitStack() as held:
            self._finish(name, gone)
            self.get(name)
            self._lock_unused(name, held)
            with self._state.transaction() as cursor:
                users = rows.names_of_users(cursor, name)
                if users:
                    raise _in_use(name, users)
                rows.set_status(cursor, name, REMOVING)
            self._discard(name, gone)

    def is_held(self, name: str) -> bool:
        """Whether a container runs with it that nothing is written down of."""
        with contextlib.ExitStack() as held:
            try:
                self._lock_unused(name, held)
            except Conflict:
                return True
        return False

    def finish(self) -> None:
        """Removes volumes that were made for a container which has gone, and those whose removal somebody was killed
        over; makes the folders of those whose making somebody was killed over."""
        if not self._state.exists:
            return
        with self._state.reading() as cursor:
            begun = [record for record in rows.every(cursor) if record.status != READY]
        if begun:
            with self._locked() as gone:
                for record in begun:
                    self._finish(record.name, gone)

    def _made(self, record: VolumeRecord) -> VolumeRecord:
        if record.status != NEW:
            return record
        try:
            with Descriptor(os.open(self._paths.volumes, _FOLDER)) as above:
                self.folder(record.name).mkdir(mode=0o700, exist_ok=True)
                with Descriptor(os.open(record.name, _FOLDER, dir_fd=above.fileno())) as folder:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(DATA, 0o755, dir_fd=folder.fileno())
                        os.chmod(DATA, 0o755, dir_fd=folder.fileno())
                    os.fsync(folder.fileno())
                os.fsync(above.fileno())
        except OSError as error:
            reason = reason_of(error)
            raise StoreError(
                f"could not make the folder of the volume {record.name}: {reason}", hint="see that its disk has room"
            ) from error
        with self._state.transaction() as cursor:
            rows.set_status(cursor, record.name, READY)
        return VolumeRecord(record.name, record.created_at, record.labels, READY)

    def _finish(self, name: str, gone: list[str]) -> None:
        """What somebody has begun with it, if they have."""
        with self._state.reading() as cursor:
            record = rows.find(cursor, name)
        if record is not None and record.status == REMOVING:
            self._discard(name, gone)
        elif record is not None:
            self._made(record)

    def _discard(self, name: str, gone: list[str]) -> None:
        """Out of sight first, in one step that is sure to last; what is in it is deleted later, from the trash, where
        it has the name that is added to `gone`."""
        fresh = secrets.token_hex(32)
        with Descriptor(os.open(self._paths.volumes, _FOLDER)) as above:
            try:
                os.rename(name, self._paths.trash / fresh, src_dir_fd=above.fileno())
            except FileNotFoundError:
                fresh = ""
            except OSError as error:
                reason = reason_of(error)
                raise StoreError(
                    f"could not remove the folder of the volume {name}: {reason}",
                    hint="all folders of a store lie on one file system",
                ) from error
            os.fsync(above.fileno())
        with self._state.transaction() as cursor:
            rows.delete(cursor, name)
        if fresh:
            gone.append(fresh)

    def _lock_unused(self, name: str, held: contextlib.ExitStack) -> None:
        """Nobody can begin to use it until `held` ends. Raises Conflict where a run has it, or something is mounted in
        it."""
        try:
            folder = held.enter_context(Descriptor(os.open(self.folder(name), _FOLDER)))
        except FileNotFoundError:
            return
        self._wait_unheld(name, folder)
        place = os.fspath(self.folder(name))
        for mount in mountinfo.read():
            if mount.target == place or mount.target.startswith(f"{place}/"):
                raise Conflict(f"something is mounted in the volume {name}", hint=f"umount {mount.target}")

    def _wait_unheld(self, name: str, folder: Descriptor) -> None:
        """Where no run says that it has it, one that has ended lets go of it in a moment, or one that has just begun
        will say so. Raises Conflict."""
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(folder.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            users = self._names_of_runs(name)
            if users or time.monotonic() > deadline:
                raise _in_use(name, users)
            time.sleep(_MOMENT_S)

    def _names_of_runs(self, name: str) -> list[str]:
        found = []
        for path in self._paths.runs.glob(f"*/{USED_VOLUMES}"):
            with contextlib.suppress(FileNotFoundError):
                run, *volumes = path.read_text().splitlines()
                found += [run] if name in volumes else []
        return found

    @contextlib.contextmanager
    def _locked(self) -> Iterator[list[str]]:
        """Gives a list for the names of what is to be deleted in the trash, which is done when the lock is free again:
        a monitor that has to be started for that may start containers again, for which others need the lock."""
        gone: list[str] = []
        try:
            self._paths.volumes.mkdir(mode=0o700, exist_ok=True)
            with Descriptor(os.open(self._paths.volumes, _FOLDER)) as folder:
                fcntl.flock(folder.fileno(), fcntl.LOCK_EX)
                yield gone
        finally:
            for name in gone:
                self._sweep(name)


def _in_use(name: str, users: list[str]) -> Conflict:
    if not users:
        return Conflict(f"the volume {name} is in use by a container that is just starting", hint="try again later")
    several = "s" if len(users) > 1 else ""
    return Conflict(
        f"the volume {name} is in use by the container{several} {', '.join(users)}",
        hint=f"remove the container{several} first: kernelbox rm {' '.join(users)}",
    )
