"""Every step of a plan fails once: the message names it, nothing is left, and the next run is as if nothing had
been."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import leaks
import machine
import pytest
from faults.monitors import monitors_of
from faults.plans import KINDS, PlanUnderTest, as_before_linux_6_13, fail_each, fail_each_end
from ordinary_user import User
from sources import SOURCES

from kernelbox import Engine

pytestmark = [pytest.mark.kernel, pytest.mark.root]

OLDER = ("few_options", "on_a_terminal")
"""Kinds that are also tried as on a kernel before Linux 6.13: with overlays by path."""

Made = Iterator[PlanUnderTest]


@pytest.fixture(params=[*KINDS, *(f"{kind} on an older kernel" for kind in OLDER)])
def under_test(
    request: pytest.FixtureRequest,
    store: Path,
    tmp_path: Path,
    busybox_rootfs: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Made:
    kind, _, older = request.param.partition(" ")
    if older:
        as_before_linux_6_13(monkeypatch)
    with Engine(root=store) as box:
        image, options = KINDS[kind](tmp_path, busybox_rootfs)
        yield PlanUnderTest(box, image, options)


def test_each_step_fails_once(under_test: PlanUnderTest) -> None:
    fail_each(under_test)


def test_a_step_of_the_end_that_fails_costs_no_result(under_test: PlanUnderTest, store: Path) -> None:
    """What it could not do is done when the store is opened next."""
    fail_each_end(under_test, machine.counted())
    under_test.box.close()
    with Engine(root=store) as box:
        box.run("host", ["true"])
    assert not leaks.left_in_store(store)


ROOTLESS = """
import json, os, sys
import kernelbox as kb
from faults.plans import PlanUnderTest, fail_each, fail_each_end

with kb.Engine() as box:
    test = PlanUnderTest(box, sys.argv[1], {"userns": sys.argv[2]})
    fail_each(test)
    fail_each_end(test, frozenset(["cpu_usage_seconds", "memory_peak_bytes"]))
    print(json.dumps([type(step).__name__ for step in test.plan.steps]))
"""


@pytest.mark.parametrize("userns", ["auto", "keep-id"])
def test_each_step_of_an_ordinary_users_container(container_user: User, own_busybox: str, userns: str) -> None:
    done = container_user.python(ROOTLESS, own_busybox, userns, PYTHONPATH=str(SOURCES / "tests"))
    assert done.returncode == 0, done.stderr
    assert {"Unmount", "SendNetlink"} <= set(json.loads(done.stdout))


def test_the_monitor_stays_the_same(engine: Engine, busybox_rootfs: Path) -> None:
    test = PlanUnderTest(engine, f"dir:{busybox_rootfs}", {})
    test.works()
    (monitor,) = monitors_of(engine.paths.root)
    fail_each(test)
    assert monitors_of(engine.paths.root) == [monitor]
    assert not [p for p in leaks.processes() if (p.parent, p.state) == (monitor, "Z")]
