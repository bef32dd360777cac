"""Starts a container that is kept, and takes one over whose monitor was killed: the same plan for both."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from typing import TYPE_CHECKING

from kernelbox.engine import truth
from kernelbox.engine.kept_folder import KeptFolder
from kernelbox.engine.options import RunOptions
from kernelbox.engine.preparation import Kept, Prepared, prepare, wants_userns
from kernelbox.errors import Conflict, StartError, StoreError
from kernelbox.native import lib
from kernelbox.oci.units import parse_size
from kernelbox.runtime.connection import OnOutput
from kernelbox.runtime.launch import Launch
from kernelbox.runtime.plan import Life
from kernelbox.store.container_record import ContainerRecord
from kernelbox.store.running import Running
from kernelbox.store.state import StateFile

if TYPE_CHECKING:
    from kernelbox.engine.engine import Engine
    from kernelbox.runtime.plan import Fault
    from kernelbox.store.id_ranges import IdRange

__all__ = [
    "explain_conflict",
    "life_of",
    "options_of",
    "prepared",
    "start",
    "start_as_policy_says",
    "take_over",
    "unmark",
]


def options_of(record: ContainerRecord) -> RunOptions:
    """The options that it was created with."""
    given = {name: value for name, value in record.options.items() if name != "auto_remove"}
    return RunOptions.make(**given)


def life_of(options: RunOptions, restarts: int = 0) -> Life:
    """What its monitor is to do with its output and at its end."""
    files = 0 if options.log_driver == "none" else int(options.log_opt.get("max-file", "1"))
    size = parse_size(options.log_opt.get("max-size", "0"))
    return Life(files, size, options.restart.kind, options.restart.most, restarts)


def start(
    box: Engine,
    state: StateFile,
    folder: KeptFolder,
    record: ContainerRecord,
    *,
    attach: bool = False,
    on_output: OnOutput | None = None,
    fault: Fault | None = None,
    restarts: int = 0,
) -> Launch:
    """Starts it, with the folder locked; returns once its program runs. With `attach` the launch goes on giving what it
    writes, until it ends.

    Raises as `Engine.run` does; the container is then as it was, and its record says why."""
    opened = box.opened()
    options = options_of(record)
    with contextlib.ExitStack() as undo:
        ready, taken, descriptors = prepared(box, record, options, undo, attach=attach)
        unmark(box, folder, record)
        folder.write_start(ready, taken.number if taken else -1)
        launch = Launch(
            opened.monitor,
            ready.encoded,
            ready.token,
            descriptors,
            on_output=on_output,
            life=life_of(options, restarts),
            fault=fault,
        )
        try:
            launch.begin()
            if attach:
                launch.wait_started()
            else:
                launch.wait()  # that it runs is all there is to be told; the connection goes back
        except StartError as error:
            state.change(record.id, error=error.message, exit_code=error.exit_code)
            raise
    folder.write_trace(launch.first_answer.traced)
    running = folder.running()
    state.change(
        record.id,
        "start",
        status="running",
        pid=launch.outcome.pid,
        process=running.identity if running else "",
        id_range=taken.number if taken else -1,
        started_at=time.time(),
        finished_at=0.0,
        exit_code=0,
        oom_killed=False,
        error="",
        restart_count=restarts,
        stopped_by_user=False,
        health="",
        usage={},
    )
    return launch


def unmark(box: Engine, folder: KeptFolder, record: ContainerRecord) -> None:
    """Of a container that does not run: its range of ids is free. Its monitor has said so, unless it was killed. Who
    started it may have been killed before the record had the number: the folder has it too."""
    number = record.id_range
    with contextlib.suppress(StoreError):  # a damaged one is written anew, or goes
        latest = folder.start_notes().id_range
        number = latest if latest >= 0 else number
    box.opened().ranges.unmark(number, folder.path)


def start_as_policy_says(box: Engine, state: StateFile, folder: KeptFolder, record: ContainerRecord) -> None:
    """For a container that ran, or waited to be started again, when its monitor or its machine went down. Raises as
    `start` does."""
    truth.settled(state, folder, record, watched=False)
    with folder.locked():
        record = truth.settled(state, folder, state.get(record.id), watched=False)
        if record.status in ("running", "paused"):  # somebody else was quicker
            return
        policy = options_of(record).restart
        ended = folder.exit()
        waits = bool(ended and ended.again_ms)
        wanted = policy.kind == lib.KB_ALWAYS or (policy.kind == lib.KB_ON_FAILURE and (waits or record.exit_code != 0))
        most = policy.most and record.restart_count >= policy.most and not waits
        if record.stopped_by_user or not wanted or most:
            _wait_no_more(state, folder, record)
        else:
            start(box, state, folder, record, restarts=record.restart_count + 1)


def _wait_no_more(state: StateFile, folder: KeptFolder, record: ContainerRecord) -> None:
    if record.status == "restarting":
        state.change(record.id, status="exited")
        folder.forget_exit()  # which says that it is started again


def take_over(box: Engine, record: ContainerRecord, folder: KeptFolder, running: Running) -> bool:
    """Gives a container that runs to a new monitor; False where it has ended meanwhile, or somebody else did so."""
    options = options_of(record)
    try:
        process = os.pidfd_open(running.pid)
    except ProcessLookupError:
        return False
    with contextlib.ExitStack() as undo:
        undo.callback(os.close, process)
        if not running.alive():  # only now the number cannot become somebody else's
            return False
        # Who started it may have been killed before the record said so; the folder knows.
        record = record.changed(id_range=folder.start_notes().id_range)
        ready, _, descriptors = prepared(box, record, options, undo, adopt=process)
        launch = Launch(
            box.opened().monitor,
            ready.encoded,
            ready.token,
            descriptors,
            life=life_of(options, running.restarts),
            adopt_pid=running.pid,
        )
        launch.begin()
        try:
            launch.wait()
        except StartError as error:
            if error.errno == errno.EEXIST:
                return False
            raise
    return True


def prepared(
    box: Engine,
    record: ContainerRecord,
    options: RunOptions,
    undo: contextlib.ExitStack,
    *,
    attach: bool = False,
    adopt: int = -1,
) -> tuple[Prepared, IdRange | None, list[int]]:
    """The plan, its range of ids and the descriptors to send along, in force until `undo`: then they are the
    monitor's."""
    opened = box.opened()
    image = box.images.get(record.image, options.platform)
    taken = None
    if wants_userns(options, image, rootless=opened.rootless):
        taken = opened.ranges.take(record.id_range if adopt >= 0 else None)
        undo.callback(opened.ranges.release, taken)
    box.make_ready(image, options, opened.monitor, taken)
    mark = str(opened.ranges.mark(taken.number)) if taken else ""
    ready = prepare(
        opened.kernel,
        opened.paths,
        image,
        record.command,
        options,
        taken,
        shared=opened.monitor.shared,
        with_input=False,
        rootless=opened.rootless,
        kept=Kept(record.id, record.name, attach, adopt >= 0, mark, sweep=bool(record.options.get("auto_remove"))),
        beside=box.neighbours(options),
    )
    userns = box.bundle_userns(image, undo)
    return ready, taken, ready.descriptors(taken, opened.null, userns, adopt)


def explain_conflict(record: ContainerRecord, wanted: str) -> Conflict:
    """In Docker's words."""
    ways = {"paused": f"kernelbox unpause {record.name}", "running": f"kernelbox stop {record.name}"}
    return Conflict(
        f"cannot {wanted} the container {record.name}: it is {record.status}",
        hint=ways.get(record.status, f"kernelbox start {record.name}"),
        status_found=record.status,
    )
