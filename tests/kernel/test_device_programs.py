"""Loaded device filters: few are kept, and none is closed while a container may yet be started with it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelbox import Engine
from kernelbox.engine.kernel import Kernel
from kernelbox.errors import StartError
from kernelbox.linux.devices import DEFAULT_RULES, Rule
from kernelbox.linux.features import probe

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.root,
    pytest.mark.skipif(not probe().bpf_device, reason="there are no device filters on this machine"),
]

MANY = 120


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    made = Kernel()
    yield made
    made.close()


def rules(number: int) -> tuple[Rule, ...]:
    return (*DEFAULT_RULES, Rule(True, "c", 10, number))


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_the_same_rules_are_loaded_once(kernel: Kernel) -> None:
    assert kernel.device_program(rules(1)) is kernel.device_program(rules(1))


def test_few_are_kept(kernel: Kernel) -> None:
    before = descriptors()
    for number in range(MANY):
        kernel.device_program(rules(number))
    assert descriptors() - before < MANY / 2
    kernel.close()
    assert descriptors() == before


def test_one_that_is_in_use_stays_open(kernel: Kernel) -> None:
    used = kernel.device_program(rules(0))
    for number in range(1, MANY):
        kernel.device_program(rules(number))
    assert kernel.device_program(rules(0)) != used
    assert os.readlink(f"/proc/self/fd/{used}") == "anon_inode:bpf-prog"
    number = int(used)
    del used
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        os.fstat(number)


def test_containers_with_many_different_rules(engine: Engine, busybox_image: str) -> None:
    def run(number: int) -> str:
        rule = f"c 10:{number} rwm"
        return engine.run(busybox_image, ["cat", "/dev/null"], device_cgroup_rules=[rule], check=True).stdout

    run(0)
    before = descriptors()
    job = engine.start(busybox_image, ["sleep", "infinity"], device_cgroup_rules=["c 10:0 rwm"])
    for number in range(MANY):
        run(number)
    assert descriptors() - before < MANY
    run(0)
    job.kill()
    job.wait(60)


def test_nothing_is_open_after_the_end(busybox_image: str, store: Path) -> None:
    """Not even what the traceback of a failed start still refers to."""
    before = descriptors()
    with Engine(root=store) as box, pytest.raises(StartError) as no:
        box.run(busybox_image, ["true"], volumes=["/etc/passwd:/bin"])
    assert no.tb
    assert descriptors() == before
