"""A kept container that somebody waits for: its input is given, its output shown, its end told as a RunResult."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kernelbox.engine import history
from kernelbox.engine.container import Container
from kernelbox.engine.result import ContainerInfo, LimitsReport, RunResult, Usage
from kernelbox.engine.status import exit_code
from kernelbox.errors import InvalidOption, KernelError, RunInterrupted

if TYPE_CHECKING:
    from kernelbox.engine.attaching import Attachment
    from kernelbox.runtime.connection import OnOutput

__all__ = ["start_with_input", "wait_attached"]

_SIGKILL = 9
_MOST_CAPTURED = 256 << 20


def wait_attached(
    container: Container,
    *,
    input: bytes | None = None,
    timeout: float | None = None,
    on_output: OnOutput | None = None,
) -> RunResult:
    """Starts it and waits for its end, as `Engine.run` does; it is kept. `input` is all that comes of its standard
    input, for which it must have been created with `interactive`. After `timeout` seconds, or on an interrupt, it is
    killed.

    Raises as `Container.start`, Conflict where it runs already, RunInterrupted with the result so far."""
    begun, started_at = time.monotonic(), time.time()
    output = _Output()
    timed_out = interrupted = False
    attachment = None
    with contextlib.ExitStack() as stack:
        try:
            attachment = stack.enter_context(contextlib.closing(container.start_attached(on_output=output)))
            if on_output:
                output.show(on_output)
            with contextlib.nullcontext() if input is None else _given(attachment, input):
                timed_out = not attachment.wait(timeout)
            if timed_out:
                _kill(container, attachment)
        except BaseException as error:
            if attachment is None:
                raise
            interrupted = isinstance(error, KeyboardInterrupt)
            output.shown = None
            _kill(container, attachment)
            if not interrupted:  # it is of on_output
                raise
    result = history.last = _result(container, output, started_at, time.monotonic() - begun, timed_out=timed_out)
    if interrupted:
        raise RunInterrupted(f"interrupted: the container {container.name} was killed, and is kept", result=result)
    return result


def start_with_input(container: Container, input: bytes) -> None:
    """Starts it in the background; `input` is all that comes of its standard input, for which it must have been created
    with `interactive`. Raises as `Container.start`, Conflict where it runs already."""
    attachment = container.start_attached()
    given = _taken(attachment)
    attachment.close()  # nobody is attached any more: it does not wait for a reader of its output
    _give(given, attachment.pid, input)
    container.reload_if_there()


class _Output:
    """Keeps what comes, up to a limit, and has it shown."""

    def __init__(self) -> None:
        self.shown: OnOutput | None = None
        self.truncated = False
        self._chunks: list[tuple[int, bytes]] = []
        self._size = 0

    def __call__(self, stream: int, chunk: bytes) -> None:
        if self._size < _MOST_CAPTURED:
            self._chunks.append((stream, chunk))
            self._size += len(chunk)
        else:
            self.truncated = True
        if self.shown:
            self.shown(stream, chunk)

    def show(self, shown: OnOutput) -> None:
        """What has come until now, and what will."""
        self.shown = shown
        for stream, chunk in self._chunks:
            shown(stream, chunk)

    def of(self, stream: int) -> bytes:
        return b"".join(chunk for number, chunk in self._chunks if number == stream)


def _kill(container: Container, attachment: Attachment) -> None:
    """Returns when it has ended; interrupts do not shorten that."""
    ended = False
    while not ended:
        with contextlib.suppress(KeyboardInterrupt):
            container.send(_SIGKILL, stopping=True)
            ended = attachment.wait()


@contextlib.contextmanager
def _given(attachment: Attachment, input: bytes) -> Iterator[None]:
    thread = _give(_taken(attachment), attachment.pid, input)
    yield
    if thread:
        thread.join()


def _taken(attachment: Attachment) -> int:
    """The other end of its standard input, which nobody else has any more. Raises InvalidOption where it has none."""
    if attachment.input < 0:
        raise InvalidOption("the container has no standard input", hint="create it with interactive=True")
    taken = os.dup(attachment.input)
    attachment.close_input(for_all=True)
    return taken


def _give(descriptor: int, pid: int, content: bytes) -> threading.Thread | None:
    """Writes and closes it. What the pipe does not hold is written by a thread, which ends with the process `pid` at
    the latest: it may never read."""
    rest = _written(descriptor, memoryview(content))
    if not rest:
        os.close(descriptor)
        return None
    thread = threading.Thread(target=_go_on, args=(descriptor, pid, rest), name="kernelbox input", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:  # Python's word for EAGAIN
        os.close(descriptor)
        raise KernelError(errno.EAGAIN, "start a thread that gives the input") from error
    return thread


def _go_on(descriptor: int, pid: int, rest: memoryview) -> None:
    try:
        process = os.pidfd_open(pid)
        try:
            while rest:
                # The FIFO is open for reading here too, so that no error tells when its reader has gone.
                ended, _, _ = select.select([process], [descriptor], [])
                if ended:
                    return
                rest = _written(descriptor, rest)
        finally:
            os.close(process)
    except ProcessLookupError:
        return  # it has ended already
    finally:
        os.close(descriptor)


def _written(descriptor: int, rest: memoryview) -> memoryview:
    """Writes what there is room for; what is left. The descriptor does not block."""
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            break
    return rest


def _result(container: Container, output: _Output, started_at: float, duration: float, *, timed_out: bool) -> RunResult:
    record = container.reload().record
    notes, config, ended = container.folder.start_notes(), container.folder.config(), container.folder.exit()
    ended_by = ended.signal if ended else 0
    return RunResult(
        exit_code=exit_code(record),
        signal=ended_by or None,
        oom_killed=record.oom_killed,
        timed_out=timed_out and ended_by == _SIGKILL,
        stdout_bytes=output.of(1),
        stderr_bytes=output.of(2),
        duration=duration,
        command=config.process.args if config.process else (),
        image=record.image,
        image_digest=record.image_digest,
        container=ContainerInfo(record.id, record.name, config.hostname or ""),
        limits=LimitsReport(notes.limits, notes.notes),
        usage=Usage(**record.usage),  # type: ignore[arg-type]  # which is where it came from
        started_at=started_at,
        trace_rows=container.trace,
        truncated=output.truncated,
    )
