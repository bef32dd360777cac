"""One more process in a container that runs: `docker exec`."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from kernelbox.engine import option_values, spec_process, users
from kernelbox.engine.exec_inspect import Asked
from kernelbox.engine.image import read_beneath
from kernelbox.engine.kept_folder import KeptFolder
from kernelbox.engine.preparation import filter_of
from kernelbox.engine.result import Written, exit_code_of
from kernelbox.engine.starting import explain_conflict
from kernelbox.errors import InvalidOption, KernelBoxError, RunInterrupted, StartError
from kernelbox.oci import capability_names
from kernelbox.oci.runtime_spec import Config, ConsoleSize, Process, User
from kernelbox.oci.units import format_duration
from kernelbox.oci.value import frozen
from kernelbox.runtime.compile_exec import compile_exec
from kernelbox.runtime.connection import OnOutput
from kernelbox.runtime.encoder import NONE
from kernelbox.runtime.launch import Launch
from kernelbox.runtime.plan import PROCESS, EncodedPlan, Fault
from kernelbox.runtime.target import Rootfs, Target
from kernelbox.runtime.trace import TraceRow
from kernelbox.store.container_record import ContainerRecord

if TYPE_CHECKING:
    import pandas as pd

    from kernelbox.engine.engine import Engine

__all__ = ["ExecOptions", "ExecResult", "Execution", "begin_exec"]


@frozen
class ExecOptions:
    """`docker exec`'s: `env` adds to the container's variables; None is as the container has it."""

    user: str | None = None
    workdir: str | None = None
    env: tuple[str, ...] = ()
    tty: bool = False
    privileged: bool = False
    size: tuple[int, int] | None = None
    """Rows and columns of the terminal."""

    @classmethod
    def make(
        cls,
        user: object = None,
        workdir: object = None,
        env: object = None,
        tty: bool = False,
        privileged: bool = False,
        size: tuple[int, int] | None = None,
    ) -> ExecOptions:
        """As a program gives them. Raises InvalidOption."""
        return cls(
            None if user is None or user == "" else option_values.line(user),
            None if not workdir else option_values.absolute_path(workdir),
            () if env is None else option_values.environment(env),
            tty,
            privileged,
            size,
        )


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class ExecResult(Written):
    """How it ended and what it wrote; unpacks to (exit_code, output) as docker-py's does."""

    exit_code: int
    signal: int | None
    stdout_bytes: bytes = dataclasses.field(repr=False)
    stderr_bytes: bytes = dataclasses.field(repr=False)
    duration: float
    """Seconds from when it was asked for to its end."""
    trace_rows: Callable[[], tuple[TraceRow, ...]] = dataclasses.field(repr=False, compare=False)
    timed_out: bool = False
    asked: Asked | None = dataclasses.field(default=None, repr=False, compare=False)
    pid: int = dataclasses.field(default=0, repr=False, compare=False)

    @property
    def output(self) -> bytes:
        """Both, the standard output first."""
        return self.stdout_bytes + self.stderr_bytes

    def __repr__(self) -> str:
        return f"<ExecResult exit {self.exit_code}, {format_duration(self.duration)}>"

    def __iter__(self) -> Iterator[int | bytes]:
        yield self.exit_code
        yield self.output

    def inspect(self) -> dict[str, object]:
        """As `Execution.inspect`, after its end."""
        assert self.asked is not None
        return self.asked.document(running=False, pid=self.pid, exit_code=self.exit_code)

    def explain(self) -> pd.DataFrame:
        """Its steps with their times, as `RunResult.explain`."""
        from kernelbox.metrics.frame import trace_frame

        return trace_frame(self.trace)

    @property
    def trace(self) -> tuple[TraceRow, ...]:
        """Its steps in their order."""
        return self.trace_rows()


class Execution:
    """An exec that has been made ready. `wait_started` and `wait` send it off; `wait` or `detach` ends that."""

    def __init__(self, launch: Launch, record: ContainerRecord, begun_ns: int, asked: Asked) -> None:
        self.id = asked.id
        self.asked = asked
        self.launch = launch
        self._record = record
        self._begun_ns = begun_ns

    def wait_started(self) -> None:
        """Returns once its program runs. Raises as `wait`."""
        with self._ended_on_error():
            self.launch.wait_started()

    def detach(self) -> None:
        """Nobody waits for it any more: it goes on, if it was sent off without a lease. Idempotent."""
        self.launch.detach()

    def wait(self, timeout: float | None = None) -> ExecResult:
        """How it ended. When `timeout` seconds have passed, or on an interrupt, its first process is killed; others
        that it has started go on in the container, and what they write is not waited for.

        Where its first process ends by itself others may write on for two seconds, as with dockerd.

        Raises StartError and its kinds, Conflict where the container does not run, RunInterrupted with the result so
        far."""
        with self._ended_on_error():
            if not self.launch.wait(timeout):
                self.launch.outcome.timed_out = True
                self.launch.kill()
                self.launch.wait()
        return self._result()

    @contextlib.contextmanager
    def _ended_on_error(self) -> Iterator[None]:
        try:
            try:
                yield
            except BaseException:
                self.launch.end()  # where it has ended with the error there is nothing to do
                raise
        except StartError as error:
            raise self._explained(error) from error
        except KeyboardInterrupt:
            raise RunInterrupted(
                f"interrupted: {self.asked.command[0]} was killed; the container {self._record.name} goes on",
                result=self._result(),
            ) from None

    @property
    def running(self) -> bool:
        """Whether its process has been started and its end is not known yet: to whoever waits for it or, where nobody
        does, to the monitor."""
        if not self.launch.pid or self.launch.ended:
            return False
        return (self.asked.output and self.launch.attended) or self.launch.alive

    def inspect(self) -> dict[str, object]:
        """Docker's `GET /exec/{id}/json` (ExecInspectResponse), at any time and from any thread: `Pid` is the machine's
        number of its process, also after its end, and 0 where it was never started. `ExitCode` is None until `wait` has
        been told, and so for ever where nobody waits."""
        pid, running, outcome = self.launch.pid, self.running, self.launch.outcome
        code = outcome.failed_code
        if code is None and (outcome.signal or outcome.status is not None):
            code = exit_code_of(outcome.status, outcome.signal)
        return self.asked.document(running=running, pid=pid, exit_code=code)

    def _explained(self, error: StartError) -> KernelBoxError:
        outside = len(self.launch.encoded.plan.outside)  # its first process may end between two of these steps
        if error.step > outside or error.errno not in (errno.ESRCH, errno.EBUSY):
            return error
        status = "paused" if error.errno == errno.EBUSY else "exited"
        return explain_conflict(self._record.changed(status=status), "exec in")

    def _result(self) -> ExecResult:
        outcome = self.launch.outcome
        return ExecResult(
            exit_code_of(outcome.status, outcome.signal),
            outcome.signal or None,
            b"".join(outcome.out),
            b"".join(outcome.err),
            (outcome.ended_ns - self._begun_ns) / 1e9,
            self.launch.trace_later(),
            outcome.timed_out,
            self.asked,
            outcome.pid,
        )


def begin_exec(
    box: Engine,
    record: ContainerRecord,
    folder: KeptFolder,
    command: str | Sequence[str],
    options: ExecOptions,
    *,
    input: bytes | int | None = None,
    on_output: OnOutput | None = None,
    capture: bool = True,
    adopt: bool = True,
    lease: bool = True,
    fault: Fault | None = None,
) -> Execution:
    """Makes it ready. `input` is bytes to send, or a descriptor that it reads itself; without `capture` the output is
    for `on_output` alone; with `adopt` false a terminal is left to the caller; without `lease` it goes on when this
    process ends, and what it writes is lost; `fault` is for tests.

    Raises InvalidOption, StoreError."""
    opened = box.opened()
    data = input if isinstance(input, bytes) else b""
    pipes = 0 if options.tty or not lease else int(bool(data)) | 6
    words = tuple(box.words(command))
    encoded = _encoded(box, record, folder, words, options, pipes, lease)
    given = input if isinstance(input, int) else opened.null
    launch = Launch(
        opened.monitor,
        encoded,
        secrets.token_bytes(32),
        [given if name == "stdin" else opened.null for name in encoded.names],
        adopt=options.tty and adopt,
        input=data,
        on_output=on_output,
        capture=capture,
        lease=lease,
        fault=fault,
    )
    begun_ns = time.monotonic_ns()  # the monitor says that it runs only when it has ended, if it is fast
    launch.begin()
    has_input = bool(data) or given != opened.null or (options.tty and not adopt)
    asked = Asked(
        secrets.token_hex(32), record.id, words, options.user or "", options.tty, options.privileged, has_input, lease
    )
    execution = Execution(launch, record, begun_ns, asked)
    box.containers.executions.add(execution)
    return execution


def _encoded(
    box: Engine,
    record: ContainerRecord,
    folder: KeptFolder,
    command: tuple[str, ...],
    options: ExecOptions,
    pipes: int,
    lease: bool,
) -> EncodedPlan:
    """The plan, or the one that was made for the same thing in the same run of the container."""
    key = (record.id, record.process, command, options, pipes, lease)
    plans = box.containers.exec_plans
    encoded = plans.get(key) if options.user is None else None  # names of users may have come to mean others
    if encoded is None:
        names = [] if options.tty else ["stdin"] if pipes == 6 else [] if pipes else ["stdin", "stdout", "stderr"]
        encoded = compile_for(box, record, folder, command, options, names, pipes=pipes, lease=lease)
        plans.put(key, encoded)
    return encoded


def compile_for(
    box: Engine,
    record: ContainerRecord,
    folder: KeptFolder,
    command: tuple[str, ...],
    options: ExecOptions,
    names: Sequence[str],
    *,
    pipes: int = 0,
    lease: bool = True,
) -> EncodedPlan:
    """The plan of an exec; `names` are the descriptors that are sent along, of the streams that are no `pipes`: with
    "output" both streams go there."""
    opened, config = box.opened(), folder.config()
    process = _process(config, record, folder, command, options)
    own_ids = bool(config.linux and config.linux.uid_mappings)
    bundle = record.image.startswith("bundle:")
    target = Target(
        id=record.id,
        rootfs=Rootfs(),
        features=opened.kernel.features,
        groups=folder.start_notes().groups,
        userns=PROCESS if own_ids else NONE,
        seccomp=b"" if options.privileged else filter_of(config, bundle=bundle),
        lease=lease,
        rootless=opened.rootless,
        streams=("stdin", "output", "output") if "output" in names else ("stdin", "stdout", "stderr"),
    )
    plan = compile_exec(config, process, target, record.id)
    return plan.encode(names, opened.monitor.shared, identity=record.id, pipes=pipes)


def _process(
    config: Config, record: ContainerRecord, folder: KeptFolder, command: tuple[str, ...], options: ExecOptions
) -> Process:
    """The container's own process, changed as asked."""
    assert config.process is not None
    if not command or not command[0]:
        raise InvalidOption("exec needs a command")
    own = config.process
    user, home = own.user, None
    if options.user is not None:
        found = _resolve(record, folder, options.user)
        user, home = User(found.uid, found.gid, own.user.umask, found.groups), found.home
    capabilities = own.capabilities
    if options.privileged or options.user is not None:
        held = capability_names.ALL if options.privileged else capabilities.bounding if capabilities else ()
        capabilities = spec_process.with_bounding(tuple(held), root=user.uid == 0)
    return dataclasses.replace(
        own,
        args=tuple(option_values.text(each) for each in command),
        env=_environment(own.env, options, home),
        cwd=options.workdir or own.cwd,
        user=user,
        terminal=options.tty,
        console_size=ConsoleSize(*options.size) if options.size else None,
        capabilities=capabilities,
        no_new_privileges=own.no_new_privileges and not options.privileged,
    )


def _environment(own: Sequence[str], options: ExecOptions, home: str | None) -> tuple[str, ...]:
    entries = {entry.partition("=")[0]: entry for entry in own}
    if home is not None:
        entries["HOME"] = f"HOME={home}"
    if options.tty:
        entries.setdefault("TERM", "TERM=xterm")
    for entry in options.env:
        entries[entry.partition("=")[0]] = entry
    return tuple(entries.values())


def _resolve(record: ContainerRecord, folder: KeptFolder, text: str) -> users.ResolvedUser:
    """By the files that the container has now, beneath its own root."""
    root = folder.open_root(record.name)
    try:
        return users.resolve_user(text, read_beneath(root, "/etc/passwd"), read_beneath(root, "/etc/group"))
    finally:
        os.close(root)
