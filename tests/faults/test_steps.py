"""Every step of a plan fails once: the message names it, nothing is left, and the next run is as if nothing had
been."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import leaks
import pytest
from faults.monitors import monitors_of

from kernelbox import Engine
from kernelbox.engine.kernel import Kernel
from kernelbox.engine.options import RunOptions
from kernelbox.errors import StartError
from kernelbox.runtime.plan import Fault, Plan
from kernelbox.runtime.steps.base import LAST, Step
from kernelbox.runtime.steps.ending import ReadCounter
from kernelbox.runtime.steps.process import Exec

pytestmark = [pytest.mark.kernel, pytest.mark.root]

REASON = "cannot allocate memory"
TRUE = ["true"]
ID = re.compile(r"\b[0-9a-f]{12}(?:[0-9a-f]{52})?\b")


@pytest.fixture
def image(busybox_rootfs: Path) -> str:
    return f"dir:{busybox_rootfs}"


@pytest.fixture
def many_options(tmp_path: Path) -> dict[str, Any]:
    """A run that has most kinds of step."""
    folder = tmp_path / "shared"
    folder.mkdir()
    file = tmp_path / "file"
    file.write_text("content")
    return {
        "volumes": [f"{folder}:/data", f"{file}:/etc/file:ro"], "tmpfs": ["/scratch:size=1m"], "memory": "64m",
        "cpus": 1.5, "pids_limit": 64, "ulimits": ["nofile=512:512"], "workdir": "/made/here", "user": "1000:1000",
        "group_add": ["5"], "hostname": "box", "domainname": "example.org", "cap_add": ["NET_ADMIN"], "umask": "027",
        "sysctls": {"net.ipv4.ip_forward": "1", "kernel.shm_rmid_forced": "1"}, "read_only": True,
    }  # fmt: skip


class PlanUnderTest:
    """Runs the plan with one step failing."""

    def __init__(self, box: Engine, image: str, options: dict[str, Any]) -> None:
        self.box, self.image, self.options = box, image, options
        self.plan: Plan = box.plan(image, TRUE, RunOptions.make(**options))
        self.launched = len(self.plan.outside) + len(self.plan.inside)

    def steps(self) -> Iterator[tuple[int, Step]]:
        return enumerate(self.plan.steps, 1)

    def fails(self, number: int, step: Step) -> None:
        with pytest.raises(StartError) as caught:
            self.box.run_with_fault(Fault(number, errno.ENOMEM), self.image, TRUE, **self.options)
        error = caught.value
        assert (error.step, error.steps, error.errno) == (number, self.launched, errno.ENOMEM)
        if isinstance(step, Exec):
            assert error.message == f"could not run true: {REASON}"
        else:
            assert error.message.startswith(f"step {number} of {self.launched}: could not ")
            assert error.message.endswith(f": {REASON}")
            assert self.is_named(step, error.message)
        self.nothing_is_left()

    def is_named(self, step: Step, message: str) -> bool:
        """But for the container's own id, which each has anew, the phrase is that of the plan."""
        said = message.removesuffix(f": {REASON}").partition("could not ")[2]
        return ID.sub("ID", step.describe()).split() == ID.sub("ID", said).split()

    def nothing_is_left(self) -> None:
        """At once, while the monitor lives on: no group, no folder, no process but its own."""
        own = self.box.paths
        assert not list(own.containers.iterdir())
        assert not [group for group in leaks.cgroups(set()) if Path(group).parent.name == own.name]

    def works(self) -> None:
        run = self.box.run(self.image, ["echo", "well"], **self.options)
        assert (run.exit_code, run.stdout.replace("\r\n", "\n")) == (0, "well\n")  # a terminal adds the return


def fail_each(test: PlanUnderTest) -> None:
    for number, step in test.steps():
        if test.plan.where(number - 1) != LAST:
            test.fails(number, step)
    test.works()


def test_each_step_of_a_run_with_many_options(engine: Engine, image: str, many_options: dict[str, Any]) -> None:
    test = PlanUnderTest(engine, image, many_options)
    assert test.launched > 90
    fail_each(test)


def test_each_step_of_a_run_on_the_host_image(engine: Engine) -> None:
    fail_each(PlanUnderTest(engine, "host", {"tty": True}))


def test_each_step_where_overlays_are_mounted_by_path(
    engine: Engine, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = Kernel.__init__

    def as_before_linux_6_13(self: Kernel) -> None:
        old(self)
        self.features = replace(self.features, overlay_by_fd=False, detached_clone=False)

    monkeypatch.setattr(Kernel, "__init__", as_before_linux_6_13)
    test = PlanUnderTest(engine, image, {})
    assert "clear the workshop" in test.plan.describe()
    fail_each(test)


def test_each_step_of_a_bundle(engine: Engine, bundle: Path) -> None:
    fail_each(PlanUnderTest(engine, f"bundle:{bundle}", {}))


def test_a_step_of_the_end_that_fails_costs_no_result(store: Path, image: str, many_options: dict[str, Any]) -> None:
    """What it could not do is done when the store is opened next."""
    with Engine(root=store) as box:
        test = PlanUnderTest(box, image, many_options)
        ends = [(number, step) for number, step in test.steps() if test.plan.where(number - 1) == LAST]
        assert len(ends) > 10
        for number, step in ends:
            run = box.run_with_fault(Fault(number, errno.EIO), image, ["echo", "said"], **many_options)
            assert (run.exit_code, run.stdout) == (0, "said\n")
            failed = [row.number for row in run.trace if row.errno]
            assert failed == [number]
            counted = (run.usage.cpu_usage_seconds, run.usage.memory_peak_bytes, run.usage.pids_peak)
            assert isinstance(step, ReadCounter) or all(value is not None for value in counted)
        test.works()
    with Engine(root=store) as box:
        box.run(image, TRUE)
    assert not leaks.left_in_store(store)


def test_the_monitor_stays_the_same(engine: Engine, image: str) -> None:
    test = PlanUnderTest(engine, image, {})
    engine.run(image, TRUE)
    (monitor,) = monitors_of(engine.paths.root)
    fail_each(test)
    assert monitors_of(engine.paths.root) == [monitor]
    assert not [p for p in leaks.processes() if (p.parent, p.state) == (monitor, "Z")]
