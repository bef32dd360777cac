from __future__ import annotations

import os
import subprocess
import termios

import pytest

from kernelbox.errors import KernelError
from kernelbox.linux import pty
from kernelbox.linux.pty import Size


def test_a_program_sees_a_terminal_of_the_size_asked_for() -> None:
    with pty.open_pair(rows=33, columns=101) as pair:
        subprocess.run(["stty", "size"], stdin=pair.terminal, stdout=pair.terminal, check=True)
        assert os.read(pair.controller.fileno(), 100) == b"33 101\r\n"
        assert pair.path.startswith("/dev/pts/")


def test_size_can_be_changed_at_either_end() -> None:
    with pty.open_pair() as pair:
        assert pty.get_size(pair.terminal.fileno()) == Size(24, 80)
        pty.set_size(pair.controller.fileno(), 50, 132)
        assert pty.get_size(pair.terminal.fileno()) == Size(50, 132)


def test_raw_hands_over_every_key_and_is_undone() -> None:
    with pty.open_pair() as pair:
        terminal = pair.terminal.fileno()
        before = termios.tcgetattr(terminal)
        with pty.raw(terminal):
            os.write(pair.controller.fileno(), b"\x03x")
            assert os.read(terminal, 10) == b"\x03x"
        assert termios.tcgetattr(terminal) == before


def test_raw_ends_quietly_where_somebody_hung_up() -> None:
    with pty.open_pair() as pair, pty.raw(pair.terminal.fileno()):
        pair.controller.close()


def test_raw_of_what_is_no_terminal() -> None:
    with open("/dev/null") as file, pytest.raises(KernelError, match="could not read the terminal's modes"):
        pty.raw(file.fileno()).__enter__()


def test_not_a_terminal() -> None:
    with open("/dev/null") as file, pytest.raises(OSError, match="Inappropriate ioctl"):
        pty.get_size(file.fileno())
