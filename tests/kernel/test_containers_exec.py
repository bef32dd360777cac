"""One more process in a container that is kept: what it is given, what comes back, and where it cannot be."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from waiting import wait_until

from kernelbox.engine.container import Container
from kernelbox.engine.containers import Containers
from kernelbox.engine.executing import ExecOptions
from kernelbox.errors import CommandNotExecutable, CommandNotFound, Conflict, InvalidOption, StartError
from kernelbox.linux.cgroups.live import processes

pytestmark = [pytest.mark.kernel, pytest.mark.root]


def test_what_comes_back(sleeper: Container) -> None:
    done = sleeper.exec(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (done.exit_code, done.signal, done.stdout, done.stderr) == (3, None, "out\n", "err\n")
    assert tuple(done) == (3, b"out\nerr\n"), "as docker-py gives it"
    assert sleeper.exec("echo 'one word'").stdout == "one word\n"
    assert sleeper.logs() == "", "it is not the container's output"


def test_it_is_in_the_container(sleeper: Container) -> None:
    sleeper.exec(["sh", "-c", "echo content > /file; mkdir /folder"])
    assert sleeper.exec(["cat", "/file"]).stdout == "content\n"
    assert sleeper.exec(["hostname"]).stdout == sleeper.short_id + "\n"
    processes = sleeper.exec(["ps", "-o", "pid,args"]).stdout
    assert "1 sleep infinity" in processes
    for kind in ("pid", "mnt", "net", "ipc", "uts", "user", "cgroup"):
        inside = {sleeper.exec(["readlink", f"/proc/{who}/ns/{kind}"]).stdout.strip() for who in ("1", "self")}
        assert inside == {os.readlink(f"/proc/{sleeper.record.pid}/ns/{kind}")}


def test_rights_are_the_container_s(sleeper: Container) -> None:
    for line in ("CapEff", "CapBnd", "CapPrm", "NoNewPrivs", "Seccomp"):
        one, own = (sleeper.exec(["grep", f"{line}:", f"/proc/{who}/status"]).stdout for who in ("1", "self"))
        assert one == own


def test_its_limits_are_the_container_s(containers: Containers, busybox_image: str) -> None:
    container = containers.run(
        busybox_image, ["sleep", "infinity"], memory="32m", memory_swap="32m", pids_limit=20, ulimits=["nofile=99:99"]
    )
    assert container.exec(["sh", "-c", "ulimit -n"]).stdout == "99\n"
    assert container.exec(["tail", "/dev/zero"]).exit_code == 137
    assert container.reload().status == "running", "the kernel kills the largest process, which is not the first one"
    full = container.exec(["sh", "-c", "i=0; while [ $i -lt 40 ]; do sleep 99 >/dev/null 2>&1 & i=$((i+1)); done"])
    assert full.exit_code != 0
    assert "can't fork" in full.stderr


def test_user(sleeper: Container) -> None:
    show = ["sh", "-c", "id -u; id -g; echo $HOME"]
    assert sleeper.exec(show).stdout == "0\n0\n/root\n"
    assert sleeper.exec(show, user="65534").stdout.startswith("65534\n")
    assert sleeper.exec(show, user="7:8").stdout.splitlines()[:2] == ["7", "8"]
    sleeper.exec(["sh", "-c", "echo 'anna:x:99:98::/home/anna:/bin/sh' >> /etc/passwd"])
    assert sleeper.exec(show, user="anna").stdout == "99\n98\n/home/anna\n", "by the files that it has now"
    with pytest.raises(InvalidOption):
        sleeper.exec(show, user="nobody-of-that-name")
    assert "CapEff:\t0000000000000000" in sleeper.exec(["cat", "/proc/self/status"], user="anna").stdout


def test_environment_and_folder(containers: Containers, busybox_image: str) -> None:
    container = containers.run(busybox_image, ["sleep", "infinity"], env=["A=1", "B=2"], workdir="/tmp")
    show = ["sh", "-c", "echo $A $B $C; pwd"]
    assert container.exec(show).stdout == "1 2\n/tmp\n"
    assert container.exec(show, env={"B": "3", "C": "4"}, workdir="/usr").stdout == "1 3 4\n/usr\n"
    assert container.exec(show).stdout == "1 2\n/tmp\n", "it is forgotten again"
    with pytest.raises(StartError, match="no such file or directory"):
        container.exec(show, workdir="/nowhere")
    with pytest.raises(InvalidOption):
        container.exec(show, workdir="relative")


def test_privileged(sleeper: Container) -> None:
    status = ["grep", "CapEff", "/proc/self/status"]
    plain, raised = sleeper.exec(status).stdout, sleeper.exec(status, privileged=True).stdout
    assert int(plain.split()[1], 16) < int(raised.split()[1], 16)
    assert sleeper.exec(status).stdout == plain


def test_terminal(sleeper: Container) -> None:
    done = sleeper.exec(["sh", "-c", "tty; stty size; echo $TERM; exit 3"], tty=True, size=(11, 77))
    assert done.stdout.split() == ["/dev/pts/0", "11", "77", "xterm"]
    assert done.exit_code == 3


def test_a_terminal_that_somebody_types_on(sleeper: Container) -> None:
    execution = sleeper.begin_exec(
        ["sh", "-c", "read line; echo got $line; sleep infinity"], ExecOptions(tty=True), adopt=False
    )
    execution.launch.wait_started()
    terminal = execution.launch.terminal
    try:
        os.write(terminal, b"word\n")
        seen = b""
        while b"got word" not in seen:
            seen += os.read(terminal, 100)
        os.write(terminal, b"\x03")
        assert execution.wait(10).exit_code == 130
    finally:
        os.close(terminal)


def test_input(sleeper: Container) -> None:
    assert sleeper.exec(["cat"], input="text").stdout == "text"
    many = os.urandom(1 << 20)
    assert sleeper.exec(["cat"], input=many).stdout_bytes == many
    with open("/etc/passwd", "rb") as file:
        assert sleeper.exec(["wc", "-c"], input=file).stdout.split()[0] == str(os.fstat(file.fileno()).st_size)
    assert sleeper.exec(["cat"]).stdout == "", "without any it is empty"


def test_output_as_it_comes(sleeper: Container) -> None:
    seen: list[tuple[int, bytes]] = []
    sleeper.exec(["sh", "-c", "echo one; sleep 0.2; echo two >&2"], on_output=lambda *each: seen.append(each))
    assert seen == [(1, b"one\n"), (2, b"two\n")]


def test_timeout(sleeper: Container) -> None:
    done = sleeper.exec(["sh", "-c", "echo begun; sleep infinity"], timeout=0.3)
    assert (done.exit_code, done.stdout) == (137, "begun\n")
    wait_until(lambda: sleeper.exec(["ps"]).stdout.count("sleep") == 1, "only the container's own is left")


@pytest.mark.parametrize(
    ("command", "kind", "code"),
    [("nosuch", CommandNotFound, 127), ("/etc/passwd", CommandNotExecutable, 126), ("/tmp", CommandNotExecutable, 126)],
)
def test_what_cannot_be_run(sleeper: Container, command: str, kind: type[StartError], code: int) -> None:
    with pytest.raises(kind) as caught:
        sleeper.exec([command])
    assert caught.value.exit_code == code
    assert sleeper.reload().status == "running"
    assert sleeper.exec(["echo", "well"]).stdout == "well\n"


def test_signals(sleeper: Container) -> None:
    done = sleeper.exec(["sh", "-c", "kill -TERM $$"])
    assert (done.exit_code, done.signal) == (143, 15)


def test_nothing_to_run(sleeper: Container) -> None:
    for wrong in ([], [""], ""):
        with pytest.raises(InvalidOption, match="exec needs a command"):
            sleeper.exec(wrong)
    with pytest.raises(InvalidOption):
        sleeper.exec(["a\0b"])


def test_where_it_cannot_be(containers: Containers, sleeper: Container, busybox_image: str) -> None:
    created = containers.create(busybox_image, ["true"], name="created")
    with pytest.raises(Conflict, match="cannot exec in the container created: it is created"):
        created.exec(["true"])
    sleeper.pause()
    with pytest.raises(Conflict, match="it is paused"):
        sleeper.exec(["true"])
    sleeper.unpause()
    assert sleeper.exec(["true"]).exit_code == 0
    sleeper.stop(0)
    with pytest.raises(Conflict, match="it is exited"):
        sleeper.exec(["true"])


def test_its_container_ends_meanwhile(sleeper: Container) -> None:
    execution = sleeper.begin_exec(["sleep", "infinity"], ExecOptions())
    execution.launch.wait_started()
    sleeper.kill()
    assert execution.wait(10).exit_code == 137
    assert sleeper.wait(10) == 137


def test_its_container_has_just_ended(containers: Containers, busybox_image: str) -> None:
    """Whether it runs the record cannot say for sure: the monitor does."""
    container = containers.run(busybox_image, ["sleep", "infinity"], name="gone")
    os.kill(container.record.pid, 9)
    wait_until(lambda: container.folder.exit() is not None)
    with pytest.raises(Conflict):
        container.exec(["true"])


def test_after_a_restart(sleeper: Container) -> None:
    """The plan that was made for the run before does not serve for this one."""
    assert sleeper.exec(["sh", "-c", "touch /tmp/here; echo $PPID"]).stdout == "0\n"
    sleeper.restart(0)
    assert sleeper.exec(["ls", "/tmp"]).stdout == "here\n"


def test_detached(sleeper: Container) -> None:
    execution = sleeper.begin_exec(["sh", "-c", "echo lost; touch /begun; sleep infinity"], ExecOptions(), detach=True)
    execution.launch.wait_started()
    execution.launch.detach()
    wait_until(lambda: sleeper.exec(["ls", "/begun"]).exit_code == 0)
    assert len(processes(sleeper.folder.start_notes().groups)) == 2, "it goes on though nobody is connected"
    assert sleeper.logs() == ""


def test_many_at_once(sleeper: Container) -> None:
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda n: sleeper.exec(["sh", "-c", f"echo {n}; exit {n}"]), range(40)))
    assert [(each.exit_code, each.stdout) for each in done] == [(n, f"{n}\n") for n in range(40)]


def test_how_it_was_done(sleeper: Container) -> None:
    rows = sleeper.exec(["true"]).trace
    assert rows[0].what.startswith("find")
    assert not any(row.errno for row in rows)
    assert len(rows) < 40, "much less than a container takes"
