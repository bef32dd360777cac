"""The volumes of an engine: `box.volumes`, as docker-py's `client.volumes`. There is one driver, "local"."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypedDict

from kernelbox.engine.filters import has_labels, is_found
from kernelbox.engine.option_values import near, pairs
from kernelbox.engine.volume_options import DRIVER, VolumeWords, check_driver
from kernelbox.errors import Conflict, InvalidOption, NotSupported, VolumeNotFound
from kernelbox.linux.descriptor import Descriptor
from kernelbox.oci.runtime_spec import Mount
from kernelbox.runtime.plan import Plan
from kernelbox.runtime.setup import RUNS, TRASH
from kernelbox.runtime.steps.ending import Sweep
from kernelbox.store.sizes import folder_size
from kernelbox.store.volume_rows import ANONYMOUS_LABEL, VolumeRecord
from kernelbox.store.volumes import VolumeStore

if TYPE_CHECKING:
    from kernelbox.engine.engine import Engine

__all__ = ["LIST_KEYS", "PRUNE_KEYS", "Pruned", "Volume", "Volumes", "boolean", "checked"]

LIST_KEYS = ("dangling", "driver", "label", "name")
PRUNE_KEYS = ("all", "label", "label!")
_BOOLEAN = {"true": True, "1": True, "t": True, "false": False, "0": False, "f": False}

Filters = Mapping[str, object]


class Pruned(TypedDict):
    """What `prune` has removed: the names, and how many bytes their files had."""

    VolumesDeleted: list[str]
    SpaceReclaimed: int


class Volume:
    """A folder with a name that containers can have; it outlives them. `reload` looks again."""

    def __init__(self, volumes: Volumes, record: VolumeRecord) -> None:
        self._volumes = volumes
        self.record = record

    def __repr__(self) -> str:
        return f"<Volume {self.name}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Volume) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def id(self) -> str:
        """Its name."""
        return self.record.name

    @property
    def short_id(self) -> str:
        """Its name."""
        return self.record.name

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.record.labels)

    @property
    def mountpoint(self) -> str:
        """The folder on the machine. What is in it belongs to the ids that containers see; an ordinary user's root is
        that user."""
        return str(self._volumes.store.data(self.name))

    @property
    def attrs(self) -> dict[str, object]:
        """Everything known of it, as docker volume inspect has it."""
        created = datetime.fromtimestamp(self.record.created_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {
            "CreatedAt": created,
            "Driver": DRIVER,
            "Labels": self.labels or None,
            "Mountpoint": self.mountpoint,
            "Name": self.name,
            "Options": None,
            "Scope": "local",
        }

    def reload(self) -> Volume:
        """Looks again; returns itself. Raises VolumeNotFound where it was removed."""
        self.record = self._volumes.store.get(self.name)
        return self

    def size(self) -> int:
        """The bytes of its files; counts every one."""
        return folder_size(self._volumes.store.data(self.name))

    def remove(self, force: bool = False) -> None:
        """Removes it with all that is in it; with `force` nothing where there is none. Raises VolumeNotFound, Conflict
        where a container has it, running or not."""
        self._volumes.remove(self.name, force=force)


class Volumes:
    """Several processes may work on them at once; each sees the others' changes."""

    def __init__(self, box: Engine) -> None:
        self._box = box
        self.store = VolumeStore(box.containers.state, box.paths, lambda name: self._sweep(name, TRASH))

    def create(
        self,
        name: str | None = None,
        *,
        driver: str = DRIVER,
        driver_opts: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | Sequence[str] | None = None,
    ) -> Volume:
        """A new volume, or the one that there is by that name; without a name it gets one that nobody has, and is
        anonymous. Raises InvalidOption, NotSupported, StoreError."""
        check_driver(driver or DRIVER)
        if driver_opts:
            raise NotSupported("driver_opts: the driver local takes no options here")
        given = dict(pairs(labels)) if labels else {}
        if not name:
            name, given = secrets.token_hex(32), {**given, ANONYMOUS_LABEL: ""}
        self._box.opened()
        return Volume(self, self.store.create(name, given))

    def get(self, name: str) -> Volume:
        """Raises VolumeNotFound."""
        self.finish()
        return Volume(self, self.store.get(name))

    def list(self, filters: Filters | None = None) -> list[Volume]:
        """By name; `filters` as for `docker volume ls`. Raises InvalidOption."""
        wanted = checked(filters, LIST_KEYS)
        self.finish()
        found = [Volume(self, record) for record in self.store.all()]
        if "dangling" in wanted:
            used, dangling = self.store.used(), {boolean("dangling", each) for each in wanted["dangling"]}
            found = [each for each in found if (each.name not in used) in dangling]
        return [each for each in found if _matches(each, wanted)]

    def names(self) -> Sequence[str]:
        """For completion."""
        return [record.name for record in self.store.all()]

    def prune(self, filters: Filters | None = None, *, all: bool = False) -> Pruned:
        """Removes anonymous volumes that no container has, or with `all` those with names too. `filters` as for
        `docker volume prune`. Raises InvalidOption."""
        wanted = checked(filters, PRUNE_KEYS)
        every = all or any(boolean("all", each) for each in wanted.get("all", ()))
        self.finish()
        used, done = self.store.used(), Pruned(VolumesDeleted=[], SpaceReclaimed=0)
        for volume in [Volume(self, record) for record in self.store.all()]:
            if volume.name in used or not (every or volume.record.anonymous) or not _matches(volume, wanted):
                continue
            size = volume.size()
            try:
                volume.remove()
            except (Conflict, VolumeNotFound):  # somebody uses it since just now, or has removed it
                continue
            done["VolumesDeleted"].append(volume.name)
            done["SpaceReclaimed"] += size
        return done

    def remove(self, name: str, *, force: bool = False) -> None:
        """See Volume.remove."""
        try:
            self.store.get(name)
            self._box.opened()
            self.store.remove(name)
        except VolumeNotFound:
            if not force:
                raise

    def hold(self, mount: Mount) -> Descriptor:
        """Keeps the volume of a mount, which is made if there is none; see VolumeStore.hold."""
        return self.store.hold(mount.source, dict(VolumeWords.of(mount.options).labels))

    def finish(self) -> None:
        """Removes what a container that has gone leaves, and finishes what somebody was killed over."""
        self.store.finish_runs()
        if self._box.paths.state.exists():
            self.store.finish()

    def discard_run(self, identity: str) -> None:
        """The folder of a run that was not launched; nothing where there is none."""
        if os.path.lexists(self._box.paths.runs / identity):
            self._sweep(identity, RUNS)

    def _sweep(self, name: str, folder: str) -> None:
        self._box.opened().monitor.carry_out(Plan((Sweep(name, folder, TRASH),)))


def checked(filters: Filters | None, known: Sequence[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for key, value in (filters or {}).items():
        if key not in known:
            raise InvalidOption(f"invalid filter '{key}'", hint=near(key, known) or f"one of {', '.join(known)}")
        several = value if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
        found[key] = tuple(str(each).lower() if isinstance(each, bool) else str(each) for each in several)
    return {key: values for key, values in found.items() if values}


def boolean(key: str, text: str) -> bool:
    if text.lower() not in _BOOLEAN:
        raise InvalidOption(f"invalid filter '{key}={text}'", hint="true or false")
    return _BOOLEAN[text.lower()]


def _matches(volume: Volume, wanted: Mapping[str, Sequence[str]]) -> bool:
    labels = volume.record.labels
    return (
        has_labels(labels, wanted.get("label", ()))
        and not any(has_labels(labels, [each]) for each in wanted.get("label!", ()))
        and ("driver" not in wanted or DRIVER in wanted["driver"])
        and ("name" not in wanted or any(each == volume.name or is_found(each, volume.name) for each in wanted["name"]))
    )
