"""Plans of every kind, and what happens when one of their steps fails."""

from __future__ import annotations

import dataclasses
import errno
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import bundles
import leaks
import pytest

from kernelbox import Engine, RunResult
from kernelbox.engine.kernel import Kernel
from kernelbox.engine.options import RunOptions
from kernelbox.errors import StartError
from kernelbox.linux import namespaces
from kernelbox.runtime.plan import EncodedPlan, Fault, Plan
from kernelbox.runtime.steps.base import LAST, Step
from kernelbox.runtime.steps.ending import ReadCounter
from kernelbox.runtime.steps.process import Exec

REASON = "cannot allocate memory"
ID = re.compile(r"\b[0-9a-f]{12}(?:[0-9a-f]{52})?\b")
HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")

Run = tuple[str, dict[str, Any]]
"""An image and the options of a run."""


def many_options(folder: Path, root: Path) -> Run:
    shared = folder / "shared"
    shared.mkdir()
    file = folder / "file"
    file.write_text("content")
    return f"dir:{root}", {
        "volumes": [f"{shared}:/data", f"{file}:/etc/file:ro"], "tmpfs": ["/scratch:size=1m"], "memory": "64m",
        "cpus": 1.5, "pids_limit": 64, "ulimits": ["nofile=512:512"], "workdir": "/made/here", "user": "1000:1000",
        "group_add": ["5"], "hostname": "box", "domainname": "example.org", "cap_add": ["NET_ADMIN"], "umask": "027",
        "sysctls": {"net.ipv4.ip_forward": "1", "kernel.shm_rmid_forced": "1"}, "read_only": True,
    }  # fmt: skip


def few_options(folder: Path, root: Path) -> Run:
    return f"dir:{root}", {}


def on_a_terminal(folder: Path, root: Path) -> Run:
    return "host", {"tty": True}


def among_the_machines_processes(folder: Path, root: Path) -> Run:
    return f"dir:{root}", {"pid": "host"}


def bundle(folder: Path, root: Path) -> Run:
    return bundles.write(folder / "bundle", bundles.config(root)), {}


def bundle_with_hooks(folder: Path, root: Path) -> Run:
    config = bundles.config(root)
    config["hooks"] = {kind: [{"path": "/bin/true"}] for kind in HOOKS}
    return bundles.write(folder / "bundle", config), {}


def bundle_with_spaces(folder: Path, root: Path) -> Run:
    """It joins namespaces, has clocks, the mounts of a slave, and capabilities that a program keeps by itself."""
    config = bundles.config(root)
    files = {"network": "net", "uts": "uts", "ipc": "ipc"}
    spaces: list[dict[str, str]] = config["linux"]["namespaces"]
    for space in spaces:
        if space["type"] in files:
            space["path"] = f"/proc/{os.getpid()}/ns/{files[space['type']]}"
    if namespaces.time_is_entered_by_exec():
        spaces.append({"type": "time"})
        config["linux"]["timeOffsets"] = {"boottime": {"secs": 1000}}
    del config["hostname"]
    config["linux"]["rootfsPropagation"] = "slave"
    config["process"]["capabilities"]["inheritable"] = bundles.CAPABILITIES
    return bundles.write(folder / "bundle", config), {}


KINDS: dict[str, Callable[[Path, Path], Run]] = {
    each.__name__: each
    for each in (
        *(many_options, few_options, on_a_terminal, among_the_machines_processes),
        *(bundle, bundle_with_hooks, bundle_with_spaces),
    )
}


def as_before_linux_6_13(patch: pytest.MonkeyPatch) -> None:
    """Engines that are made from here on mount overlays by path, and clone no mount that is attached nowhere."""
    newer = Kernel.__init__

    def older(self: Kernel) -> None:
        newer(self)
        self.features = dataclasses.replace(self.features, overlay_by_fd=False, detached_clone=False)

    patch.setattr(Kernel, "__init__", older)


def setup_of(box: Engine) -> EncodedPlan:
    """What the engine tells its monitor first."""
    return box._open()._encoded


def host_mask(box: Engine) -> EncodedPlan:
    """What the engine tells its monitor before the first run of the image "host"."""
    box.run("host", ["true"])
    monitor = box._open()
    return monitor._preparations["host"].encode((), monitor.shared)


class PlanUnderTest:
    """Runs the plan with one step failing."""

    def __init__(self, box: Engine, image: str, options: dict[str, Any]) -> None:
        self.box, self.image, self.options = box, image, options
        self.plan: Plan = box.plan(image, ["true"], RunOptions.make(**options))
        self.launched = len(self.plan.outside) + len(self.plan.inside)

    def steps(self) -> Iterator[tuple[int, Step]]:
        return enumerate(self.plan.steps, 1)

    def fails(self, number: int, step: Step) -> None:
        if getattr(step, "optional", False):  # the rest goes on without it
            assert self.with_fault(number, errno.ENOMEM).exit_code == 0
            return
        with pytest.raises(StartError) as caught:
            self.with_fault(number, errno.ENOMEM)
        error = caught.value
        assert (error.step, error.steps, error.errno) == (number, self.launched, errno.ENOMEM)
        if isinstance(step, Exec):
            assert error.message == f"could not run true: {REASON}"
        else:
            assert error.message.startswith(f"step {number} of {self.launched}: could not ")
            assert error.message.endswith(f": {REASON}")
            assert self.is_named(step, error.message)
        self.nothing_is_left()

    def with_fault(self, number: int, error: int, command: Sequence[str] = ("true",)) -> RunResult:
        return self.box.run_with_fault(Fault(number, error), self.image, command, **self.options)

    def is_named(self, step: Step, message: str) -> bool:
        """But for the container's own id, which each has anew, the phrase is that of the plan."""
        said = message.removesuffix(f": {REASON}").partition("could not ")[2]
        return ID.sub("ID", step.describe()).split() == ID.sub("ID", said).split()

    def nothing_is_left(self) -> None:
        """At once, while the monitor lives on: no group, no folder, no process but its own."""
        own = self.box.paths
        assert not list(own.runs.iterdir())
        assert not list(own.containers.iterdir())
        assert not [group for group in leaks.cgroups(set()) if Path(group).parent.name == own.name]

    def works(self) -> RunResult:
        run = self.box.run(self.image, ["echo", "well"], **self.options)
        assert (run.exit_code, run.stdout.replace("\r\n", "\n")) == (0, "well\n")  # a terminal adds the return
        return run


def fail_each(test: PlanUnderTest) -> None:
    """Every step up to the program's start fails once; then a run is as if nothing had been."""
    for number, step in test.steps():
        if test.plan.where(number - 1) != LAST:
            test.fails(number, step)
    test.works()


def fail_each_end(test: PlanUnderTest, counted: frozenset[str]) -> None:
    """Every step after the program's end fails once, which costs no result. `counted`: the fields of `usage` that are
    known on this machine."""
    usual = failed_steps(test.works())
    for number, step in test.steps():
        if test.plan.where(number - 1) != LAST:
            continue
        run = test.with_fault(number, errno.EIO, ["echo", "said"])
        assert (run.exit_code, run.stdout.replace("\r\n", "\n")) == (0, "said\n")
        assert failed_steps(run) == usual | {number}
        missing = {name for name in counted if getattr(run.usage, name) is None}
        assert len(missing) <= isinstance(step, ReadCounter), step
    test.works()


def failed_steps(run: RunResult) -> set[int]:
    """Those that went wrong: without a fault, only ones that may, such as to unmount what is not there any more."""
    return {row.number for row in run.trace if row.errno}
