"""The monitor as a process: what it is, what it costs, and that nothing in a container can get at it."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bundles import Bundle
from waiting import wait_until

import kernelbox as kb
from kernelbox import Engine

pytestmark = pytest.mark.kernel

F_GET_SEALS = 1034
GUARD = STACK = 65_536
SEALED = 0x1 | 0x2 | 0x4 | 0x8  # SEAL, SHRINK, GROW, WRITE (fcntl(2))

# Tries everything on every process that is, or still shares its memory with, a monitor. Prints what worked, then how
# many processes it tried, other than the monitor itself.
ATTACK = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
main, tried, won = int(sys.argv[1]), set(), set()
def attack(pid):
    for name in ("mem", "exe", "environ", "maps", "cwd/x", "root/x", "fd/3", "auxv", "map_files/x"):
        for mode in (os.O_RDONLY, os.O_RDWR):
            try:  # of a process that is just going some files can be opened, and there is nothing in them
                with open(os.open(f"/proc/{pid}/{name}", mode), "rb", buffering=0) as file:
                    if file.read(1):
                        won.add(name)
            except OSError:
                continue
    if libc.ptrace(16, pid, 0, 0) == 0:
        won.add("ptrace")
        libc.ptrace(17, pid, 0, 0)
print("ready", flush=True)
while not os.path.exists("/stop/now"):
    for pid in os.listdir("/proc"):
        try:
            if pid.isdigit() and open(f"/proc/{pid}/comm").read() == "kb-monitor\\n":
                attack(int(pid))
                tried.add(int(pid))
                if int(pid) != main and len(tried - {main}) == 1:
                    print("met", flush=True)
        except OSError:
            pass
print(*sorted(won))
print(len(tried - {main}), main in tried)
"""


@pytest.fixture
def box(store: Path) -> Iterator[Engine]:
    with kb.Engine(store) as engine:
        yield engine


def monitor_of(box: Engine) -> int:
    """The process that holds the store's lock."""
    for process in Path("/proc").iterdir():
        try:
            if (process / "comm").read_text() == "kb-monitor\n" and os.readlink(process / "fd/3") == str(
                box.paths.lock
            ):
                return int(process.name)
        except OSError:  # no process, or one that has just ended
            continue
    return 0


def private_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


def test_it_runs_from_a_sealed_file_in_memory(box: Engine, busybox_image: str) -> None:
    box.run(busybox_image, ["true"])
    program = f"/proc/{monitor_of(box)}/exe"
    assert os.readlink(program).startswith("/memfd:kb-monitor")
    with open(program, "rb") as file:
        assert fcntl.fcntl(file, F_GET_SEALS) & SEALED == SEALED
    with pytest.raises(OSError, match=r"busy|not permitted") as refused:
        os.open(program, os.O_RDWR)
    assert refused.value.errno in (errno.ETXTBSY, errno.EPERM)


def test_nothing_can_be_written_below_the_stack_of_a_launch(box: Engine, bundle: Bundle, tmp_path: Path) -> None:
    """It lies in the monitor's own memory. While a hook runs, the process on its way to exec waits on it: its stack
    pointer is where the guard ends and the stack begins, which are as large as launch.c has them."""
    pid = """pid=$(sed -n 's/.*"pid": *\\([0-9]*\\).*/\\1/p')"""
    script = f"{pid}; cat /proc/$pid/syscall > {tmp_path}/syscall; cat /proc/$pid/maps > {tmp_path}/maps"

    def change(config: dict[str, Any]) -> None:
        config["hooks"] = {"prestart": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}

    assert box.run(bundle(change), ["true"]).exit_code == 0
    *_, stack_pointer, _ = (tmp_path / "syscall").read_text().split()
    lines = [line.split()[:2] for line in (tmp_path / "maps").read_text().splitlines()]
    regions = [(*(int(end, 16) for end in ends.split("-")), rights) for ends, rights in lines]
    ((bottom, top),) = [(start, end) for start, end, rights in regions if rights == "---p"]
    assert top - bottom == GUARD
    assert top <= int(stack_pointer, 16) < top + STACK
    ((_, end),) = [(start, end) for start, end, rights in regions if (start, rights) == (top, "rw-p")]
    assert end >= top + STACK


def test_it_comes_with_the_first_run_and_goes_with_the_last_engine(store: Path, busybox_image: str) -> None:
    with kb.Engine(store) as first:
        assert monitor_of(first) == 0
        first.run(busybox_image, ["true"])
        pid = monitor_of(first)
        with kb.Engine(store) as second:
            second.run(busybox_image, ["true"])
            assert monitor_of(second) == pid
        assert first.run(busybox_image, ["echo", "still here"]).stdout == "still here\n"
        assert monitor_of(first) == pid
    wait_until(lambda: monitor_of(first) == 0)


def test_it_is_small(box: Engine, busybox_image: str) -> None:
    """And what an engine keeps for a container that runs is small beside what Python is."""
    box.run(busybox_image, ["true"])
    pid, heard = monitor_of(box), list[bytes]()
    empty, own = private_bytes(pid), private_bytes(os.getpid())
    assert empty < 1 << 20
    script = ["sh", "-c", "echo started; exec sleep infinity"]
    jobs = [box.start(busybox_image, script, on_output=lambda _, chunk: heard.append(chunk)) for _ in range(50)]
    try:
        wait_until(lambda: len(heard) == 50)
        used, grown = private_bytes(pid) - empty, private_bytes(os.getpid()) - own
    finally:
        for job in jobs:
            job.kill()
            job.wait()
    assert used < 50 * 10_000
    assert grown < 50 * 200_000


def test_it_may_open_more_files_than_the_one_it_was_started_by(box: Engine, busybox_image: str) -> None:
    """It holds some for every container; the containers have the limit of the first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
    try:
        assert box.run(busybox_image, ["sh", "-c", "ulimit -n"]).stdout == "128\n"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    jobs = [box.start(busybox_image, ["sleep", "infinity"]) for _ in range(60)]
    try:
        assert box.run(busybox_image, ["sh", "-c", "ulimit -n"]).stdout == "128\n"
    finally:
        for job in jobs:
            job.kill()
    assert {job.wait().signal for job in jobs} == {signal.SIGKILL}


@pytest.mark.outside  # emulated, the attacker is too slow to meet a process on its way to exec
def test_nothing_inside_can_get_at_it(box: Engine, busybox_image: str, tmp_path: Path) -> None:
    """Also while a child of it, on its way to exec, shares its memory: such a child has its name, and is seen."""
    box.run(busybox_image, ["true"])
    heard: list[bytes] = []
    main = str(monitor_of(box))
    job = box.start(
        "host",
        ["python3", "-c", ATTACK, main],
        pid="host",
        cap_add=["SYS_PTRACE"],
        volumes=[f"{tmp_path}:/stop"],
        on_output=lambda _, chunk: heard.append(chunk),
    )
    wait_until(lambda: b"ready" in b"".join(heard) or job.done)
    for count in range(5000):
        box.run(busybox_image, ["true"])
        if count >= 150 and b"met" in b"".join(heard):
            break
    (tmp_path / "now").touch()
    run = job.wait(60)
    won, tried = run.stdout.splitlines()[-2:]
    assert won == "", run.stdout
    children, saw_main = tried.split()
    assert int(children) > 0
    assert saw_main == "True"
