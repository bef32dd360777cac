"""One container that is kept: what can be done with it, and what is known of it. The methods are docker-py's."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from kernelbox.engine import ending, explaining, health, observing, option_values, showing, starting
from kernelbox.engine.attaching import Attachment
from kernelbox.engine.container_files import ContainerFiles
from kernelbox.engine.executing import ExecOptions, ExecResult, Execution, begin_exec
from kernelbox.engine.kept_folder import KeptFolder
from kernelbox.errors import ContainerNotFound, InvalidOption, NotSupported, StoreError
from kernelbox.linux.cgroups import freezer
from kernelbox.store import log_file, log_times
from kernelbox.store.container_record import LIVING, ContainerRecord
from kernelbox.store.log_entry import render

if TYPE_CHECKING:
    import pandas as pd

    from kernelbox.engine.containers import Containers
    from kernelbox.engine.engine import Engine, RunInput
    from kernelbox.engine.inspect import Sizes
    from kernelbox.engine.stats import Sample
    from kernelbox.runtime.connection import OnOutput
    from kernelbox.runtime.launch import Launch
    from kernelbox.runtime.monitor import Monitor
    from kernelbox.runtime.trace import TraceRow
    from kernelbox.store.state import StateFile

__all__ = ["Container"]


class Container(ContainerFiles):
    """A container by its record. `status` and the other facts are those of the last call that looked: `reload` looks
    again."""

    def __init__(self, containers: Containers, record: ContainerRecord) -> None:
        self._containers = containers
        self.record = record
        self.folder = KeptFolder(containers.folder_of(record.id))
        self.removal: tuple[TraceRow, ...] = ()

    def __repr__(self) -> str:
        return f"<Container {self.name} {self.short_id}: {self.record.image}, {self.status}>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return showing.mimebundle((self,))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Container) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def short_id(self) -> str:
        return self.record.short_id

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def status(self) -> str:
        """Docker's word: created, running, paused, restarting, exited, removing or dead."""
        return self.record.status

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.record.labels)

    @property
    def exit_code(self) -> int | None:
        """Of its last run, Docker's; None while it runs, or where nobody could be told."""
        return None if self.record.living else self.record.exit_code

    @property
    def token(self) -> bytes:
        """What its monitor calls it."""
        return bytes.fromhex(self.id)

    @property
    def box(self) -> Engine:
        return self._containers.box

    @property
    def state(self) -> StateFile:
        return self._containers.state

    @property
    def monitor(self) -> Monitor:
        return self._containers.monitor

    @property
    def stop_signal(self) -> int:
        """The image's, or SIGTERM."""
        image = self.box.images.of(self.record)
        try:
            return option_values.stop_signal(image.config.stop_signal or "TERM")
        except InvalidOption:  # whoever made the image wrote nonsense: that is no reason for going on for ever
            return option_values.stop_signal("TERM")

    def send(self, number: int, *, stopping: bool = False) -> bool:
        """A signal to its first process; False where it has ended. `stopping`: it is not started again then."""
        return self.monitor.signal(self.token, number, stopping=stopping)

    def reload(self) -> Container:
        """Looks again; returns itself. Raises ContainerNotFound where it was removed."""
        self.record = self._containers.settle(self._containers.state.get(self.id))
        return self

    def start(self) -> Container:
        """Starts it; nothing where it runs already. Raises Conflict where it is paused, and as `Engine.run`."""
        self.begin_start()
        return self

    def begin_start(self, *, attach: bool = False, on_output: OnOutput | None = None) -> Launch | None:
        """The same; with `attach` the launch goes on giving what it writes. None where it runs already."""
        with self._locked():
            self.reload()
            if self.record.status == "paused":
                raise starting.explain_conflict(self.record, "start")
            if self.record.living:
                return None
            box = self._containers.box
            launch = starting.start(
                box, self._containers.state, self.folder, self.record, attach=attach, on_output=on_output
            )
        if not attach:
            self.reload_if_there()
        if self.record.living or attach:
            health.ask(box, self.record, self.folder)
        return launch

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Raises ContainerNotFound where it was removed, StoreError where only its folder has gone."""
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(self.folder.locked())
            except StoreError:
                self.reload()
                if self.folder.path.exists() or self.record.started_at:
                    raise
                self.folder.make()  # whoever created it was killed over that, and there was nothing in it
                stack.enter_context(self.folder.locked())
            yield

    def reload_if_there(self) -> None:
        """As `reload`; one that removes itself at its end may be gone already."""
        try:
            self.reload()
        except ContainerNotFound:
            self.record = self.record.changed(status="removing")

    def stop(self, timeout: float | None = None, signal: str | int | None = None) -> Container:
        """Asks it to end by `signal` (its stop signal), and kills it after `timeout` seconds (its stop_timeout, or 10;
        negative: never). Nothing where it does not run. Raises InvalidOption for an unknown signal."""
        ending.stop(self, timeout, signal)
        return self

    def kill(self, signal: str | int = "KILL") -> Container:
        """Sends a signal to its first process. Raises Conflict where it does not run, InvalidOption."""
        ending.kill(self, signal)
        return self

    def restart(self, timeout: float | None = None, signal: str | int | None = None) -> Container:
        """Stops it if it runs, and starts it."""
        self.stop(timeout, signal)
        self.state.note(self.record, "restart")
        return self.start()

    def attach(self, *, on_output: OnOutput | None = None) -> Attachment:
        """What it writes from now on, and its standard input, until it ends or `detach` is called.

        Raises Conflict where it does not run or is paused."""
        self._require(("running", "restarting"), "attach to")
        tty = starting.options_of(self.record).tty
        return Attachment.to_running(self.monitor, self.token, pid=self.record.pid, tty=tty, on_output=on_output)

    def start_attached(self, *, on_output: OnOutput | None = None) -> Attachment:
        """Starts it with somebody attached from its first byte on. Raises as `start`; Conflict where it runs."""
        launch = self.begin_start(attach=True, on_output=on_output)
        if launch is None:
            raise starting.explain_conflict(self.record, "start")
        tty = starting.options_of(self.record).tty
        return Attachment(self.monitor, self.token, launch, on_output, launch.pid, tty)

    def pause(self) -> Container:
        """Its processes stand still. Raises Conflict where it does not run or is paused."""
        self._require(("running",), "pause")
        # First it is said: who is killed in between leaves one that can be unpaused, not one that stands still unseen.
        self.record = self.state.change(self.id, status="paused")
        try:
            self.monitor.set_paused(self.token, True)
            freezer.freeze(self.folder.start_notes().groups)
        except BaseException:
            self.monitor.set_paused(self.token, False)
            self.record = self.state.change(self.id, seen=self.record, status="running")
            raise
        self.state.note(self.record, "pause")
        return self

    def unpause(self) -> Container:
        """They go on. Raises Conflict where it is not paused."""
        self._require(("paused",), "unpause")
        freezer.thaw(self.folder.start_notes().groups)
        self.monitor.set_paused(self.token, False)
        self.record = self.state.change(self.id, "unpause", status="running")
        return self

    def wait(self, timeout: float | None = None, condition: str = "not-running") -> int | None:
        """Waits until it does not run ("not-running"), has ended the next time ("next-exit") or is gone ("removed");
        its exit code, None where nobody could be told. Raises TimeoutError after `timeout` seconds."""
        return ending.wait(self, timeout, condition)

    def remove(self, *, force: bool = False, volumes: bool = False) -> None:
        """Removes it and all it has written; `force` kills it first. `volumes`: with the volumes that were made
        for it and have no name. Raises Conflict where it runs."""
        ending.remove(self, force=force, volumes=volumes)

    def rename(self, name: str) -> Container:
        """Raises NameInUse, InvalidOption."""
        self.record = self.state.change(self.id, "rename", name=option_values.name(name.removeprefix("/")))
        return self

    def exec(
        self,
        command: str | Sequence[str],
        *,
        input: RunInput = None,
        timeout: float | None = None,
        on_output: OnOutput | None = None,
        **options: Any,
    ) -> ExecResult:
        """One more process in it: `user`, `workdir`, `env`, `tty`, `privileged` as for docker exec. Waits for its end.

        Raises Conflict where the container does not run or is paused, InvalidOption, StartError and its kinds,
        RunInterrupted with the result so far."""
        execution = self.begin_exec(command, ExecOptions.make(**options), input=input, on_output=on_output)
        return execution.wait(timeout)

    def begin_exec(
        self,
        command: str | Sequence[str],
        options: ExecOptions,
        *,
        input: RunInput = None,
        on_output: OnOutput | None = None,
        capture: bool = True,
        adopt: bool = True,
        detach: bool = False,
    ) -> Execution:
        """The same, made ready; `detach`: nobody waits, and it goes on when this process ends. Without `capture` the
        output is for `on_output` alone."""
        self.record = self.state.get(self.id)  # whether it runs its monitor knows best
        if self.record.status != "running":
            self._require(("running",), "exec in")
        given = self._containers.box.standard_input(input)
        return begin_exec(
            self._containers.box,
            self.record,
            self.folder,
            command,
            options,
            input=given,
            on_output=on_output,
            capture=capture,
            adopt=adopt,
            lease=not detach,
        )

    def update(self, **options: Any) -> tuple[str, ...]:
        """Changes limits (of a running container at once) and the restart policy; what it was created with otherwise
        stays. Sentences about what has to wait. Raises InvalidOption, NotSupported, Conflict."""
        return observing.update(self, options)

    def top(self, ps_args: str = "-ef") -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """The titles of ps(1) and a row for each of its processes. Raises Conflict where it does not run."""
        self._require(LIVING, "list the processes of")
        return observing.top(self, ps_args)

    def sample(self) -> Sample:
        """What it uses at this moment. Raises Conflict where it does not run."""
        self._require(LIVING, "measure")
        return observing.sample(self)

    def trace(self, what: str = "all") -> tuple[TraceRow, ...]:
        """The steps of its last "start", of the "stop" that followed (however it ended), of both ("all"), or of its
        "remove". Raises InvalidOption."""
        return explaining.trace(self, what)

    def explain(self, what: str = "all") -> pd.DataFrame:
        """The same as `RunResult.explain` gives them: a frame that draws itself as a timeline."""
        from kernelbox.metrics.frame import trace_frame

        return trace_frame(self.trace(what))

    @property
    def attrs(self) -> dict[str, object]:
        """Everything known of it, as docker inspect has it."""
        return observing.attributes(self)

    def sizes(self) -> Sizes:
        """The bytes that it wrote, and those of its whole root file system. Counts every file."""
        return observing.sizes(self)

    def logs(
        self,
        *,
        stdout: bool = True,
        stderr: bool = True,
        timestamps: bool = False,
        tail: int | str = "all",
        since: float | str | None = None,
        until: float | str | None = None,
    ) -> str:
        """What it has written, as text; bytes that are no UTF-8 are replaced. `tail` is a number of lines; times are
        seconds since 1970, or text as `docker logs` takes it. Raises InvalidOption, NotSupported without a log."""
        chunks = self.log_chunks(
            stdout=stdout, stderr=stderr, timestamps=timestamps, tail=tail, since=since, until=until
        )
        return b"".join(content for _, content in chunks).decode("utf-8", "replace")

    def log_chunks(
        self,
        *,
        stdout: bool = True,
        stderr: bool = True,
        timestamps: bool = False,
        tail: int | str = "all",
        since: float | str | None = None,
        until: float | str | None = None,
        follow: bool = False,
    ) -> Iterator[tuple[int, bytes]]:
        """(1 or 2, bytes) for each entry; with `follow` also what is written from this call on, until it ends."""
        if starting.options_of(self.record).log_driver == "none":
            raise NotSupported(f"the container {self.name} keeps no log", hint="it was created with log_driver='none'")
        now = time.time()
        chosen = {
            "stdout": stdout,
            "stderr": stderr,
            "since": None if since is None else log_times.parse_time(str(since), now),
            "until": None if until is None else log_times.parse_time(str(until), now),
            "tail": None if tail in ("all", "") else option_values.integer(tail, 0, 1 << 40),
        }
        path = self.folder.path
        entries = log_file.follow(path, stop=self._is_over, **chosen) if follow else log_file.read(path, **chosen)  # type: ignore[arg-type]
        return _rendered(entries, timestamps)

    def _is_over(self) -> bool:
        self.reload_if_there()
        return not self.record.living

    def _require(self, statuses: Sequence[str], wanted: str) -> None:
        self.reload()
        if self.record.status not in statuses:
            raise starting.explain_conflict(self.record, wanted)


def _rendered(entries: Iterator[log_file.LogEntry], timestamps: bool) -> Iterator[tuple[int, bytes]]:
    begins = {"stdout": True, "stderr": True}
    for entry in entries:
        content = render(entry, timestamps=timestamps, begins_line=begins[entry.stream])
        yield 2 if entry.stream == "stderr" else 1, content
        begins[entry.stream] = entry.ends_line
