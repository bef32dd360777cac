"""A step of what a monitor is told first fails once: the message names it, nothing is left, and the next engine finds
all well."""

from __future__ import annotations

import errno
import functools
from pathlib import Path

import leaks
import pytest
from faults.monitors import monitors_of
from faults.plans import REASON, PlanUnderTest, as_before_linux_6_13, host_mask, setup_of
from ordinary_user import User
from sources import SOURCES
from waiting import wait_until

import kernelbox.runtime.monitor as conversation
from kernelbox import Engine
from kernelbox.errors import StoreError
from kernelbox.runtime.plan import EncodedPlan, request
from kernelbox.runtime.steps.base import Step

pytestmark = [pytest.mark.kernel, pytest.mark.root]


@pytest.fixture(params=["this kernel", "an older kernel"], autouse=True)
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "an older kernel":
        as_before_linux_6_13(monkeypatch)


def fault_in(patch: pytest.MonkeyPatch, encoded: EncodedPlan, number: int) -> None:
    """From here on the step of this number fails in every set-up."""
    fault = (encoded.operation_of(number), errno.ENOMEM)
    patch.setattr(conversation, "request", functools.partial(request, fault=fault))


def run_fails(box: Engine, image: str, step: Step) -> None:
    if type(step).__name__ == "ClearWorkshop":  # there may be nothing to clear
        assert box.run(image, ["true"]).exit_code == 0
        return
    with pytest.raises(StoreError) as caught:
        box.run(image, ["true"])
    assert caught.value.message == f"could not {step.describe()}: {REASON}"


def left_of(box: Engine) -> list[str]:
    """What is there once the monitor has gone with its engine, which was the only one."""
    wait_until(lambda: not monitors_of(box.paths.root), "the monitor goes with its engine")
    groups = [group for group in leaks.cgroups(set()) if box.paths.name in group]
    folder = [str(box.paths.runtime)] if box.paths.runtime.exists() else []
    return [*leaks.left_in_store(box.paths.root), *groups, *folder]


def test_each_step_of_the_set_up(store: Path, busybox_rootfs: Path) -> None:
    image = f"dir:{busybox_rootfs}"
    left: dict[str, list[str]] = {}
    with Engine(root=store) as box:
        encoded = setup_of(box)
    for number, step in enumerate(encoded.plan.outside, 1):
        with Engine(root=store) as box, pytest.MonkeyPatch.context() as patch:
            box._open()
            fault_in(patch, encoded, number)
            run_fails(box, image, step)
        left[step.describe()] = left_of(box)
        with Engine(root=store) as box:
            PlanUnderTest(box, image, {}).works()
        assert not left_of(box)
    assert "\n".join(f"{words}: {found}" for words, found in left.items() if found) == ""


def test_each_kind_of_step_of_the_mask_over_the_machines_files(engine: Engine, busybox_rootfs: Path) -> None:
    """It is made again by the next run that needs it, of the same engine and the same monitor."""
    encoded = host_mask(engine)
    first: dict[type[Step], int] = {}
    for number, step in enumerate(encoded.plan.outside, 1):
        first.setdefault(type(step), number)
    for number in first.values():
        engine.run(f"dir:{busybox_rootfs}", ["true"])
        engine._host_state = None  # as after something new in "/"
        with pytest.MonkeyPatch.context() as patch:
            fault_in(patch, encoded, number)
            run_fails(engine, "host", encoded.plan.steps[number - 1])
        PlanUnderTest(engine, "host", {}).works()


KEEP_ID = """
import errno, sys
import pytest
import kernelbox as kb
from faults.test_setup import fault_in
from kernelbox.errors import StoreError

with kb.Engine() as box:
    keep = {"userns": "keep-id"}
    assert box.run(sys.argv[1], ["true"], **keep).exit_code == 0
    monitor = box._open()
    encoded = monitor._preparations["keep-id"].encode((), monitor.shared)
    for number, step in enumerate(encoded.plan.outside, 1):
        box._keeps_id = False  # as in an engine that has not had one yet
        with pytest.MonkeyPatch.context() as patch:
            fault_in(patch, encoded, number)
            with pytest.raises(StoreError) as caught:
                box.run(sys.argv[1], ["true"], **keep)
        print(caught.value.message)
        assert box.run(sys.argv[1], ["true"], **keep).exit_code == 0
"""


def test_the_user_namespace_of_those_who_keep_ids(container_user: User, own_busybox: str) -> None:
    """It is made again by the next run that needs it."""
    done = container_user.python(KEEP_ID, own_busybox, PYTHONPATH=str(SOURCES / "tests"))
    assert (done.returncode, done.stdout) == (0, f"could not make a user namespace: {REASON}\n"), done.stderr
