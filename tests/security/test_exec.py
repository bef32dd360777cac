"""What exec adds to a container is that container's from its first moment on, and gives nothing of the monitor away."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from faults.monitors import monitors_of
from waiting import wait_until

from kernelbox import Engine
from kernelbox.engine.container import Container
from kernelbox.engine.executing import ExecResult
from kernelbox.errors import CommandNotExecutable, CommandNotFound, Conflict, InvalidOption, KernelBoxError, StartError

pytestmark = [pytest.mark.kernel, pytest.mark.root]

Keep = Callable[..., Container]
Begin = Callable[..., Future[ExecResult]]
RIGHTS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Uid", "Gid", "Groups")
SPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")


def rights(status: str) -> dict[str, str]:
    fields = (line.partition(":") for line in status.splitlines())
    return {name: value.strip() for name, _, value in fields if name in RIGHTS}


@pytest.mark.parametrize(
    "options",
    [
        {}, {"user": "alice"}, {"cap_drop": ["ALL"]}, {"cap_add": ["SYS_ADMIN"]}, {"privileged": True},
        {"security_opt": ["no-new-privileges"]}, {"security_opt": ["seccomp=unconfined"]}, {"userns": "host"},
        {"network": "host", "pid": "host"},
    ],
    ids=str,
)  # fmt: skip
def test_the_same_rights_and_namespaces(keep: Keep, options: dict[str, Any]) -> None:
    container = keep(["sh", "-c", "cat /proc/self/status; exec sleep infinity"], **options)
    first = wait_until(lambda: rights(container.logs()) if "nonvoluntary" in container.logs() else None)
    assert rights(container.exec(["cat", "/proc/self/status"]).stdout) == first
    links = container.exec(["sh", "-c", "; ".join(f"readlink /proc/self/ns/{space}" for space in SPACES)])
    process = container.record.pid
    assert links.stdout.split() == [os.readlink(f"/proc/{process}/ns/{space}") for space in SPACES]


def test_another_user_has_no_capabilities(keep: Keep) -> None:
    container = keep(cap_add=["SYS_ADMIN"])
    found = rights(container.exec(["cat", "/proc/self/status"], user="alice").stdout)
    assert found["CapPrm"] == found["CapEff"] == found["CapInh"] == found["CapAmb"] == "0" * 16
    assert found["Uid"].split() == found["Gid"].split() == ["1000"] * 4


def test_what_is_hidden_stays_hidden(keep: Keep) -> None:
    script = "cat /proc/kcore /proc/keys | wc -c; ls /sys/firmware | wc -l; : > /proc/sys/vm/swappiness"
    run = keep().exec(["sh", "-c", script])
    assert run.stdout.split() == ["0", "0"]
    assert "Read-only file system" in run.stderr


@contextmanager
def standing_still(container: Container) -> Iterator[Callable[[], list[int]]]:
    """Nothing in it moves, and what is added to it stops at its first moment. Gives what finds the added ones."""
    (group,) = [group.path for group in container.folder.start_notes().groups if group.version == "v2"]
    before = (group / "cgroup.procs").read_text().split()
    (group / "cgroup.freeze").write_text("1")
    try:
        yield lambda: [int(pid) for pid in (group / "cgroup.procs").read_text().split() if pid not in before]
    finally:
        (group / "cgroup.freeze").write_text("0")


@pytest.fixture
def begin() -> Iterator[Begin]:
    """An exec that is under way."""
    with ThreadPoolExecutor() as pool:
        yield lambda container, *command: pool.submit(container.exec, list(command), timeout=30)


def test_who_is_inside_sees_no_network_and_mounts_of_the_machine(keep: Keep, begin: Begin) -> None:
    """/proc/PID/net and /proc/PID/mountinfo may be read by all who see the process at all."""
    container = keep()
    with standing_still(container) as added:
        execution = begin(container, "true")
        (pid,) = wait_until(added)
        for space in ("pid", "net", "mnt"):
            assert os.readlink(f"/proc/{pid}/ns/{space}") == os.readlink(f"/proc/{container.record.pid}/ns/{space}")
    assert execution.result(60).exit_code == 0


def test_its_memory_and_files_are_the_monitors_until_its_program_runs(keep: Keep, begin: Begin) -> None:
    """So they belong to the machine's root (proc(5): a process that is not dumpable), whoever it is to become."""
    container = keep()
    with standing_still(container) as added:
        execution = begin(container, "true")
        (pid,) = wait_until(added)
        assert {os.lstat(f"/proc/{pid}/{name}").st_uid for name in ("mem", "fd", "environ", "exe", "root")} == {0}
    assert execution.result(60).exit_code == 0


LOOK = """
import ctypes, os
libc = ctypes.CDLL(None)
print("ready", flush=True)
while not os.path.exists("/stop"):
    pid = int(open("/proc/loadavg").read().split()[4]) + 1
    for _ in range(200):
        try:
            if open(f"/proc/{pid}/comm").read() != "kb-monitor\\n":
                break
            print("met", flush=True)
        except OSError:
            continue
        for name in ("mem", "environ", "maps", "fd/7", "auxv"):
            try:
                content = os.open(f"/proc/{pid}/{name}", os.O_RDWR if name == "mem" else os.O_RDONLY)
                if open(f"/proc/{pid}/comm").read() == "kb-monitor\\n":
                    print("won", name, flush=True)
            except OSError:
                pass
        for name in ("exe", "root", "cwd", "ns/mnt"):
            try:
                target = os.readlink(f"/proc/{pid}/{name}")
                if open(f"/proc/{pid}/comm").read() == "kb-monitor\\n":
                    print("won", name, target, flush=True)
            except OSError:
                pass
        if libc.ptrace(16, pid, 0, 0) == 0:
            print("traced", open(f"/proc/{pid}/comm").read(), flush=True)
            libc.ptrace(17, pid, 0, 0)
        break
"""


def test_root_inside_gets_hold_of_nothing_of_it(keep: Keep) -> None:
    container = keep(["python3", "-c", LOOK], "host", cap_add=["SYS_PTRACE"])
    wait_until(lambda: "ready" in container.logs())
    for _ in range(200):
        for _ in range(20):
            container.exec(["true"], timeout=30)
        if container.logs().count("met") >= 3:
            break
    container.exec(["touch", "/stop"])
    said = container.logs()
    assert "met" in said, "it never saw one in time"
    assert "won" not in said
    assert "traced kb-monitor" not in said


@pytest.mark.parametrize("how", ["frozen", "stopped"])
def test_one_that_is_held_up_holds_up_nobody(
    engine: Engine, keep: Keep, begin: Begin, busybox_image: str, how: str
) -> None:
    """The monitor waits for it to become its program; a process inside may send it SIGSTOP before."""
    container, other = keep(), keep()
    (monitor,) = monitors_of(engine.paths.root)
    with standing_still(container) as added:
        execution = begin(container, "true")
        (pid,) = wait_until(added)
        if how == "frozen":
            assert engine.run(busybox_image, ["echo", "served"]).stdout == "served\n"
        else:
            os.kill(pid, signal.SIGSTOP)
    assert engine.run(busybox_image, ["echo", "served"]).stdout == "served\n"
    with pytest.raises(StartError, match="it did not come so far"):
        execution.result(60)
    assert other.exec(["echo", "served"]).stdout == container.exec(["echo", "served"]).stdout == "served\n"
    assert monitors_of(engine.paths.root) == [monitor]


NUMBERS = range(3, 64)
TAILS = ("", "/self/exe", "/bin/busybox", "/usr/bin/env")


def test_its_program_is_looked_up_when_the_monitors_files_are_closed(keep: Keep) -> None:
    """Among them are the machine's /proc and the roots of other containers."""
    keep()
    container = keep()
    pairs = [
        (f"/x{number}{tail.replace('/', '_')}", f"/proc/self/fd/{number}{tail}") for number in NUMBERS for tail in TAILS
    ]
    container.exec(["sh", "-c", "; ".join(f"ln -s {target} {link}" for link, target in pairs)])
    for link, _ in pairs:
        with pytest.raises((CommandNotFound, CommandNotExecutable)):
            container.exec([link])


def test_the_program_of_an_image_is_looked_up_when_they_are_closed(
    engine: Engine, keep: Keep, busybox_image: str
) -> None:
    keep()
    for number in NUMBERS:
        with pytest.raises((CommandNotFound, CommandNotExecutable)):
            engine.run(busybox_image, [f"/proc/self/fd/{number}/self/exe"])


def test_the_monitors_program_as_its_own(keep: Keep) -> None:
    run = keep().exec(["/proc/self/exe"])
    assert run.exit_code == 2
    assert "started by kernelbox, not by hand" in run.stderr


def test_no_descriptors_come_in(keep: Keep) -> None:
    assert keep().exec(["ls", "/proc/self/fd"]).stdout.split() == ["0", "1", "2", "3"]  # 3 is the folder that ls reads


@pytest.mark.parametrize("target", ["/proc/self/fd/7", "/proc/1/root", "/proc/self/cwd", "/proc/1/fd/1"])
def test_a_working_directory_behind_a_link_of_procs(keep: Keep, target: str) -> None:
    container = keep()
    container.exec(["ln", "-s", target, "/link"])
    for path in (target, "/link"):
        with pytest.raises(StartError, match="change to the folder"):
            container.exec(["pwd"], workdir=path)


def test_a_working_directory_behind_a_link_of_its_own(keep: Keep, victim: Path) -> None:
    container = keep()
    container.exec(["sh", "-c", f"ln -s {victim} /link; ln -s /../../../../tmp /up"])
    with pytest.raises(StartError):
        container.exec(["pwd"], workdir="/link")
    assert container.exec(["pwd", "-P"], workdir="/up").stdout == "/tmp\n"
    container.exec(["mkdir", "-p", str(victim)])
    assert container.exec(["ls", "-a"], workdir="/link").stdout.split() == [".", ".."]


@pytest.mark.parametrize("name", ["passwd", "group"])
@pytest.mark.parametrize(
    "script",
    ["mkfifo X", "ln -s /dev/zero X", "ln -s /dev/pts/ptmx X", "mkdir X", "ln -s /proc/1/root/etc/X.real X",
     "ln -s X X", "truncate -s 1G X", "ln -s /proc/self/fd/0 X"],
)  # fmt: skip
def test_accounts_that_are_none(keep: Keep, name: str, script: str) -> None:
    """They are read by the engine, for whom no file of a container may be a trap."""
    container = keep()
    script = script.replace("X.real", f"{name}.real").replace("X", name)
    container.exec(["sh", "-c", f"cd /etc && mv {name} {name}.real; {script}"], timeout=30)
    with pytest.raises(InvalidOption):
        container.exec(["id"], user="alice:alice")


@pytest.mark.parametrize(
    "script",
    [
        "mkfifo X",
        "touch X",
        "mkdir X",
        "ln -s /dev/ptmx.real X",
        "ln -s /proc/self/fd/0 X",
        "ln -s /dev/null X",
        "true",
    ],
)
def test_a_terminal_where_none_are_made(engine: Engine, keep: Keep, busybox_image: str, script: str) -> None:
    """A container with rights over its mounts may put anything in the place of /dev/pts."""
    container = keep(cap_add=["SYS_ADMIN"])
    container.exec(["sh", "-c", f"mount -t tmpfs x /dev/pts && cd /dev/pts && {script.replace('X', 'ptmx')}"])
    with pytest.raises(KernelBoxError, match="open a terminal"):
        container.exec(["true"], tty=True)
    assert engine.run(busybox_image, ["echo", "served"]).stdout == "served\n"


def test_a_terminal_is_the_containers_own(keep: Keep) -> None:
    container = keep()
    said: list[bytes] = []
    container.exec(["sh", "-c", "tty; ls /dev/pts"], tty=True, on_output=lambda _, chunk: said.append(chunk))
    assert b"".join(said).split() == [b"/dev/pts/0", b"0", b"ptmx"]


def test_it_ends_with_the_container(keep: Keep, begin: Begin) -> None:
    container = keep()
    execution = begin(container, "sleep", "infinity")
    wait_until(lambda: len(container.top()[1]) == 2)
    container.kill()
    assert execution.result(60).signal == signal.SIGKILL
    with pytest.raises(Conflict):
        container.exec(["true"])
