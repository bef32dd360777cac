"""What is true of a kept container now: its row in the state file, compared with its process and its exit record.

Nobody tells the state file when a container ends; whoever looks next finds it out, and writes it down for the others.
That is idempotent: two who find the same thing out at once write the same.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time

from kernelbox.engine.health_record import health_in
from kernelbox.engine.kept_folder import KeptFolder, StartNotes
from kernelbox.engine.result import exit_code_of, usage_of
from kernelbox.engine.traffic import traffic_of
from kernelbox.errors import ContainerNotFound, StoreError
from kernelbox.linux import cgroups
from kernelbox.linux.cgroups import change
from kernelbox.runtime.compile import NETWORK_KEY
from kernelbox.runtime.connection import Answer
from kernelbox.store.container_record import ContainerRecord
from kernelbox.store.running import Running, named
from kernelbox.store.state import StateFile

__all__ = ["code_of", "settled", "usage_in"]


def settled(state: StateFile, folder: KeptFolder, record: ContainerRecord, *, watched: bool) -> ContainerRecord:
    """The record as it is true now; what has changed is in the state file then. `watched`: there is a monitor, which
    will say how a process that has just ended did so.

    Raises ContainerNotFound where the container was to be removed at its end, and is."""
    if record.status == "removing":  # how it once ended matters no more
        return record
    known = named(record.process) if record.status in ("running", "paused") else None
    if known is not None and known.alive():
        return _with_health(state, folder, record) if record.health else record  # one look, for lists of very many
    running = folder.running()
    if running is not None and running.alive():
        return _found_running(state, folder, record, running)
    ended = folder.exit()
    if running is not None and watched and not (ended and ended.restarts >= running.restarts):
        return record  # the monitor is just writing its exit record
    if ended is not None:
        return _found_ended(state, folder, record, ended)
    if record.living:
        return _found_lost(state, folder, record, running)
    return record


def _with_health(state: StateFile, folder: KeptFolder, record: ContainerRecord) -> ContainerRecord:
    found = health_in(folder.path)
    if found is None or found.status == record.health:
        return record
    action = "" if found.status == "starting" else f"health_status: {found.status}"
    return state.change(record.id, action, seen=record, health=found.status)


def _found_running(state: StateFile, folder: KeptFolder, record: ContainerRecord, running: Running) -> ContainerRecord:
    known = record.process == running.identity
    if known and record.status in ("running", "paused"):
        return _with_health(state, folder, record)
    action = "" if known else "start"
    return state.change(
        record.id,
        action,
        seen=record,
        status="running",
        pid=running.pid,
        process=running.identity,
        id_range=_notes_of(folder).id_range,
        restart_count=running.restarts,
        started_at=_started_at(running),
        error="",
    )


def _started_at(running: Running) -> float:
    """From ticks since boot."""
    with open("/proc/stat", encoding="ascii") as file:
        boot = next(int(line.split()[1]) for line in file if line.startswith("btime "))
    return boot + int(running.started) / os.sysconf("SC_CLK_TCK")


def _found_ended(state: StateFile, folder: KeptFolder, record: ContainerRecord, ended: Answer) -> ContainerRecord:
    finished = ended.clock_ns / 1e9
    status = "restarting" if ended.again_ms else "exited"
    if record.status == status and record.finished_at == finished:
        return record
    if record.finished_at == finished:  # known already; only the waiting for another start is over
        return state.change(record.id, seen=record, status=status, pid=0)
    if record.status == "created" and not record.started_at and not ended.pid:
        return record
    code = code_of(ended)
    notes = _notes_of(folder)
    usage, oom_killed = usage_in(ended, notes, finished - record.started_at)
    if status == "exited":
        change.remove(notes.groups)  # what a change of limits has made is not in the plan
    changed = state.change(
        record.id,
        "die",
        seen=record,
        attributes={"exitCode": "" if code is None else str(code)},
        status=status,
        pid=0,
        exit_code=code,
        oom_killed=oom_killed,
        finished_at=finished,
        restart_count=ended.restarts,
        id_range=notes.id_range,
        usage=usage,
        error=_reason_of(ended),
    )
    if oom_killed:
        state.note(changed, "oom")
    return changed


def _notes_of(folder: KeptFolder) -> StartNotes:
    """None of them where they are damaged: one such container does not hide the others."""
    try:
        return folder.start_notes()
    except StoreError:
        return StartNotes()


def code_of(ended: Answer) -> int | None:
    """Docker's exit code; None where nobody was there to be told. One that could not be started again has 127."""
    return None if ended.error == errno.ECHILD else exit_code_of(None if ended.signal else ended.status, ended.signal)


def _reason_of(ended: Answer) -> str:
    if ended.error == errno.ECHILD:
        return "nobody was there to be told its exit code"
    return f"it could not be started again: {os.strerror(ended.error).lower()}" if ended.error else ""


def _found_lost(
    state: StateFile, folder: KeptFolder, record: ContainerRecord, running: Running | None
) -> ContainerRecord:
    """It does not run, and nobody wrote down how it ended: the machine lost power, or the folder is gone."""
    if record.options.get("auto_remove") and not folder.path.exists():
        state.remove(record.id, volumes=True)
        raise ContainerNotFound(f"no such container: {record.name}", hint="it was removed when it ended")
    if running is not None:
        with contextlib.suppress(FileNotFoundError):
            (folder.path / "running").unlink()
    return state.change(
        record.id,
        "die",
        seen=record,
        attributes={"exitCode": ""},
        status="exited",
        pid=0,
        exit_code=None,
        finished_at=time.time(),  # at the latest
        error="it ended while nobody was there to be told its exit code",
    )


def usage_in(ended: Answer, notes: StartNotes, wall_seconds: float) -> tuple[dict[str, float | int | None], bool]:
    """The exact totals of an exit record, and whether memory ran out."""
    record: dict[int, bytes] = {}
    for key, content in ended.record:
        record[key] = record.get(key, b"") + content
    counters = cgroups.parse({key: record[number] for number, key in enumerate(notes.counters) if number in record})
    network = traffic_of(record[NETWORK_KEY]) if NETWORK_KEY in record else None
    times = (ended.user_us, ended.system_us)
    usage = usage_of(counters, network, wall_seconds, times, ended.max_rss_kb * 1024)
    return usage._asdict(), bool(counters.oom_kills)
