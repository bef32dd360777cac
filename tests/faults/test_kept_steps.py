"""Every step that starts a kept container, and every step of an exec in it, fails once: it is named, and nothing of it
is left."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
from faults import kept_plans

from kernelbox import Engine
from kernelbox.engine.executing import ExecOptions

pytestmark = [pytest.mark.kernel, pytest.mark.root]


@pytest.mark.parametrize("kind", kept_plans.KINDS)
def test_each_step_of_a_start_fails_once(kind: str, engine: Engine, busybox_rootfs: Path) -> None:
    options = kept_plans.KINDS[kind]
    container = engine.containers.create(f"dir:{busybox_rootfs}", ["sleep", "infinity"], **options)
    plan = kept_plans.plan_of(container)
    fail = functools.partial(kept_plans.start_with_fault, container)
    kept_plans.fail_each(plan, fail, functools.partial(kept_plans.nothing_runs, container))
    container.start()
    assert container.exec(["echo", "well"]).stdout == "well\n"
    container.remove(force=True)


@pytest.mark.parametrize("options", [ExecOptions(), ExecOptions(tty=True)], ids=["streams", "terminal"])
def test_each_step_of_an_exec_fails_once(options: ExecOptions, engine: Engine, busybox_rootfs: Path) -> None:
    container = engine.containers.run(f"dir:{busybox_rootfs}", ["sleep", "infinity"])
    plan = kept_plans.exec_plan_of(container, options)
    fail = functools.partial(kept_plans.exec_with_fault, container, options)

    def it_runs_on() -> None:
        assert container.reload().status == "running"

    kept_plans.fail_each(plan, fail, it_runs_on)
    assert container.exec(["echo", "well"]).stdout == "well\n"
    container.remove(force=True)
