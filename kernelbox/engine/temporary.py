"""Containers that go when they end, as others than who has started them see them: `box.run`, `kernelbox run --rm`."""

from __future__ import annotations

import json
import os
import select
import time
from typing import TYPE_CHECKING, NoReturn

from kernelbox.engine import option_values
from kernelbox.engine.container import Container
from kernelbox.engine.ending import CONDITIONS
from kernelbox.engine.run_words import name_of
from kernelbox.engine.starting import explain_conflict
from kernelbox.errors import ContainerNotFound, InvalidOption, NotSupported
from kernelbox.runtime.listing import Listed
from kernelbox.store.container_record import ContainerRecord

if TYPE_CHECKING:
    from kernelbox.engine.containers import Containers
    from kernelbox.store.state import StateFile

__all__ = ["TemporaryContainer", "find", "temporary"]

_STOP_SECONDS = 10.0
_KILL = 9


def temporary(containers: Containers) -> list[TemporaryContainer]:
    """Those that run at this moment, the newest first."""
    return [TemporaryContainer(containers, each) for each in containers.monitor.listed()]


def find(containers: Containers, reference: str) -> TemporaryContainer | None:
    """By name, id, or the beginning of an id that no other one of them has."""
    every = temporary(containers)
    exact = [each for each in every if reference in (each.name, each.id)]
    begun = [each for each in every if reference and each.id.startswith(reference)]
    found = exact or (begun if len(begun) == 1 else [])
    return found[0] if found else None


class TemporaryContainer(Container):
    """One that nothing is kept of. It can be seen, killed and waited for; its output and its exit code are of who has
    started it alone, and it ends with who that is."""

    def __init__(self, containers: Containers, listed: Listed) -> None:
        super().__init__(containers, _record_of(listed))
        self.folder.path = containers.box.paths.runs / self.id

    @property
    def state(self) -> StateFile:
        self._refuse()

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise NotSupported(
            f"nothing but to list, stop or kill it can be done with {self.name}: it is removed when it ends",
            hint="kept containers can do more: kernelbox run without --rm or with -d, box.containers.run",
        )

    begin_start = begin_exec = attach = start_attached = restart = rename = update = pause = unpause = _refuse
    sample = trace = stat = get_archive = put_archive = diff = export = log_chunks = _refuse

    def reload(self) -> TemporaryContainer:
        """Looks again; returns itself. Raises ContainerNotFound where it has ended."""
        if not any(each.token == self.token for each in self.monitor.listed()):
            raise ContainerNotFound(f"no such container: {self.name}", hint="it has ended, and nothing is kept of it")
        return self

    def kill(self, signal: str | int = "KILL") -> TemporaryContainer:
        """Sends a signal to its first process. Raises ContainerNotFound where it has ended, InvalidOption."""
        if not self.send(option_values.stop_signal(signal)):
            self.reload()
        return self

    def stop(self, timeout: float | None = None, signal: str | int | None = None) -> TemporaryContainer:
        """Asks it to end, and kills it after `timeout` seconds (10; negative: never)."""
        number = self.stop_signal if signal is None else option_values.stop_signal(signal)
        seconds = _STOP_SECONDS if timeout is None else timeout
        if self.send(number) and not self._ends(None if seconds < 0 else seconds):
            self.send(_KILL)
            self._ends(None)
        return self

    def wait(self, timeout: float | None = None, condition: str = "not-running") -> int | None:
        """Waits until it has ended; None, for the exit code is told to who has started it. Raises TimeoutError."""
        if condition not in CONDITIONS:
            raise InvalidOption(f"condition: {condition!r} is none", hint=f"there are: {', '.join(CONDITIONS)}")
        if not self._ends(timeout):
            raise TimeoutError(f"the container {self.name} has not ended within {timeout:g} s")
        return None

    def remove(self, *, force: bool = False, volumes: bool = False) -> None:
        """With `force` kills it, which removes it. Raises Conflict without."""
        if not force:
            raise explain_conflict(self.record, "remove")
        if self.send(_KILL):
            self._ends(None)

    def _ends(self, timeout: float | None) -> bool:
        """False where `timeout` seconds have passed before."""
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            process = os.pidfd_open(self.record.pid)
        except ProcessLookupError:
            return True
        try:
            if not self.send(0):  # only now the number cannot become somebody else's
                return True
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            return bool(select.select([process], [], [], left)[0])
        finally:
            os.close(process)


def _record_of(listed: Listed) -> ContainerRecord:
    """As if it were kept, and to be removed at its end."""
    said = json.loads(listed.words)
    identity, started = listed.token.hex(), listed.clock_ns / 1e9
    network = said.get("network", "none")
    return ContainerRecord(
        id=identity,
        name=said.get("name") or name_of(identity),
        image=said.get("image", ""),
        created_at=started,
        command=tuple(said.get("command", ())),
        options={"auto_remove": True, **({"network": network} if network != "none" else {})},
        labels=said.get("labels", {}),
        status="running",
        pid=listed.pid,
        started_at=started,
    )
