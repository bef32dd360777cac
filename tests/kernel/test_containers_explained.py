"""What a kept container's start is explained by: what it ran with, and nobody is asked or kept waiting for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from waiting import wait_until

from kernelbox import Engine
from kernelbox.engine.containers import Containers
from kernelbox.errors import StartError

pytestmark = [pytest.mark.kernel, pytest.mark.root, pytest.mark.outside]


def test_by_the_ids_it_ran_with(engine: Engine, containers: Containers, busybox_image: str) -> None:
    """Also when they are somebody else's by now, who keeps them."""
    one = containers.run(busybox_image, ["true"])
    assert one.wait(10) == 0
    ranges, number = engine.opened().ranges, one.folder.start_notes().id_range
    taken = ranges.take(number)
    try:
        every = one.trace()
    finally:
        ranges.release(taken)
    assert [row.what for row in every if row.step == "MakeLink"] == [f"link {ranges.mark(number)} to {one.folder.path}"]
    assert f"remove {ranges.mark(number)}" in [row.what for row in every]
    ranges.release(ranges.take(number))


def test_it_asks_no_monitor(store: Path) -> None:
    with Engine(store) as box:
        one = box.containers.run("host", ["true"])
        assert one.wait(10) == 0
        before = one.trace()
    wait_until(lambda: not box.opened().monitor.alive, "the monitor has gone")
    with Engine(store) as box:
        again = box.containers.get(one.id)
        assert again.trace() == before
        assert not box.containers.monitor.alive
        again.remove()


def test_a_start_that_failed_is_not_explained_by_the_one_before(
    containers: Containers, busybox_image: str, tmp_path: Path
) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    one = containers.create(busybox_image, ["/program"], volumes=[f"{program}:/program"])
    assert one.start().wait(10) == 0
    assert one.trace("start")
    program.chmod(0o644)
    with pytest.raises(StartError):
        one.start()
    assert one.trace("start") == ()


def test_by_the_limits_it_was_started_with(containers: Containers, busybox_image: str) -> None:
    """And not those of an update, with which its times would be those of other steps."""
    one = containers.run(busybox_image, ["sleep", "infinity"])
    before = one.trace("start")
    one.update(memory="64m", cpus=1)
    assert one.reload().trace("start") == before
    one.stop(0)
    assert one.trace("start") == before
