"""The engine in this process: no daemon, nothing to start."""

from __future__ import annotations

import contextlib
import os
import shlex
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from kernelbox.engine import beside, host_image
from kernelbox.engine.image import Image
from kernelbox.engine.images import Images
from kernelbox.engine.job import Job, Run, TerminalRun
from kernelbox.engine.kernel import Kernel
from kernelbox.engine.machine import this_machine
from kernelbox.engine.options import RunOptions
from kernelbox.engine.own_account import keeps_id, namespace_plan
from kernelbox.engine.preparation import Prepared, bundle_ids, prepare, wants_userns
from kernelbox.engine.ready import ReadyPlans
from kernelbox.engine.result import RunResult
from kernelbox.engine.volume_mounts import NOTHING, Placed, place_plan, place_run
from kernelbox.errors import ContainerNotFound, InvalidOption, KernelBoxError, NameInUse
from kernelbox.linux import idmap
from kernelbox.runtime.connection import OnOutput
from kernelbox.runtime.launch import Launch
from kernelbox.runtime.monitor import Monitor
from kernelbox.runtime.plan import Fault, Plan
from kernelbox.runtime.setup import setup_plan
from kernelbox.store.id_ranges import IdRange, IdRanges
from kernelbox.store.names import hold_name
from kernelbox.store.paths import StorePaths, runtime_base

if TYPE_CHECKING:
    from kernelbox.engine.containers import Containers
    from kernelbox.engine.volumes import Volumes

__all__ = ["Engine", "RunInput"]

RunInput = bytes | str | IO[bytes] | IO[str] | None

_POOL = 4


@dataclass(frozen=True, slots=True)
class Opened:
    """What an engine holds once it is in use; all of it is the engine's, and closed by it."""

    paths: StorePaths
    kernel: Kernel
    monitor: Monitor
    ranges: IdRanges
    null: int
    rootless: bool


class Engine:
    """Containers, embedded in this process. Use it as a context manager, or `close` it; several may share one store.

    `root` is the store's folder (default: KERNELBOX_ROOT, /var/lib/kernelbox for root, $XDG_DATA_HOME/kernelbox)."""

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        self.paths = StorePaths.of(Path(root) if root is not None else None)
        self.rootless = os.geteuid() != 0
        self.images = Images(self)
        self.closed = False
        self._containers: Containers | None = None
        self._volumes: Volumes | None = None
        self._mutex = threading.Lock()
        self._kernel: Kernel | None = None
        self._monitor: Monitor | None = None
        self._ranges: IdRanges | None = None
        self._ready = ReadyPlans()
        self._host_state: tuple[int, ...] | None = None
        self._keeps_id = False
        self._null = -1

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def containers(self) -> Containers:
        """Those that are kept when they end."""
        if self._containers is None:
            from kernelbox.engine.containers import Containers  # most runs need no state file

            self._containers = Containers(self)
        return self._containers

    @property
    def volumes(self) -> Volumes:
        """Folders that outlive the containers that have them."""
        if self._volumes is None:
            from kernelbox.engine.volumes import Volumes

            self._volumes = Volumes(self)
        return self._volumes

    def df(self) -> dict[str, Any]:
        """What images, containers and volumes take of the disk, in the words of docker's API. Counts every file."""
        from kernelbox.engine.disk_usage import df

        return df(self)

    def close(self) -> None:
        """Ends what was started for this engine alone, and waits until its remains are deleted. Idempotent."""
        if self.closed:
            return
        self.closed = True
        with contextlib.ExitStack() as stack:  # all of it, whatever one of them says
            stack.callback(self._ready.clear)
            if self._containers is not None:
                stack.callback(self._containers.close)
            if self._null >= 0:
                stack.callback(os.close, self._null)
            for part in (self._kernel, self._ranges, self._monitor):
                if part is not None:
                    stack.callback(part.close)
            if self._monitor is not None:
                self._monitor.wait_swept()

    def run(
        self,
        image: str,
        command: str | Sequence[str] | None = None,
        *,
        input: RunInput = None,
        timeout: float | str | None = None,
        check: bool = False,
        on_output: OnOutput | None = None,
        **options: Any,
    ) -> RunResult:
        """Runs a command in a new container, waits for its end and removes it: like subprocess.run.

        `command` is a list, a string (split as a shell would) or None for the image's own; `input` bytes, text or a
        file; `timeout` seconds (or text such as "1m30s"), after which everything in the container is killed;
        `on_output(stream, chunk)` is called as output arrives. The other options are those of `docker run` with
        underscores (RunOptions). A non-zero exit is an error only with `check`. Raises InvalidOption, NotFound,
        StartError and its kinds, RunInterrupted."""
        seconds = self._timeout(timeout)
        run = self.begin(image, command, RunOptions.make(**options), input=input, on_output=on_output)
        result = run.wait(seconds)
        return result.check() if check else result

    def start(
        self,
        image: str,
        command: str | Sequence[str] | None = None,
        *,
        input: RunInput = None,
        timeout: float | str | None = None,
        on_output: OnOutput | None = None,
        **options: Any,
    ) -> Job:
        """The same in the background; `on_output` is called in the job's thread. The container ends with this
        process."""
        seconds = self._timeout(timeout)
        run = self.begin(image, command, RunOptions.make(**options), input=input, on_output=on_output)
        return Job(run, seconds)

    def open_terminal(self, image: str, command: str | Sequence[str] | None = None, **options: Any) -> TerminalRun:
        """A run on a terminal of its own, for a person: read and write `descriptor`, then `wait`."""
        return TerminalRun(self.begin(image, command, RunOptions.make(**{**options, "tty": True}), adopt=False))

    def plan(self, image: str, command: Sequence[str], options: RunOptions) -> Plan:
        """What a run would do, step by step. Nothing is done. Raises as `run` does before its launch."""
        monitor = self._open()
        found = self.images.get(image, options.platform)
        options = self._with_others(options)
        with contextlib.ExitStack() as undo:
            taken = self._take_range(undo) if wants_userns(options, found, rootless=self.rootless) else None
            options, chosen = place_plan(self, options, found)
            return self._prepare(found, command, options, monitor, taken, chosen, with_input=False).encoded.plan

    def run_with_fault(self, fault: Fault, image: str, command: Sequence[str], **options: Any) -> RunResult:
        """For tests: a run of which one step fails."""
        return self.begin(image, command, RunOptions.make(**options), fault=fault).wait(None)

    @staticmethod
    def _timeout(timeout: float | str | None) -> float | None:
        if isinstance(timeout, str):
            return RunOptions.make(timeout=timeout).timeout
        if timeout is not None and not timeout >= 0:
            raise InvalidOption(f"timeout: {timeout} is not a number of seconds")
        return None if timeout == float("inf") else timeout

    def begin(
        self,
        image: str,
        command: str | Sequence[str] | None,
        options: RunOptions,
        *,
        input: RunInput = None,
        on_output: OnOutput | None = None,
        capture: bool = True,
        fault: Fault | None = None,
        adopt: bool = True,
    ) -> Run:
        """A run that has been made ready, from options that are. Its `wait` must be called, once.

        Without `capture` the output is for `on_output` alone; with `adopt` false a terminal is left to the caller
        (TerminalRun)."""
        found = self.images.obtain(image, options)
        monitor = self._open()
        words = _words(command)
        options = self._with_others(options)
        with contextlib.ExitStack() as undo:
            if options.restart.name != "no":
                raise InvalidOption("restart: a run is over when its command has ended", hint="containers.run restarts")
            if options.name:
                self._check_name(options.name)
                undo.enter_context(hold_name(self.paths.root / "names", options.name))
            return self._launch(found, words, options, input, on_output, monitor, undo, fault, adopt, capture)

    def _with_others(self, options: RunOptions) -> RunOptions:
        if not options.volumes_from:
            return options
        from kernelbox.engine.volumes_from import with_others

        return with_others(self, options)[0]

    def _check_name(self, name: str) -> None:
        """Raises NameInUse where a kept container has it."""
        if not self.paths.state.exists():
            return
        with contextlib.suppress(ContainerNotFound, InvalidOption):
            if self.containers.state.get(name).name == name:
                raise NameInUse(f"the name {name!r} is in use by a container", hint="choose another name")

    def _launch(
        self,
        image: Image,
        command: Sequence[str],
        options: RunOptions,
        input: RunInput,
        on_output: OnOutput | None,
        monitor: Monitor,
        undo: contextlib.ExitStack,
        fault: Fault | None,
        adopt: bool,
        capture: bool,
    ) -> Run:
        given, data = self._standard_input(input)
        if held := self.images.hold(image):
            undo.enter_context(held)
        taken = self._take_range(undo) if wants_userns(options, image, rootless=self.rootless) else None
        options, chosen = place_run(self, options, image, taken, undo)
        prepared = self._prepare(image, command, options, monitor, taken, chosen, with_input=bool(data))
        if prepared.terminal and input is not None:
            raise InvalidOption("input cannot go to a terminal", hint="leave out tty")
        launch = Launch(
            monitor,
            prepared.encoded,
            prepared.token,
            prepared.descriptors(taken, given, self.bundle_userns(image, undo)),
            adopt=prepared.terminal and adopt,
            input=data,
            on_output=on_output,
            capture=capture,
            fault=fault,
            owner=prepared.target.owner,
        )
        launch.begin()
        return Run(prepared, image, launch, undo.pop_all().close)

    def _prepare(
        self,
        image: Image,
        command: Sequence[str],
        options: RunOptions,
        monitor: Monitor,
        taken: IdRange | None,
        chosen: Placed | None,
        *,
        with_input: bool,
    ) -> Prepared:
        """A plan that is ready for the same thing; or one made for the container that the volumes `chosen` are for."""
        assert self._kernel is not None
        self.make_ready(image, options, monitor, taken)
        key = self._ready.key(image, command, options, taken, with_input) if chosen is None else None
        prepared = self._ready.take(key)
        if prepared is None:
            prepared = prepare(
                self._kernel,
                self.paths,
                image,
                command,
                options,
                taken,
                shared=monitor.shared,
                with_input=with_input,
                rootless=self.rootless,
                beside=beside.find(self, options),
                placed=chosen or NOTHING,
            )
            self._ready.put(key, prepared)
        return prepared

    def standard_input(self, input: RunInput) -> bytes | int:
        """Bytes to send, or a descriptor that a process reads itself."""
        self.opened()  # or there is none to read nothing from
        descriptor, data = self._standard_input(input)
        return data or descriptor

    @staticmethod
    def words(command: str | Sequence[str] | None) -> Sequence[str]:
        """A command as a list; text is split as a shell would. Raises InvalidOption."""
        return _words(command)

    def _standard_input(self, input: RunInput) -> tuple[int, bytes]:
        """A descriptor, or bytes to send."""
        if isinstance(input, str):
            input = input.encode()
        if isinstance(input, bytes):
            return self._null, input
        if input is None:
            return self._null, b""
        with contextlib.suppress(OSError, AttributeError):
            return input.fileno(), b""
        content = input.read()
        return self._null, content.encode() if isinstance(content, str) else content

    def opened(self) -> Opened:
        """For the parts of this engine: what it holds, made at first use. While it is being closed a new monitor may
        still have to take containers over."""
        monitor = self._monitor or self._open()
        assert self._kernel is not None
        assert self._ranges is not None
        return Opened(self.paths, self._kernel, monitor, self._ranges, self._null, self.rootless)

    def _open(self) -> Monitor:
        """Finds out about the kernel and prepares the store at the first run."""
        if self.closed:
            raise KernelBoxError("this engine has been closed", hint="make a new kernelbox.Engine()")
        with self._mutex:
            if self._monitor is None:
                self.paths.prepare()
                self._kernel = Kernel()
                self._null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
                self._ranges = IdRanges(runtime_base())
                parents = self._kernel.hierarchy.parents(f"kernelbox/{self.paths.name}")
                attached = not self._kernel.features.detached_clone
                setup = setup_plan(self.paths, parents, pool=0 if self.rootless else _POOL, attached=attached)
                self._monitor = Monitor(
                    self.paths, setup, rootless=self.rootless, on_recovery=lambda: self.containers.take_over()
                )
            return self._monitor

    def bundle_userns(self, image: Image, undo: contextlib.ExitStack) -> int:
        """The user namespace that a bundle asks for, closed by `undo`; -1 where it asks for none."""
        ids = None if self.rootless else bundle_ids(image)
        if ids is None:
            return -1
        ranges = ([idmap.IdRange(each.container_id, each.host_id, each.size) for each in part] for part in ids)
        return undo.enter_context(idmap.userns(*ranges)).fileno()

    def _take_range(self, undo: contextlib.ExitStack) -> IdRange:
        assert self._ranges is not None
        taken = self._ranges.take()
        undo.callback(self._ranges.give, taken)
        return taken

    def make_ready(self, image: Image, options: RunOptions, monitor: Monitor, taken: IdRange | None) -> None:
        """Has the monitor make what containers share: the mask of the image host, the user namespace of those that keep
        an ordinary user's ids."""
        if image.name == "host":
            self.refresh_host(monitor, taken)
        if keeps_id(options, image, rootless=self.rootless):
            with self._mutex:
                if not self._keeps_id:
                    monitor.prepare("keep-id", namespace_plan(this_machine()))
                    self._keeps_id = True

    def refresh_host(self, monitor: Monitor, taken: IdRange | None) -> None:
        """Where a tmpfs cannot have its ids mapped (before Linux 6.3), the mask is made for one range of ids."""
        assert self._kernel is not None
        features = self._kernel.features
        owner = taken.start if taken and not features.idmapped_tmpfs else 0
        state = (*host_image.state_of_root(), owner)
        with self._mutex:
            if state != self._host_state:
                attached = not features.detached_clone
                monitor.prepare("host", host_image.mask_plan(rootless=self.rootless, owner=owner, attached=attached))
                self._host_state = state


def _words(command: str | Sequence[str] | None) -> Sequence[str]:
    if not isinstance(command, str):
        return list(command or ())
    try:
        return shlex.split(command)
    except ValueError as error:
        raise InvalidOption(f"command: {command[:60]!r}: {str(error).lower()}", hint="a list is not split") from None
