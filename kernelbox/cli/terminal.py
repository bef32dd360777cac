"""A person at a container's terminal: keys go in, what it prints comes out, the window's size is its size."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from kernelbox.cli.streams import write
from kernelbox.errors import InvalidOption
from kernelbox.linux import pty

__all__ = ["attend", "check_keyboard", "window_size_kept"]

_CHUNK = 65536
_READY = select.POLLIN | select.POLLHUP | select.POLLERR


def check_keyboard() -> None:
    """Raises InvalidOption, in Docker's words, where -i and -t are given and there is no keyboard."""
    if not os.isatty(0):
        raise InvalidOption(
            "the input device is not a TTY", hint="leave out -t: input from a file or a pipe needs only -i"
        )


@contextmanager
def window_size_kept(controller: int) -> Iterator[None]:
    """The container's terminal is as large as ours, now and whenever that changes."""
    ours = next((each for each in (1, 0, 2) if os.isatty(each)), None)
    if ours is None:
        yield
        return

    def follow(*_: Any) -> None:
        size = pty.get_size(ours)
        if size.rows and size.columns:
            pty.set_size(controller, size.rows, size.columns)

    before = signal.signal(signal.SIGWINCH, follow)
    try:
        follow()
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


def attend(controller: int, output: int, *, keyboard: bool) -> None:
    """Copies what is shown to `output`, and with `keyboard` what is typed, until the terminal ends.

    Our own terminal hands over every key meanwhile, Ctrl-C too. Raises OSError where the output cannot be written."""
    with ExitStack() as stack:
        if keyboard:
            stack.enter_context(pty.raw(0))
        _copy(controller, output, keyboard)


def _copy(controller: int, output: int, keyboard: bool) -> None:
    os.set_blocking(controller, False)
    poller = select.poll()
    keys = b""
    while True:
        poller.register(controller, select.POLLIN | (select.POLLOUT if keys else 0))
        if keyboard and not keys:
            poller.register(0, select.POLLIN)
        events = dict(poller.poll())
        if events.get(controller, 0) & _READY and not _show(controller, output):
            return
        if events.get(0, 0) & _READY:
            poller.unregister(0)
            read = _read_keys()
            keys, keyboard = read or b"", read != b""
        if keys:
            keys = _type(controller, keys)


def _show(controller: int, output: int) -> bool:
    """What there is to see; false at the end, when no process of the container has the terminal open."""
    try:
        content = os.read(controller, _CHUNK)
    except BlockingIOError:
        return True
    except OSError:  # EIO
        return False
    write(output, content)
    return bool(content)


def _read_keys() -> bytes | None:
    """Empty where our terminal has gone; None where somebody else took the keys."""
    try:
        return os.read(0, _CHUNK)
    except BlockingIOError:
        return None
    except OSError:
        return b""


def _type(controller: int, keys: bytes) -> bytes:
    """What could not be typed yet, because the container has not read what came before."""
    try:
        return keys[os.write(controller, keys) :]
    except BlockingIOError:
        return keys
    except OSError:  # EIO: nobody has the terminal open
        return b""
