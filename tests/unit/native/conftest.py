"""The monitor built with ASan and UBSan, and one of it where nothing that it is told to do can harm the machine."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import leaks
import pytest
from unit.native.frames import ALIVE_S, Frame, Reply, replies, send

from kernelbox.native import build, lib

NOBODY = 65534
AS_NOBODY: dict[str, Any] = {
    "user": NOBODY, "group": NOBODY, "extra_groups": (), "env": {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, "cwd": "/",
}  # fmt: skip
SANITIZED = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
CONFINE = (
    "--user",
    "--map-root-user",
    "--mount",
    "--uts",
    "--ipc",
    "--net",
    "--cgroup",
    "--pid",
    "--fork",
    "--kill-child",
)

# Descriptors as an engine gives them, but for the lock and the runtime folder. The monitor goes into the background,
# and lives for as long as the first process of its namespaces.
START = """
mount -t tmpfs tmpfs /tmp; mount -t tmpfs tmpfs /dev/shm; mount -t proc proc /proc; cd /tmp
exec 3</dev/null 4</tmp
"/proc/self/fd/$1" root
exec sleep infinity
"""
PROGRAM_AT = 50


@pytest.fixture(scope="session")
def sanitizing() -> list[str]:
    """The compiler; skips where it has no sanitizers."""
    command = shlex.split(os.environ.get("CC", "cc"))
    if not shutil.which(command[0]):
        pytest.skip(f"there is no compiler called {command[0]}")
    trial = subprocess.run(
        [*command, *SANITIZED, "-x", "c", "-", "-o", "/dev/null"],
        input="int main(void) { return 0; }", capture_output=True, text=True,
    )  # fmt: skip
    if trial.returncode:
        pytest.skip("the compiler has no libraries for ASan and UBSan")
    return command


@pytest.fixture(scope="session")
def sanitized_monitor(sanitizing: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program."""
    program = tmp_path_factory.mktemp("sanitized") / "kb-monitor-asan"
    build.build_monitor(program, sanitize=True)
    return program


@dataclass
class ConfinedMonitor:
    """A monitor that is root of a user namespace of `nobody`'s, with namespaces of its own of every kind."""

    socket: Path
    log: Path

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.settimeout(ALIVE_S)
        os.seteuid(NOBODY)
        try:
            connection.connect(os.fspath(self.socket))
        finally:
            os.seteuid(0)
        return connection

    def ask(self, frame: Frame | bytes, descriptors: tuple[int, ...] = ()) -> list[Reply]:
        """Sends it on a connection of its own; then the monitor must still serve others, with nothing in its log."""
        with self.connect() as connection:
            send(connection, frame if isinstance(frame, bytes) else frame.encode(), descriptors)
            found = replies(connection)
        self.check()
        return found

    def check(self) -> None:
        with self.connect() as connection:
            send(connection, Frame(lib.KB_SYNC).encode())
            kinds = [reply.kind for reply in replies(connection)]
        assert not self.log.read_text(errors="replace")
        assert kinds == [lib.KB_OK]


def end_confined(process: subprocess.Popen[bytes]) -> None:
    """Ends the first process of the namespaces, which unshare then reaps: an orphan would be left for us to find."""
    first = [each.pid for each in leaks.processes() if each.parent == process.pid]
    for pid in first:
        os.kill(pid, signal.SIGKILL)
    if not first:
        process.kill()


@pytest.fixture(scope="module")
def confined(sanitized_monitor: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConfinedMonitor]:
    if os.geteuid():
        pytest.skip("only root can confine a monitor to somebody who owns nothing")
    trial = subprocess.run(["unshare", *CONFINE, "true"], capture_output=True, text=True, **AS_NOBODY)
    if trial.returncode:
        pytest.skip(f"nobody may make user namespaces here: {trial.stderr.strip()}")
    log = tmp_path_factory.mktemp("confined") / "log"
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/run", prefix="confined-")))
        folder.chmod(0o711)
        listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        listener.bind(os.fspath(folder / "socket"))
        os.chown(folder / "socket", NOBODY, NOBODY)
        listener.listen(64)
        file = stack.enter_context(sanitized_monitor.open("rb"))
        program = fcntl.fcntl(file.fileno(), fcntl.F_DUPFD_CLOEXEC, PROGRAM_AT)
        stack.callback(os.close, program)
        output = stack.enter_context(log.open("ab"))
        process = subprocess.Popen(
            ["unshare", *CONFINE, "sh", "-ec", START, "start", str(program)],
            stdin=listener, stdout=output, stderr=output, pass_fds=[program], **AS_NOBODY,
        )  # fmt: skip
        stack.enter_context(process)
        stack.callback(end_confined, process)
        monitor = ConfinedMonitor(folder / "socket", log)
        stack.enter_context(monitor.connect())
        monitor.check()
        yield monitor
