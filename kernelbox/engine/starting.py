"""Starts a container that is kept, and takes one over whose monitor was killed: the same plan for both."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from kernelbox.engine import truth
from kernelbox.engine.beside import NOBODY, Beside, find
from kernelbox.engine.kept_folder import KeptFolder
from kernelbox.engine.options import RunOptions
from kernelbox.engine.preparation import Kept, Prepared, prepare, wants_userns
from kernelbox.engine.volume_mounts import fill_kept, place_kept
from kernelbox.errors import Conflict, KernelBoxError, MonitorError, StartError, StoreError
from kernelbox.native import lib
from kernelbox.oci.units import parse_size
from kernelbox.runtime.connection import OnOutput
from kernelbox.runtime.launch import Launch
from kernelbox.runtime.monitor import Monitor
from kernelbox.runtime.plan import Life
from kernelbox.runtime.waiting import wait_end
from kernelbox.store.container_record import ContainerRecord
from kernelbox.store.running import Running
from kernelbox.store.state import StateFile

if TYPE_CHECKING:
    from kernelbox.engine.engine import Engine
    from kernelbox.engine.image import Image
    from kernelbox.runtime.plan import Fault
    from kernelbox.store.id_ranges import IdRange

__all__ = [
    "explain_conflict",
    "life_of",
    "options_of",
    "planned",
    "prepared",
    "start",
    "start_as_policy_says",
    "take_over",
    "unmark",
]

_KILL = 9
_KILL_SECONDS = 60.0


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
    if record.image_digest:
        from kernelbox.engine import trust

        trust.check_start(box.images.store, box.images.of(record), record.image)
    with contextlib.ExitStack() as undo:
        beside = find(box, options)
        fill_kept(box, record)
        ready, taken, descriptors = prepared(box, record, options, undo, attach=attach, beside=beside)
        unmark(box, folder, record)
        folder.write_start(ready, taken.number if taken else -1, beside, record.options)
        launch = Launch(
            opened.monitor,
            ready.encoded,
            ready.token,
            descriptors,
            on_output=on_output,
            capture=False,
            life=life_of(options, restarts),
            fault=fault,
        )
        with _ended_on_error(launch):
            try:
                launch.begin()
                if attach:
                    launch.wait_started()
                else:
                    launch.wait()  # that it runs is all there is to be told; the connection goes back
            except StartError as error:
                state.change(record.id, error=error.message, exit_code=error.exit_code)
                raise
            try:
                folder.write_trace(launch.first_answer.traced)
                _record_start(state, folder, record, launch, taken.number if taken else -1, restarts)
            except BaseException:
                launch.detach()
                _take_back(opened.monitor, folder, record)
                raise
    return launch


@contextlib.contextmanager
def _ended_on_error(launch: Launch) -> Iterator[None]:
    """An interrupt leaves none that is just starting, nor one without whom it was to be attached to."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(KernelBoxError):  # what came first is raised
            launch.end()
        raise


def _record_start(
    state: StateFile, folder: KeptFolder, record: ContainerRecord, launch: Launch, id_range: int, restarts: int
) -> None:
    running = folder.running()
    _note_start(
        state,
        record,
        pid=launch.pid,
        process=running.identity if running else "",
        id_range=id_range,
        started_at=launch.first_answer.clock_ns / 1e9,  # it may have ended since
        restart_count=restarts,
    )


def _take_back(monitor: Monitor, folder: KeptFolder, record: ContainerRecord) -> None:
    """A start that cannot be recorded was none: what runs is killed, and nothing says that it ever did."""
    token = bytes.fromhex(record.id)
    with contextlib.suppress(MonitorError):  # then it runs on, and whoever looks next finds it
        while monitor.signal(token, _KILL, stopping=True):
            wait_end(monitor, token, _KILL_SECONDS)
    folder.forget_exit()


def _note_start(state: StateFile, record: ContainerRecord, **found: Any) -> None:
    """Whoever looked meanwhile may have noted that it runs, and then that somebody paused it or how it ended: the event
    is there, and stays the only one."""
    facts: dict[str, Any] = {"status": "running", "finished_at": 0.0, "exit_code": 0, "oom_killed": False, **found}
    facts |= {"error": "", "stopped_by_user": False, "health": "", "usage": {}}
    noted = state.change(record.id, "start", seen=record, **facts)
    if noted.started_at == found["started_at"]:
        return
    if noted.process == record.process:
        state.change(record.id, "start", **facts)
        return
    state.change(record.id, stopped_by_user=False)
    if noted.living:
        state.change(record.id, seen=noted, **{**facts, "status": noted.status})


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
        notes = folder.start_notes()
        record = record.changed(id_range=notes.id_range)
        ready, _, descriptors = prepared(box, record, options, undo, adopt=process, beside=notes.beside)
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
    beside: Beside = NOBODY,
) -> tuple[Prepared, IdRange | None, list[int]]:
    """The plan, its range of ids and the descriptors to send along, in force until `undo`: then they are the
    monitor's. `beside` says whose namespaces it joins: at a start what `find` finds, of one that was started already
    its notes; a plan of which only the root is wanted needs nobody."""
    opened = box.opened()
    image = box.images.of(record)
    taken = None
    if wants_userns(options, image, rootless=opened.rootless):
        taken = opened.ranges.take(record.id_range if adopt >= 0 else None)
        undo.callback(opened.ranges.release, taken)
    box.make_ready(image, options, opened.monitor, taken)
    ready = planned(box, record, image, options, taken, attach=attach, adopt=adopt >= 0, beside=beside)
    userns = box.bundle_userns(image, undo)
    return ready, taken, ready.descriptors(taken, opened.null, userns, adopt)


def planned(
    box: Engine,
    record: ContainerRecord,
    image: Image,
    options: RunOptions,
    taken: IdRange | None,
    *,
    attach: bool = False,
    adopt: bool = False,
    beside: Beside = NOBODY,
) -> Prepared:
    """The plan alone, for these ids: nothing is taken or made, and no monitor is asked."""
    opened = box.opened()
    options, placed = place_kept(box, record, options)
    mark = str(opened.ranges.mark(taken.number)) if taken else ""
    return prepare(
        opened.kernel,
        opened.paths,
        image,
        record.command,
        options,
        taken,
        shared=opened.monitor.shared,
        with_input=False,
        rootless=opened.rootless,
        kept=Kept(record.id, record.name, attach, adopt, mark, sweep=bool(record.options.get("auto_remove"))),
        beside=beside,
        placed=placed,
    )


def explain_conflict(record: ContainerRecord, wanted: str) -> Conflict:
    """In Docker's words."""
    name = record.name
    ways = {"paused": f"kernelbox unpause {name}", "running": f"kernelbox stop {name}"}
    hint: str | None = ways.get(record.status, f"kernelbox start {name}")
    if wanted == "remove":
        hint = f"kernelbox stop {name}, or kernelbox rm -f {name}"
    elif wanted == "unpause" or (wanted == "kill" and not record.living):
        hint = None
    return Conflict(
        f"cannot {wanted} the container {name}: it is {record.status}",
        hint=hint,
        status_found=record.status,
    )
