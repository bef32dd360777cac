"""A shell that is attached to a kept container: `run` without --rm, `start -a`, `attach`."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Iterator

from kernelbox.cli.deadline import Deadline
from kernelbox.cli.failures import BROKEN_PIPE
from kernelbox.cli.keys import DetachKeys
from kernelbox.cli.signals import Relay
from kernelbox.cli.streams import read_chunk, write
from kernelbox.engine.attaching import Attachment
from kernelbox.engine.container import Container
from kernelbox.engine.starting import options_of
from kernelbox.errors import ContainerNotFound, KernelError
from kernelbox.linux import pty
from kernelbox.runtime.connection import OnOutput

__all__ = ["watch"]

_UNKNOWN = 125


class _Screen:
    """Where the container's output goes. Before `attachment` is known, what comes is kept."""

    def __init__(self, streams: tuple[int, int]) -> None:
        self.failure: OSError | None = None
        self._streams = streams

    def __call__(self, stream: int, chunk: bytes) -> None:
        if self.failure is not None:
            return
        try:
            write(self._streams[stream - 1], chunk)
        except OSError as error:
            self.failure = error


def watch(
    container: Container,
    begin: Callable[[OnOutput], Attachment],
    *,
    interactive: bool,
    keys: DetachKeys,
    once: bool = False,
    sig_proxy: bool = True,
    timeout: float | None = None,
    streams: tuple[int, int] = (1, 2),
) -> int:
    """The exit code of the container; 0 where we left it by the keys for that. `once`: its standard input ends with
    ours.

    Raises as `begin` does, KernelError where its output cannot be written."""
    screen = _Screen(streams)
    tty = options_of(container.record).tty
    with contextlib.ExitStack() as stack:
        relay = stack.enter_context(Relay()) if sig_proxy and not tty else None
        attachment = begin(screen)
        stack.callback(attachment.close)
        if relay:
            relay.attach(attachment)
        if tty:
            stack.enter_context(_terminal_kept(attachment, interactive))
        if interactive and attachment.input >= 0:
            _Keyboard(attachment, keys if tty else None, once).start()
        stack.enter_context(Deadline(attachment, timeout))
        while not attachment.wait(0.2) and not attachment.detached:
            if screen.failure:
                break
        detached = attachment.detached
    if screen.failure is not None:
        if screen.failure.errno == errno.EPIPE:
            return BROKEN_PIPE
        raise KernelError(screen.failure.errno or 0, "write the output")
    return 0 if detached else _exit_code(container)


def _exit_code(container: Container) -> int:
    try:
        container.reload()
    except ContainerNotFound:  # removed at its end
        return container.record.exit_code or 0
    code = container.record.exit_code
    return _UNKNOWN if code is None else code


@contextlib.contextmanager
def _terminal_kept(attachment: Attachment, interactive: bool) -> Iterator[None]:
    """Our terminal hands over every key, and the container's is as large as ours."""
    from kernelbox.cli.terminal import window_size_kept

    with contextlib.ExitStack() as stack:
        if attachment.input >= 0:
            stack.enter_context(window_size_kept(attachment.input))
        if interactive and os.isatty(0):
            stack.enter_context(pty.raw(0))
        yield


class _Keyboard(threading.Thread):
    """Copies our standard input to the container's, until either ends. It may wait for ever, so nobody waits for it."""

    def __init__(self, attachment: Attachment, keys: DetachKeys | None, once: bool) -> None:
        super().__init__(name="kernelbox keyboard", daemon=True)
        self._attachment = attachment
        self._keys = keys
        self._once = once

    def run(self) -> None:
        with contextlib.suppress(OSError):  # either end has gone
            while content := read_chunk():
                typed = self._keys.without(content) if self._keys else content
                if typed is None:
                    self._attachment.detach()
                    return
                write(self._attachment.input, typed)
        with contextlib.suppress(OSError):
            self._attachment.close_input(for_all=self._once)
