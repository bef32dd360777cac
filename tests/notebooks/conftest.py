"""A real IPython shell whose output is kept, an engine that only says what it is told to, and kernels.

The engine here stands for our own interface (box.run, box.start): with it, what the magics do around a run is tested
where no container can be started. Everything that runs in containers is tested with the real one.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kernelbox_magics
import pytest
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from jupyter_core.utils import ensure_event_loop
from traitlets.config import Config

from kernelbox.errors import KernelBoxError, OutOfMemory, RunFailed, RunTimeout
from kernelbox.linux import cgroups

os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"


USAGE = {
    "cpu_usage_seconds": 0.02,
    "cpu_user_seconds": 0.01,
    "cpu_system_seconds": 0.01,
    "memory_peak_bytes": 4096,
    "pids_peak": None,
    "io_read_bytes": 0,
    "io_write_bytes": 0,
    "net_rx_bytes": 0,
    "net_tx_bytes": 0,
    "wall_seconds": 0.03,
}


@dataclass
class Outcome:
    """A RunResult as far as the magics look into it."""

    stdout: str = ""
    stderr: str = ""
    exit_code: int = 0
    oom_killed: bool = False
    timed_out: bool = False
    signal: int | None = None
    image: str = "host"
    command: Sequence[str] = ("true",)
    container: Any = field(default_factory=lambda: SimpleNamespace(id="c" * 64, name="calm_cat"))
    usage: Any = field(default_factory=lambda: SimpleNamespace(**USAGE))
    metrics: str = "the metrics"
    started_at: float = 1767323045.0
    truncated: bool = False
    limits: Any = field(default_factory=lambda: SimpleNamespace(notes=()))

    def check(self) -> Outcome:
        if self.exit_code:
            kind = OutOfMemory if self.oom_killed else RunTimeout if self.timed_out else RunFailed
            raise kind(f"the command failed with {self.exit_code}", result=self, exit_code=self.exit_code)
        return self

    def explain(self) -> str:
        return "the steps"

    def __repr__(self) -> str:
        return f"<RunResult {self.exit_code}>"


@dataclass
class ScriptedEngine:
    """`outcome` is what each run ends with; before, it prints `chunks` and does `during`."""

    outcome: Outcome = field(default_factory=Outcome)
    chunks: Sequence[tuple[int, bytes]] = ()
    during: Callable[[dict[str, Any]], None] = lambda call: None
    calls: list[dict[str, Any]] = field(default_factory=list)
    closed: bool = False
    images: Any = field(default_factory=lambda: SimpleNamespace(names=lambda: ["host", "dir:", "bundle:"]))
    containers: Any = field(default_factory=lambda: SimpleNamespace(names=lambda: ["lab", "web"]))

    def run(self, image: str, command: list[str] | None = None, *, on_output: Any, **options: Any) -> Outcome:
        call = {"image": image, "command": command, **options}
        self.calls.append(call)
        for stream, chunk in self.chunks:
            on_output(stream, chunk)
        self.during(call)
        return self.outcome

    def start(self, image: str, command: list[str] | None = None, **options: Any) -> ScriptedJob:
        return ScriptedJob(self, lambda: self.run(image, command, **options))

    def close(self) -> None:
        self.closed = True


class ScriptedJob:
    """Ends once `go` is set."""

    def __init__(self, engine: ScriptedEngine, run: Callable[[], Outcome]) -> None:
        self.go = threading.Event()
        self.result: Outcome | None = None
        self.error: KernelBoxError | None = None
        self.container = engine.outcome.container
        self.killed: list[int] = []
        self._run = run
        self._thread = threading.Thread(target=self._main)
        self._thread.start()

    def _main(self) -> None:
        self.go.wait()
        try:
            self.result = self._run()
        except KernelBoxError as error:
            self.error = error

    def wait(self, timeout: float | None = None) -> Outcome:
        self._thread.join(timeout)
        if self.error:
            raise self.error
        assert self.result
        return self.result

    def kill(self, signal: int = 9) -> None:
        self.killed.append(signal)
        self.go.set()


class Notebook:
    """Cells for an IPython shell; what they print goes to pytest's capture, what they display is kept."""

    def __init__(self, engine: ScriptedEngine | None) -> None:
        config = Config()
        config.HistoryManager.enabled = False
        config.InteractiveShell.colors = "nocolor"
        self.shell = InteractiveShell(config=config)
        self.shell.display_pub = CapturingDisplayPublisher()
        self.engine = engine
        if engine:
            kernelbox_magics.load_ipython_extension(self.shell)
            self.magics._engine = engine
        else:
            self.run("%load_ext kernelbox")

    @property
    def magics(self) -> Any:
        return self.shell.magics_manager.registry["KernelBox"]

    @property
    def variables(self) -> dict[str, Any]:
        return self.shell.user_ns

    @property
    def displayed(self) -> list[dict[str, Any]]:
        return [output["data"] for output in self.shell.display_pub.outputs]

    def cell(self, source: str) -> Any:
        """Run a cell; its ExecutionResult."""
        return self.shell.run_cell(source, store_history=True)

    def run(self, source: str) -> Any:
        """Run a cell that succeeds; its value."""
        return self.cell(source).raise_error() or self.shell.user_ns.get("_")

    def value(self, source: str) -> Any:
        done = self.cell(source)
        done.raise_error()
        return done.result

    def error(self, source: str) -> Any:
        """Run a cell that fails; its exception."""
        done = self.cell(source)
        assert not done.success
        return done.error_in_exec or done.error_before_exec

    def close(self) -> None:
        atexit.unregister(self.shell.atexit_operations)
        self.shell.atexit_operations()


@pytest.fixture
def memory_is_limited() -> bool:
    """Whether a container's memory limit is in force: an ordinary user may have no control group for it."""
    return not cgroups.detect().unsupported(cgroups.Limits(memory=64 << 20))


@pytest.fixture
def sockets() -> Iterator[Path]:
    """A folder, with a short name, for a kernel's Unix sockets; then the event loop of its client is closed."""
    with tempfile.TemporaryDirectory(prefix="nb") as folder:
        yield Path(folder)
        ensure_event_loop().close()
        asyncio.set_event_loop(None)


@pytest.fixture
def scripted() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture
def notebook(scripted: ScriptedEngine) -> Iterator[Notebook]:
    """A notebook whose engine is scripted."""
    made = Notebook(scripted)
    yield made
    made.close()


@pytest.fixture
def real_notebook(store: object) -> Iterator[Notebook]:
    """A notebook with the real engine, on a store of the test's own."""
    made = Notebook(None)
    yield made
    made.run("%unload_ext kernelbox")
    made.close()
