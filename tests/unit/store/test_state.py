"""The state file of a store: several processes at once, changes of what was seen, references, events."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelbox.errors import ContainerNotFound, InvalidOption, KernelBoxError, NameInUse, StoreError
from kernelbox.store.container_record import ContainerRecord
from kernelbox.store.state import VERSION, StateFile


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateFile]:
    file = StateFile(tmp_path / "state.db")
    yield file
    file.close()


def record(identity: str = "a", name: str = "one", **fields: object) -> ContainerRecord:
    return ContainerRecord(id=identity.ljust(64, "0"), name=name, image="host", created_at=1.5).changed(**fields)


WHOLE = record(
    command=("sh", "-c", 'echo "ä\n"'),
    options={"memory": "64m", "env": ["A=1"], "ulimits": {"nofile": 9}, "cpus": 1.5, "tty": True, "auto_remove": None},
    labels={"a": "", "b": "ü"},
    exit_code=None,
    oom_killed=True,
    stopped_by_user=True,
    usage={"cpu_usage_seconds": 0.1, "net_rx_bytes": None},
    id_range=7,
    process="1 2 3",
)


def test_what_is_put_in_comes_out(state: StateFile) -> None:
    state.add(WHOLE)
    assert state.get("one") == WHOLE
    assert state.all() == [WHOLE]


def test_nothing_is_made_by_asking(state: StateFile, tmp_path: Path) -> None:
    assert state.all() == []
    assert state.events() == []
    with pytest.raises(ContainerNotFound):
        state.get("one")
    assert list(tmp_path.iterdir()) == []


def test_references(state: StateFile) -> None:
    for identity, name in (("abc1", "one"), ("abc2", "two"), ("b", "abc1")):
        state.add(record(identity, name))
    assert state.get("abc1").name == "abc1", "a name goes before the beginning of an id"
    assert state.get("abc1".ljust(64, "0")).name == "one", "a whole id goes before a name"
    assert state.get("b").name == "abc1"
    assert state.get("abc2").name == "two"
    with pytest.raises(InvalidOption, match="2 containers have ids that begin with ab"):
        state.get("ab")
    for wrong in ("on", "ONE", "abc3", "%", "_", "a*", "b'", "b" * 70):
        with pytest.raises(ContainerNotFound, match="no such container"):
            state.get(wrong)
    with pytest.raises(InvalidOption):
        state.get("")


def test_names_are_one_container_s(state: StateFile) -> None:
    first, second = record("a", "one"), record("b", "two")
    state.add(first)
    state.add(second)
    with pytest.raises(NameInUse, match="in use by the container a00000000000"):
        state.add(record("c", "one"))
    with pytest.raises(NameInUse):
        state.change(second.id, "rename", name="one")
    assert state.all() == [second, first]
    state.remove(first.id)
    assert state.change(second.id, name="one").name == "one"


def test_changes(state: StateFile) -> None:
    state.add(WHOLE)
    changed = state.change(WHOLE.id, "start", status="running", pid=5, exit_code=0, oom_killed=False, usage={})
    assert changed == WHOLE.changed(status="running", pid=5, exit_code=0, oom_killed=False, usage={})
    assert state.get(WHOLE.id) == changed
    with pytest.raises(ContainerNotFound):
        state.change("f" * 64, status="running")


def test_a_change_of_what_is_not_so_any_more(state: StateFile) -> None:
    """Whoever sees the same thing at once writes it once."""
    seen = record()
    state.add(seen)
    state.change(seen.id, "start", status="running", process="1 2 3")
    assert state.change(seen.id, "die", seen=seen, status="exited").status == "running"
    assert [event.action for event in state.events()] == ["create", "start"]
    now = state.get(seen.id)
    assert state.change(seen.id, "die", seen=now.changed(name="other"), status="exited").status == "exited"


def test_removed(state: StateFile) -> None:
    state.add(WHOLE)
    for _ in range(2):
        state.remove(WHOLE.id)
    assert state.all() == []
    assert [event.action for event in state.events()] == ["create", "destroy"]


def test_events(state: StateFile) -> None:
    state.add(WHOLE)
    state.note(WHOLE, "kill", {"signal": "9"})
    state.change(WHOLE.id, pid=1)
    state.change(WHOLE.id, "die", attributes={"exitCode": "1"})
    create, kill, die = state.events()
    assert [each.action for each in (create, kill, die)] == ["create", "kill", "die"]
    assert kill.attributes == {"name": "one", "image": "host", "a": "", "b": "ü", "signal": "9"}
    assert (create.kind, create.id) == ("container", WHOLE.id)
    assert create.number < kill.number < die.number
    assert create.time <= kill.time <= die.time
    assert state.events(after=create.number) == [kill, die]
    assert state.events(since=kill.time, until=kill.time) == [e for e in (create, kill, die) if e.time == kill.time]


def test_old_events_go(state: StateFile) -> None:
    state.add(WHOLE)
    for _ in range(11_100):
        state.note(WHOLE, "kill")
    numbers = [event.number for event in state.events()]
    assert numbers == list(range(numbers[0], 11_102))
    assert 10_000 <= len(numbers) <= 11_100


def test_it_opens_again_after_it_was_closed(state: StateFile) -> None:
    state.add(WHOLE)
    state.close()
    state.close()
    assert state.get("one") == WHOLE


MANY = """
import sys
import threading
from pathlib import Path
from kernelbox.errors import NameInUse
from kernelbox.store.container_record import ContainerRecord
from kernelbox.store.state import StateFile
path, me = Path(sys.argv[1]), sys.argv[2]
state = StateFile(path)
for number in range(30):
    name = f"name{number}"
    try:
        state.add(ContainerRecord(id=f"{me}{number:063x}", name=name, image="i", created_at=1))
        print(name)
    except NameInUse:
        pass
    while True:
        seen = state.get("counter")
        mine = f"{int(seen.process.split()[0]) + 1} {me}"
        if state.change(seen.id, seen=seen, process=mine).process == mine:
            break
"""


def test_many_processes(state: StateFile, tmp_path: Path) -> None:
    """Each name goes to one of them; a count that each raises where it is as it was seen loses nothing."""
    state.add(record("f", "counter", process="0"))
    command = [sys.executable, "-c", MANY, str(tmp_path / "state.db")]
    running = [subprocess.Popen([*command, str(each)], stdout=subprocess.PIPE, text=True) for each in range(4)]
    outputs = [each.communicate(timeout=60)[0].split() for each in running]
    assert [each.returncode for each in running] == [0] * 4
    assert sorted(name for output in outputs for name in output) == sorted(f"name{n}" for n in range(30))
    assert len(state.all()) == 31
    assert state.get("counter").process.split()[0] == "120"


@pytest.mark.parametrize("content", [b"noise" * 1000, b"SQLite format 3\0" + bytes(4000)])
def test_a_damaged_file_is_left_as_it_is(state: StateFile, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state.db").write_bytes(content)
    for call in (state.all, lambda: state.add(WHOLE), lambda: state.get("one"), state.events):
        with pytest.raises(StoreError, match="the state file"):
            call()
    assert (tmp_path / "state.db").read_bytes() == content


def test_a_file_of_a_newer_version_is_left_as_it_is(state: StateFile, tmp_path: Path) -> None:
    state.add(WHOLE)
    state.close()
    connection = sqlite3.connect(tmp_path / "state.db")
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    before = (tmp_path / "state.db").read_bytes()
    with pytest.raises(StoreError, match=f"newer kernelbox .version {VERSION + 1}, this one knows {VERSION}") as caught:
        state.all()
    assert "KERNELBOX_ROOT" in str(caught.value.hint)
    assert (tmp_path / "state.db").read_bytes() == before


def test_a_change_that_fails_changes_nothing(state: StateFile) -> None:
    state.add(WHOLE)
    with pytest.raises(StoreError):
        state.change(WHOLE.id, "start", pid=None)
    with pytest.raises(TypeError):
        state.change(WHOLE.id, "start", nonsense=1)
    assert state.get("one") == WHOLE
    assert [event.action for event in state.events()] == ["create"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read(state: StateFile, tmp_path: Path) -> None:
    state.add(WHOLE)
    state.close()
    (tmp_path / "state.db").chmod(0)
    with pytest.raises(StoreError, match="could not use the state file"):
        state.all()


def test_many_are_the_first_at_once(tmp_path: Path) -> None:
    for number in range(20):
        start, errors = threading.Barrier(6), list[KernelBoxError]()

        def first(path: Path, start: threading.Barrier, errors: list[KernelBoxError]) -> None:
            state = StateFile(path)
            start.wait()
            try:
                with state.transaction() as cursor:
                    cursor.execute("SELECT 1")
            except KernelBoxError as error:
                errors.append(error)
            finally:
                state.close()

        threads = [threading.Thread(target=first, args=(tmp_path / str(number), start, errors)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors
