"""`kernelbox run -it` at a real terminal: the size of its window, its keys, and how it is left."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from waiting import DEADLINE

from kernelbox.linux import pty

pytestmark = [pytest.mark.kernel, pytest.mark.root, pytest.mark.usefixtures("store")]

SECONDS = 2 * DEADLINE


class Terminal:
    """A person at a terminal: `controller` is the screen and the keyboard."""

    def __init__(self, pair: pty.Pair, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._controller = pair.controller.fileno()
        self._terminal = pair.terminal.fileno()
        self._seen = b""

    def type(self, keys: str) -> None:
        os.write(self._controller, keys.encode())

    def expect(self, text: str) -> str:
        """Everything up to `text`, which must come."""
        end = time.monotonic() + SECONDS
        while text.encode() not in self._seen:
            left = end - time.monotonic()
            assert left > 0, f"{text!r} did not come, but {self._seen!r}"
            if select.select([self._controller], [], [], left)[0]:
                self._seen += os.read(self._controller, 65536)
        before, _, self._seen = self._seen.partition(text.encode())
        return before.decode()

    def resize(self, rows: int, columns: int) -> None:
        pty.set_size(self._controller, rows, columns)

    def modes(self) -> list[object]:
        return termios.tcgetattr(self._terminal)


@contextmanager
def terminal(*words: str, rows: int = 31, columns: int = 97) -> Iterator[Terminal]:
    """A command with a terminal as its own, as a shell in a window starts it."""
    command = ["setsid", "--ctty", sys.executable, "-m", "kernelbox.cli", "run", "--rm", *words]
    with pty.open_pair(rows=rows, columns=columns) as pair:
        end = pair.terminal.fileno()
        with subprocess.Popen(command, stdin=end, stdout=end, stderr=end) as process:
            try:
                yield Terminal(pair, process)
            finally:
                process.kill()


@pytest.fixture
def image(busybox_rootfs: Path) -> str:
    return f"dir:{busybox_rootfs}"


def test_a_shell_at_a_terminal(image: str) -> None:
    with terminal("-it", image, "sh") as person:
        before = person.modes()
        person.expect("# ")
        assert person.modes() != before
        person.type("echo $((6*7)) $(tty)\r")
        person.expect("\r\n42 /dev/pts/0\r\n")
        person.expect("# ")
        person.type("exit 7\r")
        assert person.process.wait() == 7
        assert person.modes() == before


def test_the_window_has_its_size_and_keeps_it(image: str) -> None:
    script = "read x; stty size; trap 'stty size; echo changed' WINCH; echo ready; while :; do read x && exit 0; done"
    with terminal("-it", image, "sh", "-c", script) as person:
        person.type("go\r")
        person.expect("31 97\r\n")
        person.expect("ready")
        person.resize(40, 120)
        person.expect("40 120\r\n")
        person.type("end\r")
        assert person.process.wait() == 0


def test_ctrl_c_goes_to_the_program_inside(image: str) -> None:
    with terminal("-it", image, "sh") as person:
        person.expect("# ")
        person.type("sh -c 'echo begun; exec sleep 60'\r")  # said by the one whom Ctrl-C is for: it is there by then
        person.expect("\r\nbegun\r\n")
        person.type("\x03")
        person.expect("# ")
        person.type("echo code $?\r")
        person.expect("\r\ncode 130\r\n")
        person.expect("# ")
        person.type("\x04")
        assert person.process.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_terminal_is_restored_when_a_signal_ends_it(image: str, number: int) -> None:
    with terminal("-it", image, "sh", "-c", "echo ready; sleep 60") as person:
        before = person.modes()
        person.expect("ready")
        person.process.send_signal(number)
        assert person.process.wait() == 128 + number
        assert person.modes() == before


def test_the_terminal_is_restored_when_the_time_is_over(image: str) -> None:
    with terminal("-it", "--timeout", "0.2", image, "sleep", "60") as person:
        before = person.modes()
        person.expect("kernelbox: sleep was killed: its timeout passed")
        assert person.process.wait() == 137
        assert person.modes() == before


def test_the_terminal_is_restored_when_it_cannot_start(image: str) -> None:
    with terminal("-it", image, "nosuch") as person:
        before = person.modes()
        person.expect("kernelbox: could not run nosuch: not found")
        assert person.process.wait() == 127
        assert person.modes() == before


def test_much_is_typed_and_shown(image: str) -> None:
    with terminal(
        "-it", image, "sh", "-c", "stty raw -echo; echo ready; head -c 50000 | wc -c; seq 20000; exit 0"
    ) as person:
        person.expect("ready")
        for _ in range(50):
            person.type("x" * 1000)
        person.expect("50000")
        person.expect("19999")
        person.expect("20000")
        assert person.process.wait() == 0


def test_ctrl_c_without_a_terminal_inside_ends_the_container(image: str) -> None:
    with terminal("-i", image, "cat") as person:  # a shell would catch it
        person.type("ready\r")
        person.expect("ready\r\n")
        person.expect("ready\r\n")
        person.type("\x03")
        assert person.process.wait() == 130


def test_a_keyboard_without_a_terminal_inside(image: str) -> None:
    with terminal("-i", image, "cat") as person:
        person.type("a line\r")
        person.expect("a line\r\n")
        person.expect("a line\r\n")
        person.type("\x04")
        assert person.process.wait() == 0


def test_a_terminal_inside_without_one_here(image: str) -> None:
    command = [sys.executable, "-m", "kernelbox.cli", "run", "--rm", "-t", image, "sh", "-c", "tty; exit 2"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (2, b"/dev/pts/0\r\n", b"")


def test_no_keyboard_for_it(image: str) -> None:
    command = [sys.executable, "-m", "kernelbox.cli", "run", "--rm", "-it", image, "sh"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 125
    assert done.stderr.splitlines()[0] == "kernelbox: the input device is not a TTY"
