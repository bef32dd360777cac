"""No kind of step is left out: what the tests of this folder make fail are all that there are."""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import kept_plans
from faults.plans import KINDS, PlanUnderTest, as_before_linux_6_13, host_mask, setup_of
from ordinary_user import User
from sources import SOURCES

from kernelbox import Engine
from kernelbox.engine.executing import ExecOptions
from kernelbox.linux import cgroups, namespaces
from kernelbox.linux.features import probe
from kernelbox.runtime import steps
from kernelbox.runtime.steps.base import Step

pytestmark = [pytest.mark.kernel, pytest.mark.root]

NAMES = """
import json, sys
import kernelbox as kb
from faults.plans import PlanUnderTest

with kb.Engine() as box:
    steps = PlanUnderTest(box, sys.argv[1], {"userns": "keep-id"}).plan.steps
    steps += box._open()._preparations["keep-id"].steps  # which test_setup makes fail
    print(json.dumps([type(step).__name__ for step in steps]))
"""


def every_kind() -> set[str]:
    """The names of all classes of steps."""
    for module in pkgutil.iter_modules(steps.__path__):
        importlib.import_module(f"{steps.__name__}.{module.name}")

    def below(kind: type[Step]) -> Iterator[str]:
        for each in kind.__subclasses__():
            if not each.__module__.startswith(steps.__name__):  # another test's
                continue
            # A class with slots is made twice; the one that is not in its module is the first.
            if getattr(importlib.import_module(each.__module__), each.__name__) is each:
                yield each.__name__
            yield from below(each)

    return set(below(Step))


def beyond_this_machine() -> dict[str, str]:
    """Kinds that no plan has here, and why."""
    found = {}
    versions = {group.version for group in cgroups.detect().groups("x", cgroups.Limits(memory=1 << 26, pids=9))}
    if "v1" not in versions:
        found["JoinCgroup"] = "a process begins in its v2 group"
    if "v2" not in versions:
        found |= dict.fromkeys(("KillCgroup", "AttachDeviceFilter"), "there is no v2 group")
    if not probe().bpf_device:
        found["AttachDeviceFilter"] = "the kernel takes no device filter"
    if not namespaces.time_is_entered_by_exec():
        found["SetTimeOffsets"] = "the kernel has no time namespaces that exec enters"
    return found


def names(steps: tuple[Step, ...]) -> set[str]:
    return {type(step).__name__ for step in steps}


def of_kept(box: Engine, rootfs: Path) -> set[str]:
    """Those that test_kept_steps makes fail."""
    found: set[str] = set()
    for options in kept_plans.KINDS.values():
        container = box.containers.run(f"dir:{rootfs}", ["sleep", "infinity"], **options)
        found |= names(kept_plans.plan_of(container).steps)
        for tty in (False, True):
            found |= names(kept_plans.exec_plan_of(container, ExecOptions(tty=tty)).steps)
        container.remove(force=True)
    return found


def test_every_kind_of_step_is_made_to_fail(
    store: Path, tmp_path: Path, busybox_rootfs: Path, container_user: User, own_busybox: str
) -> None:
    found: set[str] = set()
    for older in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            if older:
                as_before_linux_6_13(patch)
            with Engine(root=store) as box:
                found |= names(setup_of(box).plan.outside) | names(host_mask(box).plan.outside)
                for kind, make in KINDS.items():
                    folder = tmp_path / f"{kind} {older}"
                    folder.mkdir()
                    image, options = make(folder, busybox_rootfs)
                    found |= names(PlanUnderTest(box, image, options).plan.steps)
    with Engine(root=store) as box:
        found |= of_kept(box, busybox_rootfs)
    done = container_user.python(NAMES, own_busybox, PYTHONPATH=str(SOURCES / "tests"))
    assert done.returncode == 0, done.stderr
    found |= set(json.loads(done.stdout))
    found |= {"OpenWayOut", "TieWayOut", "EndWayOut"}  # which test_way_out makes fail, on a machine of its own
    found |= {"ShareMemory"}  # which test_shared_memory makes fail
    assert every_kind() - found == beyond_this_machine().keys()
