"""The containers of an engine that are kept: `box.containers`, as docker-py's `client.containers`."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernelbox.engine import ending, health, starting, truth
from kernelbox.engine.container import Container
from kernelbox.engine.exec_inspect import Executions
from kernelbox.engine.kept_folder import KeptFolder
from kernelbox.engine.names import new_name
from kernelbox.engine.options import RunOptions
from kernelbox.engine.ready import RecentPlans
from kernelbox.engine.showing import ContainerList
from kernelbox.engine.volume_mounts import fill_kept, uses_for, volumes_in
from kernelbox.engine.volumes_from import as_recorded, with_others
from kernelbox.engine.whole_paths import whole_image, whole_options
from kernelbox.errors import ContainerNotFound, InvalidOption, KernelBoxError, MonitorError
from kernelbox.runtime.listing import is_alive
from kernelbox.runtime.monitor import Monitor
from kernelbox.store.container_record import ContainerRecord
from kernelbox.store.state import Event, StateFile

if TYPE_CHECKING:
    from kernelbox.engine.engine import Engine
    from kernelbox.engine.filters import Filters
    from kernelbox.runtime.plan import EncodedPlan
    from kernelbox.store.volume_rows import VolumeUse

__all__ = ["Containers"]


class Containers:
    """Several processes may work on them at once; each sees the others' changes."""

    def __init__(self, box: Engine) -> None:
        self.box = box
        self.state = StateFile(box.paths.state)
        self._folder = box.paths.containers
        self.exec_plans: RecentPlans[EncodedPlan] = RecentPlans()
        self.executions = Executions()

    def close(self) -> None:
        self.state.close()

    @property
    def monitor(self) -> Monitor:
        return self.box.opened().monitor

    def folder_of(self, identity: str) -> Path:
        return self._folder / identity

    def create(
        self,
        image: str,
        command: str | Sequence[str] | None = None,
        *,
        name: str | None = None,
        auto_remove: bool = False,
        **options: Any,
    ) -> Container:
        """A container that is not started yet. The options are those of `docker run` with underscores (RunOptions);
        `auto_remove` removes it when it ends.

        Raises InvalidOption, ImageNotFound, NameInUse, NotSupported."""
        given = whole_options({key: _recorded(key, value) for key, value in options.items() if value is not None})
        image = whole_image(image)
        wanted = RunOptions.make(name=name, **given)
        if auto_remove and wanted.restart.name != "no":
            raise InvalidOption("restart: a container that is removed at its end cannot be started again")
        found = self.box.images.obtain(image, wanted)
        self.box.opened()
        wanted, anonymous = with_others(self.box, before := wanted)
        if binds := list(as_recorded(wanted.mounts[len(before.mounts) :])):
            given["mounts"] = [*_several(given.get("mounts")), *binds]
        record = ContainerRecord(
            id=secrets.token_hex(32),
            name=wanted.name or new_name(self._is_taken),
            image=image,
            image_digest=found.digest,
            created_at=time.time(),
            command=tuple(self.box.words(command)),
            options={**given, **({"auto_remove": True} if auto_remove else {})},
            labels={**found.config.labels, **wanted.labels},
        )
        self._make(record, uses_for(record.id, volumes_in(wanted, found), anonymous))
        return Container(self, record)

    def _make(self, record: ContainerRecord, uses: Sequence[VolumeUse]) -> None:
        folder = KeptFolder(self.folder_of(record.id))
        if uses:
            self.box.volumes.finish()
        self.state.add(record, uses)
        try:
            folder.make()
            if uses:
                fill_kept(self.box, record)
        except KernelBoxError:
            self._forget(record)
            raise

    def _forget(self, record: ContainerRecord) -> None:
        """One that could not be made goes with what was made for it."""
        if self.folder_of(record.id).exists():
            Container(self, record).remove(volumes=True)
        else:
            self.state.remove(record.id, volumes=True)
            self.box.volumes.finish()

    def run(
        self,
        image: str,
        command: str | Sequence[str] | None = None,
        *,
        name: str | None = None,
        auto_remove: bool = False,
        **options: Any,
    ) -> Container:
        """Creates it and starts it in the background, as `docker run -d`. Raises as `create` and `Container.start`;
        where it cannot be started it is kept all the same, unless `auto_remove` was said."""
        container = self.create(image, command, name=name, auto_remove=auto_remove, **options)
        try:
            return container.start()
        except KernelBoxError:
            if auto_remove:
                container.remove(force=True, volumes=True)
            raise

    def _is_taken(self, name: str) -> bool:
        try:
            return self.state.get(name).name == name
        except (ContainerNotFound, InvalidOption):
            return False

    def get(self, reference: str) -> Container:
        """By name, id, or the beginning of an id, also of one that is not kept and runs now. Raises ContainerNotFound,
        InvalidOption where several begin so."""
        reference = reference.removeprefix("/")
        try:
            return Container(self, self.settle(self.state.get(reference)))
        except ContainerNotFound:
            from kernelbox.engine import temporary

            if found := temporary.find(self, reference):
                return found
            raise

    def list(self, *, all: bool = False, filters: Mapping[str, Sequence[str]] | None = None) -> ContainerList:
        """Those that run, or `all`, the newest first, also what is not kept and runs now (`box.run`); `filters` as for
        `docker ps`. Raises InvalidOption."""
        if filters:
            from kernelbox.engine.filters import checked, matches

            filters = self._of_images(checked(filters))
        found = [Container(self, record) for record in self.records()]
        if is_alive(self.box.paths):
            from kernelbox.engine.temporary import temporary

            found += temporary(self)
            found.sort(key=lambda each: each.record.created_at, reverse=True)
        wanted = [each for each in found if all or each.record.living or (filters and "status" in filters)]
        if filters:
            having = self.box.volumes.store.users_of(filters.get("volume", ()))
            wanted = [each for each in wanted if matches(each.record, filters, self.state.get, having=having)]
        return ContainerList(wanted)

    def _of_images(self, filters: Filters) -> Filters:
        """With the ids of images in place of their names: a container whose image lost its name is of that one."""
        known = {each: self.box.images.id_of(each) or each for each in filters.get("ancestor", ())}
        return {**filters, "ancestor": tuple(known.values())} if known else filters

    def names(self) -> Sequence[str]:
        """Of all of them, without a look at how they are: for completion."""
        return [record.name for record in self.state.all()] if self.box.paths.state.exists() else []

    def records(self) -> Sequence[ContainerRecord]:
        """Every container as it is now, the newest first."""
        found = self.state.all()
        self._see_to_monitor(found)
        settled = []
        for record in found:
            with contextlib.suppress(ContainerNotFound):
                settled.append(self._settle(record))
        return settled

    def events(
        self, *, after: int = 0, since: float = 0.0, until: float = float("inf"), filters: Filters | None = None
    ) -> Sequence[Event]:
        """What happened to containers, in order: after the event with the number `after`, between two times (seconds
        since 1970). `filters` as for `docker events`."""
        for record in self.state.all():
            with contextlib.suppress(ContainerNotFound):
                self.settle(record)
        found = self.state.events(after, since, until)
        if not filters:
            return found
        from kernelbox.engine.filters import matches_event

        return [event for event in found if matches_event(event, filters)]

    def prune(self) -> Sequence[str]:
        """Removes every container that does not run; their ids."""
        gone = []
        for record in self.records():
            if not (container := Container(self, record)).record.living:
                container.remove()
                gone.append(container.id)
        return gone

    def settle(self, record: ContainerRecord) -> ContainerRecord:
        """The record as it is true now. Where containers are meant to run and there is no monitor, one is started: it
        takes them over."""
        self._see_to_monitor((record,))
        return self._settle(record)

    def _see_to_monitor(self, records: Sequence[ContainerRecord]) -> None:
        if any(record.living for record in records) and not self.monitor.alive:
            self.monitor.reach()

    def _settle(self, record: ContainerRecord) -> ContainerRecord:
        folder = KeptFolder(self.folder_of(record.id))
        try:
            record = truth.settled(self.state, folder, record, watched=True)
        except ContainerNotFound:  # it was to be removed at its end, with the volumes that were made for it
            self.box.volumes.finish()
            raise
        if record.status == "removing":
            ending.finish_removal(Container(self, record))
            raise ContainerNotFound(f"no such container: {record.name}", hint="its removal was finished just now")
        return record

    def take_over(self) -> None:
        """For a new monitor: containers that outlived the last one are its own from now on; what is recorded of those
        that did not is put right, and so is what is half done with volumes."""
        for record in reversed(self.state.all()):  # the oldest first: another may be in its namespaces
            try:
                self._take_over(record)
            except (MonitorError, ContainerNotFound) as error:
                if isinstance(error, MonitorError):  # it has gone: with the next one all of this begins anew
                    raise
            except KernelBoxError as error:  # this one's; the others are taken over all the same
                with contextlib.suppress(ContainerNotFound):
                    self.state.change(record.id, error=error.message)
        self.box.volumes.finish()

    def _take_over(self, record: ContainerRecord) -> None:
        token = bytes.fromhex(record.id)
        if self.monitor.signal(token, 0):  # its already: who began with this was killed
            return
        folder = KeptFolder(self.folder_of(record.id))
        running = folder.running()
        if running is not None and running.alive() and starting.take_over(self.box, record, folder, running):
            self.monitor.set_paused(token, record.status == "paused")
            health.ask(self.box, record, folder)
        elif record.living:
            starting.start_as_policy_says(self.box, self.state, folder, record)


def _several(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else [] if value is None else [value]


def _recorded(name: str, value: object) -> object:
    """An option's value as JSON can hold it."""
    if isinstance(value, Mapping):
        return {str(key): _recorded(name, each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_recorded(name, each) for each in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if value is None or isinstance(value, str | int | float):
        return value
    raise InvalidOption(f"{name}: {value!r} cannot be kept", hint="numbers, text, lists and mappings can")
