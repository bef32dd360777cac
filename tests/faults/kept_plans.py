"""The plans of containers that are kept, and of what exec starts in them, with one step failing."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import leaks
import pytest

from kernelbox.engine import starting
from kernelbox.engine.container import Container
from kernelbox.engine.executing import ExecOptions, begin_exec
from kernelbox.engine.starting import options_of
from kernelbox.errors import StartError
from kernelbox.runtime.plan import Fault, Plan
from kernelbox.runtime.steps.base import LAST

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "with an input": {"interactive": True},
    "with a terminal": {"tty": True},
    "with limits": {"memory": "64m", "cpus": 1, "restart": "always"},
    "with a part of a volume": {"mounts": ["type=volume,src=homes,dst=/home,volume-subpath=alice"]},
}


def plan_of(container: Container) -> Plan:
    """What starts it."""
    with contextlib.ExitStack() as undo:
        ready, _, _ = starting.prepared(container.box, container.record, options_of(container.record), undo)
        return ready.encoded.plan


def exec_plan_of(container: Container, options: ExecOptions) -> Plan:
    """What starts `true` in it, which runs."""
    execution = begin_exec(container.box, container.record, container.folder, ["true"], options)
    execution.wait()
    return execution.launch.encoded.plan


def fail_each(plan: Plan, with_fault: Callable[[Fault], object], check: Callable[[], None]) -> None:
    """Every step up to the program's start fails once, and is named."""
    launched = len(plan.outside) + len(plan.inside)
    for number, step in enumerate(plan.steps, 1):
        if plan.where(number - 1) == LAST or getattr(step, "optional", False):
            continue
        with pytest.raises(StartError) as caught:
            with_fault(Fault(number, errno.ENOMEM))
        assert (caught.value.step, caught.value.steps, caught.value.errno) == (number, launched, errno.ENOMEM)
        check()


def start_with_fault(container: Container, fault: Fault) -> None:
    with container.folder.locked():
        starting.start(container.box, container.state, container.folder, container.record, fault=fault)


def exec_with_fault(container: Container, options: ExecOptions, fault: Fault) -> None:
    begin_exec(container.box, container.record, container.folder, ["true"], options, fault=fault).wait()


def nothing_runs(container: Container) -> None:
    """It is as it was: no group, no process, no range of ids that is marked as its own."""
    own = container.box.paths
    assert container.reload().status == "created"
    assert not [group for group in leaks.cgroups(set()) if Path(group).parent.name == own.name]
    assert container.folder.running() is None
    marks = Path("/run/kernelbox/ids-in-use")
    assert not [mark for mark in marks.glob("*") if str(mark.readlink()) == str(container.folder.path)]
