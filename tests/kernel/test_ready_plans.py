"""Plans that are kept for the next run: it gets what it would have got from a plan of its own."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import busybox
import pytest

from kernelbox import Engine
from kernelbox.engine.options import RunOptions
from kernelbox.errors import StartError
from kernelbox.runtime.plan import Fault

pytestmark = pytest.mark.kernel

LOOP_CTL_ADD, LOOP_CTL_REMOVE = 0x4C80, 0x4C81
LOOP = 777


@pytest.fixture
def new_disk() -> Iterator[Callable[[], Path]]:
    """Makes something new in every sysfs: the folder of a block device."""
    if not os.access("/dev/loop-control", os.W_OK):
        pytest.skip("there is no /dev/loop-control to make a device with")
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    folder = Path(f"/sys/devices/virtual/block/loop{LOOP}")

    def make() -> Path:
        fcntl.ioctl(control, LOOP_CTL_ADD, LOOP)
        return folder

    yield make
    with suppress(OSError):
        fcntl.ioctl(control, LOOP_CTL_REMOVE, LOOP)
    os.close(control)


def test_each_run_is_explained_by_its_own_names(box: Engine, busybox_image: str) -> None:
    first, second = (box.run(busybox_image, ["true"], check=True) for _ in range(2))
    for run, other in ((first, second), (second, first)):
        text = "\n".join(row.what for row in run.trace)
        assert run.container.hostname in text
        assert other.container.hostname not in text


def test_a_start_that_fails_speaks_of_its_own_container(box: Engine, busybox_image: str) -> None:
    command = ["true", "and", "fail"]
    first = box.run(busybox_image, command, check=True)
    plan = box.plan(busybox_image, command, RunOptions.make())
    steps = [step.describe() for step in plan.steps]
    number = next(n for n, step in enumerate(plan.steps, 1) if type(step).__name__ == "SetHostname")
    assert not [step for step in steps if first.container.hostname in step]
    with pytest.raises(StartError, match=r"could not set the host name [0-9a-f]{12}: ") as no:
        box.run_with_fault(Fault(number, errno.EIO), busybox_image, command)
    assert first.container.hostname not in str(no.value)


def test_a_shell_that_came_later(engine: Engine, tmp_path: Path) -> None:
    root = busybox.build(tmp_path / "root")
    image = f"dir:{root}"
    assert engine.run(image, input="echo $0").stdout == "/bin/sh\n"
    (root / "bin/bash").symlink_to("busybox")
    assert engine.images.get(image).config.cmd == ("/bin/bash",)
    assert engine.run(image, input="echo $0").command == ("/bin/bash",)


@pytest.mark.root
@pytest.mark.parametrize("below", ["", "/size"])
def test_a_hidden_path_that_came_later(
    engine: Engine, busybox_image: str, new_disk: Callable[[], Path], below: str
) -> None:
    path = f"/sys/devices/virtual/block/loop{LOOP}{below}"

    def seen(**options: list[str]) -> str:
        return engine.run(busybox_image, ["sh", "-c", f"ls -A {path}; cat {path}"], **options).stdout

    assert seen(security_opt=[f"mask={path}"]) == ""
    assert new_disk().exists()
    assert seen() != ""
    assert seen(security_opt=[f"mask={path}"]) in ("", f"{path}\n")


@pytest.mark.root
def test_a_hidden_path_that_cannot_be(engine: Engine, busybox_image: str) -> None:
    options = {"security_opt": ["mask=/proc/version/none", "mask=/proc/none/none", "mask=/sys/none"]}
    assert engine.run(busybox_image, ["true"], **options).exit_code == 0
