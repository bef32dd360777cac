"""What may be asked of a monitor about containers that are kept, and what no engine asks."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.native.conftest import ConfinedMonitor
from unit.native.frames import Frame, Reply, launch, replies, send
from unit.native.test_fuzzed_requests import BOUNDED

from kernelbox.native import lib

pytestmark = [pytest.mark.kernel, pytest.mark.outside]

NONE = lib.KB_NO_SLOT
NO_LIFE: dict[str, Any] = {
    "folder": NONE, "output": NONE, "error": NONE, "input": NONE, "attach": [NONE, NONE], "process": NONE,
}  # fmt: skip
INVALID = (lib.KB_FAILED, errno.EINVAL)
TOKEN = bytes(range(32))


def kept(program: str = "/bin/true", flags: int = lib.KB_KEEP, **life: Any) -> Frame:
    """A launch of a container that is kept in the folder that is sent along first."""
    head: dict[str, Any] = {"flags": flags, "token": TOKEN, "life": {**NO_LIFE, "folder": 0, **life}}
    return launch(program, **head)


def ask(kind: int, token: bytes = TOKEN, **head: Any) -> Frame:
    return Frame(kind, head={"token": token, "life": NO_LIFE, **head})


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    """Of nobody, who is root in there."""
    place = tmp_path / "container"
    place.mkdir()
    place.chmod(0o777)
    descriptor = os.open(place, os.O_PATH | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


@contextmanager
def pipes(count: int) -> Iterator[list[tuple[int, int]]]:
    with ExitStack() as stack:
        made = [os.pipe() for _ in range(count)]
        for descriptor in (end for pair in made for end in pair):
            stack.callback(os.close, descriptor)
        yield made


def outcome(monitor: ConfinedMonitor, frame: Frame, *descriptors: int) -> tuple[int, int]:
    answers = monitor.ask(frame, descriptors)
    return answers[-1].kind, answers[-1].error


def end_of(monitor: ConfinedMonitor) -> Reply | None:
    """How the kept container ends; None where there is none any more."""
    answer = monitor.ask(ask(lib.KB_WAIT))[-1]
    return answer if answer.kind == lib.KB_EXITED else None


def test_a_kept_container_writes_its_end_down(confined: ConfinedMonitor, folder: int, tmp_path: Path) -> None:
    (started,) = confined.ask(kept(), (folder,))
    assert (started.kind, started.last) == (lib.KB_STARTED, True), "nobody waits on that connection"
    end_of(confined)
    assert Reply.decode((tmp_path / "container/exit").read_bytes()).kind == lib.KB_EXITED


def test_it_is_logged(confined: ConfinedMonitor, folder: int, tmp_path: Path) -> None:
    with pipes(1) as [(reader, writer)]:
        os.write(writer, b'"\xff\n' * 9)
        assert outcome(confined, kept(output=1, log_files=1), folder, reader)[0] == lib.KB_STARTED
        end_of(confined)
    lines = (tmp_path / "container/log.json").read_text().splitlines()
    assert len(lines) == 9
    assert all(line.startswith(r'{"log":"\"\udcff\n","stream":"stdout","time":"') for line in lines)


@pytest.mark.parametrize(
    "life",
    [
        {"folder": NONE}, {"folder": -2}, {"folder": lib.KB_SHARED_SLOTS}, {"folder": 32767}, {"output": -2},
        {"error": lib.KB_SLOTS}, {"input": lib.KB_SHARED_SLOTS}, {"process": -32768}, {"attach": [-2, NONE]},
        {"attach": [NONE, lib.KB_SHARED_SLOTS]}, {"restart": 3}, {"restart": 65535}, {"log_files": 1001},
        {"log_files": 65535},
    ],
    ids=str,
)  # fmt: skip
def test_fields_that_cannot_be(confined: ConfinedMonitor, folder: int, life: dict[str, Any]) -> None:
    assert outcome(confined, kept(**life), folder) == INVALID


@pytest.mark.parametrize("flags", [lib.KB_ADOPT, lib.KB_KEEP | lib.KB_LEASE, lib.KB_KEEP | lib.KB_ADOPT])
def test_flags_that_cannot_be_together(confined: ConfinedMonitor, folder: int, flags: int) -> None:
    assert outcome(confined, kept(flags=flags), folder) == INVALID


@pytest.mark.parametrize("kind", [lib.KB_SETUP, lib.KB_SIGNAL, lib.KB_WAIT, lib.KB_SYNC, lib.KB_ATTACH])
def test_requests_of_another_kind_keep_nothing(confined: ConfinedMonitor, folder: int, kind: int) -> None:
    assert outcome(confined, ask(kind, flags=lib.KB_KEEP), folder) == INVALID


def test_slots_without_a_descriptor(confined: ConfinedMonitor, folder: int) -> None:
    assert outcome(confined, kept(folder=5), folder)[0] == lib.KB_FAILED
    for name in ("output", "error", "input"):
        assert confined.ask(kept(**{name: 9}), (folder,))
        end_of(confined)


def test_a_folder_that_is_none(confined: ConfinedMonitor) -> None:
    with open("/dev/null", "rb") as null, pipes(1) as [(reader, _)]:
        for descriptor in (null.fileno(), reader):
            assert outcome(confined, kept(log_files=1), descriptor)[0] == lib.KB_FAILED
            assert outcome(confined, kept(), descriptor)[0] == lib.KB_STARTED, "without a log it fails at the end"
            end_of(confined)


@pytest.mark.parametrize(
    "kind", [lib.KB_WAIT, lib.KB_ATTACH, lib.KB_CLOSE_INPUT, lib.KB_RESTARTS, lib.KB_PAUSE, lib.KB_SIGNAL]
)
def test_of_a_container_that_is_not_there(confined: ConfinedMonitor, kind: int) -> None:
    assert outcome(confined, ask(kind, b"nobody")) == (lib.KB_FAILED, errno.ESRCH)


@pytest.mark.parametrize("kind", [lib.KB_WAIT, lib.KB_ATTACH, lib.KB_CLOSE_INPUT, lib.KB_RESTARTS, lib.KB_PAUSE])
def test_of_a_container_that_is_not_kept(confined: ConfinedMonitor, kind: int) -> None:
    with confined.connect() as connection:
        send(connection, launch("/bin/cat", flags=lib.KB_LEASE, token=TOKEN).encode())
        assert outcome(confined, ask(kind)) == (lib.KB_FAILED, errno.ESRCH)
        assert outcome(confined, ask(lib.KB_SIGNAL, signal=9))[0] in (lib.KB_OK, lib.KB_FAILED)
        replies(connection)


def test_adopting_what_is_no_process(confined: ConfinedMonitor, folder: int) -> None:
    adopted = kept(flags=lib.KB_KEEP | lib.KB_ADOPT, process=1).but(signal=1)
    for descriptor in (folder, os.pidfd_open(os.getpid())):
        confined.ask(adopted, (folder, descriptor))
        confined.ask(ask(lib.KB_SIGNAL, signal=0))
        if descriptor != folder:
            os.close(descriptor)


SLOTS = st.one_of(st.just(NONE), st.integers(0, 6), st.integers(-3, lib.KB_SLOTS + 2))
LIVES = st.fixed_dictionaries(
    dict.fromkeys(("folder", "output", "error", "input", "process"), SLOTS)
    | {"attach": st.lists(SLOTS, min_size=2, max_size=2)},
    optional={
        "restart": st.integers(0, 4), "log_files": st.sampled_from([0, 1, 2, 1000, 1001, 65535]),
        "restarts": st.integers(0, 65535), "restart_most": st.sampled_from([0, 1, 2**32 - 1]),
        "log_size": st.sampled_from([0, 1, 2**64 - 1]),
    },
)  # fmt: skip
KINDS = (lib.KB_LAUNCH, lib.KB_SIGNAL, lib.KB_ATTACH, lib.KB_CLOSE_INPUT, lib.KB_RESTARTS, lib.KB_PAUSE)


@BOUNDED
@given(
    life=LIVES,
    kind=st.sampled_from(KINDS),
    flags=st.integers(0, 127).filter(lambda flags: not flags & lib.KB_ADOPT),
    signal=st.sampled_from([0, 9, 64, 65, -1, 2**31 - 1]),
)
def test_lives_by_chance(
    confined: ConfinedMonitor, tmp_path: Path, life: dict[str, Any], kind: int, flags: int, signal: int
) -> None:
    """Whatever comes of it: the monitor serves the next, and the container ends when it is told to, for good."""
    place = tmp_path / "place"
    place.mkdir(exist_ok=True)
    place.chmod(0o777)
    descriptor = os.open(place, os.O_PATH | os.O_DIRECTORY)
    head: dict[str, Any] = {"flags": flags, "token": TOKEN, "life": life, "signal": signal}
    frame = launch("/bin/true", **head) if kind == lib.KB_LAUNCH else Frame(kind, head=head)
    try:
        with pipes(2) as [(one, two), (three, four)], confined.connect() as connection:
            send(connection, frame.encode(), (descriptor, one, two, three, four))
            connection.settimeout(0.2)
            with contextlib.suppress(TimeoutError):  # it is attached, or waits
                replies(connection)
        confined.ask(ask(lib.KB_SIGNAL, signal=9, flags=lib.KB_STOPPING))
        confined.check()
    finally:
        os.close(descriptor)
