"""Who may talk to a monitor, and what it does for those who go."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import ordinary_user
import pytest
from faults.monitors import groups_of, monitors_of, processes_in
from unit.native.frames import Frame, launch, replies, send
from waiting import DEADLINE, wait_until

from kernelbox import Engine
from kernelbox.native import lib

pytestmark = [pytest.mark.kernel, pytest.mark.root]

CONNECT = """
import socket, sys
connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
try:
    connection.connect(sys.argv[1] if len(sys.argv) > 1 else PATH)
    connection.settimeout(10)
    connection.send(b"hello")
    print("answered", connection.recv(4096))
except OSError as error:
    print(type(error).__name__)
"""

RUN = "import sys, kernelbox as kb; print(kb.Engine().run(sys.argv[1], ['echo', 'well']).stdout, end='')"


def connect(box: Engine) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(10)
    connection.connect(os.fspath(box.paths.socket))
    return connection


def test_somebody_else_is_not_let_to_the_socket(
    engine: Engine, busybox_image: str, ordinary_user: ordinary_user.User
) -> None:
    engine.run(busybox_image, ["true"])
    code = f"PATH = {os.fspath(engine.paths.socket)!r}\n{CONNECT}"
    assert ordinary_user.python(code).stdout == "PermissionError\n"


def test_somebody_else_is_not_listened_to(engine: Engine, busybox_image: str) -> None:
    """Were the runtime folder open to all, the monitor would still look at who it is (unix(7), SO_PEERCRED)."""
    engine.run(busybox_image, ["true"])
    folders = (engine.paths.runtime, engine.paths.runtime.parent)
    modes = [folder.stat().st_mode for folder in folders]
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(10)
        for folder in folders:
            folder.chmod(0o711)
        engine.paths.socket.chmod(0o666)
        os.seteuid(65534)
        try:
            connection.connect(os.fspath(engine.paths.socket))
        finally:
            os.seteuid(0)
            for folder, mode in zip(folders, modes, strict=True):
                folder.chmod(mode)
        # Accepted and closed, before or after what we say.
        try:
            send(connection, launch().encode())
            assert replies(connection) == []
        except BrokenPipeError:
            pass
    assert engine.run(busybox_image, ["echo", "well"]).stdout == "well\n"


@pytest.mark.parametrize("noise", [b"x", b"GET / HTTP/1.1\r\n\r\n", bytes(72), b"\xff" * 5000], ids=len)
def test_noise_is_answered_with_an_error(engine: Engine, busybox_image: str, noise: bytes) -> None:
    engine.run(busybox_image, ["true"])
    pid = monitors_of(engine.paths.root)
    with connect(engine) as connection:
        for _ in range(3):
            send(connection, noise)
            (reply,) = replies(connection)
            assert reply.kind == lib.KB_FAILED
        send(connection, Frame(lib.KB_SYNC).encode())
        assert replies(connection)[0].kind == lib.KB_OK
    assert engine.run(busybox_image, ["echo", "well"]).stdout == "well\n"
    assert monitors_of(engine.paths.root) == pid


def test_a_container_ends_with_the_connection_that_asked_for_it(store: Path, busybox_image: str) -> None:
    """The process that started it is killed; a monitor that somebody else uses goes on."""
    code = "import sys, kernelbox as kb; box = kb.Engine(); box.start(sys.argv[1], ['sleep', '9d']); input()"
    with Engine(root=store) as box:
        box.run(busybox_image, ["true"])
        pid = monitors_of(store)
        with subprocess.Popen([sys.executable, "-c", code, busybox_image], stdin=subprocess.PIPE) as other:
            wait_until(lambda: processes_in(groups_of(store)))
            other.send_signal(signal.SIGKILL)
        wait_until(lambda: not groups_of(store))
        assert monitors_of(store) == pid
        assert box.run(busybox_image, ["echo", "well"]).stdout == "well\n"


def test_two_processes_share_one(store: Path, busybox_image: str) -> None:
    with Engine(root=store) as box:
        box.run(busybox_image, ["true"])
        pid = monitors_of(store)
        for _ in range(2):
            done = subprocess.run([sys.executable, "-c", RUN, busybox_image], capture_output=True, text=True)
            assert done.stdout == "well\n", done.stderr
            assert monitors_of(store) == pid


def test_eight_processes_start_at_once(store: Path, busybox_image: str) -> None:
    """One of them makes the monitor, the others wait for it; again when it has just gone."""
    for _ in range(2):
        command = [sys.executable, "-c", RUN, busybox_image]
        pipe = subprocess.PIPE
        running = [subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) for _ in range(8)]
        assert [each.communicate(timeout=6 * DEADLINE) for each in running] == [("well\n", "")] * 8
    wait_until(lambda: not monitors_of(store))


def test_a_monitor_that_nobody_comes_to_goes(engine: Engine, busybox_image: str) -> None:
    """An engine may be killed between starting a monitor and connecting to it."""
    monitor = engine._open()
    assert monitor._start()
    pids = wait_until(lambda: monitors_of(engine.paths.root))
    assert not monitor._start()
    wait_until(lambda: not Path(f"/proc/{pids[0]}/stat").exists() or not monitors_of(engine.paths.root), deadline=30)
    assert engine.run(busybox_image, ["echo", "well"]).stdout == "well\n"
