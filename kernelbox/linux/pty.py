"""Terminals: a pair of ends, of which one looks like a device to a program (pty(7)).

What is written to the controller is what somebody types at the terminal; what the program prints comes out of the
controller. Between them the kernel's "line discipline" echoes, waits for whole lines and turns Ctrl-C into a signal,
until somebody makes the terminal "raw".

    from kernelbox.linux import pty

    with pty.open_pair(rows=24, columns=80) as pair:
        subprocess.Popen(["tty"], stdin=pair.terminal, stdout=pair.terminal)
        print(os.read(pair.controller.fileno(), 100))                # b'/dev/pts/3\\r\\n'
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from kernelbox.errors import KernelError
from kernelbox.linux.descriptor import Closing, Descriptor

__all__ = ["Pair", "Size", "get_size", "open_pair", "raw", "set_size"]


@dataclass(frozen=True, slots=True)
class Size:
    """Of a terminal, in characters."""

    rows: int
    columns: int


@dataclass(frozen=True, slots=True)
class Pair(Closing):
    """Both ends, closed at the end of the block. A read from the controller fails with EIO when nobody has the terminal
    open any more."""

    controller: Descriptor
    terminal: Descriptor

    def close(self) -> None:
        """Close both; does nothing the second time."""
        self.controller.close()
        self.terminal.close()

    @property
    def path(self) -> str:
        """The terminal's name here, such as /dev/pts/3."""
        return os.ttyname(self.terminal.fileno())


def open_pair(*, rows: int = 24, columns: int = 80) -> Pair:
    """A new terminal of this size. Raises KernelError where there are no more."""
    try:
        controller, terminal = os.openpty()
    except OSError as error:
        raise KernelError(error.errno or 0, "open a terminal") from error
    pair = Pair(Descriptor(controller), Descriptor(terminal))
    set_size(controller, rows, columns)
    return pair


def set_size(fd: int, rows: int, columns: int) -> None:
    """Change the size of the terminal at either end; programs in the foreground get SIGWINCH (ioctl_tty(2))."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def get_size(fd: int) -> Size:
    """The size of the terminal at either end. Raises OSError (ENOTTY) where it is none."""
    rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))
    return Size(rows, columns)


@contextmanager
def raw(fd: int) -> Iterator[None]:
    """The terminal hands over every key as it is inside the block, Ctrl-C too; afterwards it is as before, unless
    somebody hung up meanwhile: then there is nothing to restore. Raises KernelError."""
    with _as_kernel_error("read"):
        before = termios.tcgetattr(fd)
    with _as_kernel_error("change"):
        tty.setraw(fd, termios.TCSADRAIN)
    try:
        yield
    finally:
        with _as_kernel_error("restore", hung_up=errno.EIO):
            termios.tcsetattr(fd, termios.TCSADRAIN, before)


@contextmanager
def _as_kernel_error(operation: str, hung_up: int = 0) -> Iterator[None]:
    """termios has an error of its own, which is no OSError."""
    try:
        yield
    except termios.error as error:
        if error.args[0] != hung_up:
            raise KernelError(error.args[0], operation, "the terminal's modes") from error
