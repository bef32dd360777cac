"""How a kept container that somebody waits for is ended: everything in it goes, whatever holds what it writes to."""

from __future__ import annotations

import pytest
from waiting import wait_until

from kernelbox import RunResult
from kernelbox.engine import kept_run
from kernelbox.engine.container import Container
from kernelbox.engine.containers import Containers
from kernelbox.errors import RunInterrupted
from kernelbox.linux.cgroups.live import processes

pytestmark = [pytest.mark.kernel, pytest.mark.root, pytest.mark.timeout(60), pytest.mark.usefixtures("orphans")]

OTHERS = {"private": "private", "host": "host", "another's": "container:sleeper"}
HELD = "setsid sleep infinity & sleep infinity & echo said; echo err >&2; wait"


@pytest.fixture(params=OTHERS)
def container(request: pytest.FixtureRequest, containers: Containers, sleeper: Container) -> Container:
    """One that does not end by itself, in a pid namespace of its own or not."""
    image = sleeper.record.image
    return containers.create(image, ["sh", "-c", HELD], name="held", pid=OTHERS[request.param])


def assert_ended(container: Container) -> None:
    assert container.reload().status == "exited"
    assert container.exit_code == 137
    groups = container.folder.start_notes().groups
    wait_until(lambda: not processes(groups), "those that would outlive its first process are ended too")


def test_a_timeout(container: Container) -> None:
    for seconds in (0.1, 1, 10):
        result = kept_run.wait_attached(container, timeout=seconds)
        assert result.timed_out
        assert_ended(container)
        if result.stdout and result.stderr:
            break
    assert (result.exit_code, result.stdout, result.stderr) == (137, "said\n", "err\n")


def test_an_interrupt(container: Container) -> None:
    def interrupt(stream: int, _: bytes) -> None:
        if stream == 2:
            raise KeyboardInterrupt

    with pytest.raises(RunInterrupted, match="the container held was killed, and is kept") as caught:
        kept_run.wait_attached(container, on_output=interrupt)
    assert isinstance(caught.value.result, RunResult)
    assert (caught.value.result.stdout, caught.value.result.stderr) == ("said\n", "err\n")
    assert_ended(container)


def test_on_output_that_fails(container: Container) -> None:
    def fail(_: int, __: bytes) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        kept_run.wait_attached(container, on_output=fail)
    assert_ended(container)


def test_a_timeout_of_one_that_is_started_again(containers: Containers, sleeper: Container) -> None:
    container = containers.create(sleeper.record.image, ["sh", "-c", "yes"], restart="always")
    assert kept_run.wait_attached(container, timeout=0.2).timed_out
    assert_ended(container)
