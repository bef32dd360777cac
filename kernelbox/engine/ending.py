"""How a kept container comes to its end: asked, killed, waited for, removed."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from kernelbox.engine import starting, truth
from kernelbox.engine.option_values import stop_signal as read_signal
from kernelbox.errors import Conflict, ContainerNotFound, InvalidOption
from kernelbox.linux.cgroups import freezer
from kernelbox.linux.signals import handles
from kernelbox.runtime.plan import Plan
from kernelbox.runtime.setup import CONTAINERS, TRASH
from kernelbox.runtime.steps.ending import Sweep
from kernelbox.runtime.waiting import wait_end
from kernelbox.store.container_record import ContainerRecord

if TYPE_CHECKING:
    from kernelbox.engine.container import Container

__all__ = ["kill", "remove", "stop", "wait"]

_STOP_SECONDS = 10.0
_KILL = 9
_KILL_SECONDS = 60.0
_POLL_S = 0.02
CONDITIONS = ("not-running", "next-exit", "removed")


def stop(container: Container, timeout: float | None, signal: str | int | None = None) -> None:
    """See Container.stop. Where its first process does not handle the signal, nothing could come of it (it has no
    default action there): it is killed at once, and nobody waits for nothing."""
    chosen = None if signal is None else read_signal(signal)
    container.reload()
    record = container.record
    if not record.living:
        return
    options = starting.options_of(record)
    number = chosen or options.stop_signal or container.stop_signal
    seconds = timeout if timeout is not None else options.stop_timeout
    seconds = _STOP_SECONDS if seconds is None else None if seconds < 0 else float(seconds)
    said = {"signal": str(number)}
    container.state.change(record.id, "kill", attributes=said, stopped_by_user=True, durable=False)
    if record.status == "paused":
        _thaw(container)
    asked = record.status != "restarting" and seconds != 0 and handles(record.pid, number, blocked=True)
    if not (asked and container.send(number, stopping=True) and _wait_over(container, seconds)):
        container.send(_KILL, stopping=True)
        if not _wait_over(container, _KILL_SECONDS):
            raise TimeoutError(f"{record.name} was killed and has not ended within {_KILL_SECONDS:.0f} s")
    container.state.note(container.record, "stop")


def kill(container: Container, signal: str | int) -> None:
    """See Container.kill."""
    number = read_signal(signal)
    container.reload()
    if not container.record.living:
        raise starting.explain_conflict(container.record, "kill")
    stopped = container.record.stopped_by_user or number == _KILL
    container.state.change(container.id, "kill", attributes={"signal": str(number)}, stopped_by_user=stopped)
    container.send(number, stopping=number == _KILL)
    if container.record.status == "paused" and number == _KILL:
        with contextlib.suppress(Conflict):  # where it could die as it was, frozen, it is gone
            _thaw(container)


def wait(container: Container, timeout: float | None, condition: str) -> int | None:
    """See Container.wait."""
    if condition not in CONDITIONS:
        raise InvalidOption(f"condition: {condition!r} is none", hint=f"there are: {', '.join(CONDITIONS)}")
    deadline = None if timeout is None else time.monotonic() + timeout
    if condition == "removed":
        return _wait_removed(container, deadline)
    container.reload()
    begun = container.record
    if condition == "not-running" and not begun.living:
        return begun.exit_code
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        answer = wait_end(container.monitor, container.token, left)
        container.reload_if_there()
        record = container.record
        if answer is not None and (condition == "next-exit" or record.status == "removing"):
            return truth.code_of(answer)
        if record.status == "removing":
            return None
        if condition == "not-running" and not record.living:
            return record.exit_code
        if condition == "next-exit" and _has_ended_since(begun, record):
            return record.exit_code
        if answer is None:  # it was not started yet, its monitor is just being replaced, or has told somebody else
            time.sleep(_POLL_S)
        if deadline is not None and time.monotonic() >= deadline:
            raise TimeoutError(f"{container.name} has not ended within {timeout} s")


def _has_ended_since(begun: ContainerRecord, record: ContainerRecord) -> bool:
    if begun.living and record.process != begun.process:
        return True
    return record.finished_at not in (0.0, begun.finished_at)


def _wait_removed(container: Container, deadline: float | None) -> int | None:
    """Nobody tells when a container is removed: looked for, every 20 ms, once it has ended."""
    code = None
    try:
        while deadline is None or time.monotonic() < deadline:
            container.reload()
            if container.record.living:
                left = 1.0 if deadline is None else max(0.0, deadline - time.monotonic())
                answer = wait_end(container.monitor, container.token, left)
                code = truth.code_of(answer) if answer else code
            else:
                code = container.record.exit_code
                time.sleep(_POLL_S)
    except ContainerNotFound:
        return code
    raise TimeoutError(f"{container.name} has not been removed in time")


def _wait_over(container: Container, seconds: float | None) -> bool:
    try:
        wait(container, seconds, "not-running")
    except TimeoutError:
        return False
    except ContainerNotFound:
        return True  # it was to be removed at its end
    return True


def remove(container: Container, *, force: bool, volumes: bool = False) -> None:
    """See Container.remove. First said in the state file, then done, then forgotten: whoever comes after a crash in
    between goes on."""
    with contextlib.suppress(ContainerNotFound):
        container.reload()
    if container.record.living:
        if not force:
            raise starting.explain_conflict(container.record, "remove")
        stop(container, 0)
    finish_removal(container, volumes=volumes)


def finish_removal(container: Container, *, volumes: bool = False) -> None:
    """Idempotent; also for one whose folder has gone. The volumes that were made for it go with `volumes`, and with one
    that was to remove itself."""
    _finish_removal(container, volumes)
    if volumes or _takes_volumes(container.record):
        container.box.volumes.finish()


def _takes_volumes(record: ContainerRecord) -> bool:
    return bool(record.options.get("auto_remove"))


def _finish_removal(container: Container, volumes: bool) -> None:
    if not container.folder.path.exists():
        starting.unmark(container.box, container.folder, container.record)
        container.state.remove(container.id, volumes=volumes or _takes_volumes(container.record))
        return
    with container.folder.locked():
        try:
            record = container.state.get(container.id)
            if record.status != "removing":
                record = truth.settled(container.state, container.folder, record, watched=True)
        except ContainerNotFound:  # somebody else was quicker
            return
        if record.status != "removing":
            if record.living:
                raise starting.explain_conflict(record, "remove")
            # Whoever has to finish this is to know whether its volumes go too.
            options = {**record.options, **({"auto_remove": True} if volumes else {})}
            record = container.state.change(container.id, status="removing", options=options)
        starting.unmark(container.box, container.folder, record)
        container.removal = container.monitor.carry_out(Plan((Sweep(container.id, CONTAINERS, TRASH),)))
        volumes = volumes or _takes_volumes(record)
        # That it is being removed is durable, which comes to the same.
        container.state.remove(container.id, volumes=volumes, durable=False)


def _thaw(container: Container) -> None:
    freezer.thaw(container.folder.start_notes().groups)
    container.monitor.set_paused(container.token, False)
    container.state.change(container.id, "unpause", seen=container.record, status="running")
