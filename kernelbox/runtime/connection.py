"""One connection to the monitor: a request at a time, and the conversation that follows it, in C."""

from __future__ import annotations

import array
import errno
import fcntl
import os
import struct
import sys
import termios
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Any

from kernelbox.errors import KernelError, MonitorError
from kernelbox.native import ffi, lib

__all__ = ["NOTHING", "Answer", "Connection", "OnOutput", "Traced", "parse_answer"]

OnOutput = Callable[[int, bytes], None]
"""Called with 1 or 2 (standard output or error) and what came."""

Traced = tuple[int, int, int, int]
"""(start_ns, end_ns, errno, operation), by the monotonic clock."""

_ANSWER = Struct("=HHiiiiiIIIIQQQQQQ")  # struct kb_answer
_TRACED = Struct("=QQiI")  # struct kb_traced
_LENGTH = Struct("=I")
_BUFFER = 65536
_REPLY = 262144
_new_buffer = ffi.new_allocator(should_clear_after_alloc=False)
"""Of memory that costs nothing until it is written: most containers say little."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One message of the monitor. `op` is the operation that failed, `record` (key, content) pairs; `restarts` is how
    often a kept container was started again, `again_ms` when that happens next, 0 for never; `clock_ns` is since
    1970."""

    kind: int
    error: int
    op: int
    pid: int
    status: int
    signal: int
    restarts: int
    again_ms: int
    clock_ns: int
    now_ns: int
    user_us: int
    system_us: int
    max_rss_kb: int
    first_op: int
    traced: bytes
    record: tuple[tuple[int, bytes], ...]

    def trace(self) -> tuple[Traced, ...]:
        """A row for each operation."""
        return tuple(_TRACED.iter_unpack(self.traced))


NOTHING = Answer(0, 0, -1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, b"", ())


def _parse_record(raw: bytes) -> tuple[tuple[int, bytes], ...]:
    entries = []
    at = 0
    while at < len(raw):
        key, size = _LENGTH.unpack_from(raw, at)[0], _LENGTH.unpack_from(raw, at + 4)[0]
        entries.append((key, raw[at + 8 : at + 8 + size]))
        at += 8 + size
    return tuple(entries)


def parse_answer(raw: bytes) -> Answer:
    """A message, as it is also written down at the end of a kept container. Raises struct.error for what has
    another length than it says."""
    kind, _, error, op, pid, status, signal, operations, record_size, *numbers = _ANSWER.unpack_from(raw)
    end = _ANSWER.size + operations * _TRACED.size
    traced = raw[_ANSWER.size : end]
    if len(raw) != end + record_size:
        raise struct.error(f"an answer of {len(raw)} bytes says that it has {end + record_size}")
    record = _parse_record(raw[end:])
    restarts, again_ms, clock_ns, now_ns, user_us, system_us, max_rss_kb, first_op = numbers
    return Answer(
        kind, error, op, pid, status, signal, restarts, again_ms, clock_ns, now_ns, user_us, system_us, max_rss_kb,
        first_op, traced, record,
    )  # fmt: skip


_TALK_SIZE = ffi.sizeof("struct kb_talk")
_UNUSED = ffi.new("struct kb_talk *", {"inp": -1, "out": -1, "err": -1, "received_fd": -1})


class Connection:
    """Owns the socket and our ends of the pipes; close it, or use it as a context manager. Not for two threads at once.

    One that nobody holds any more is closed too: an interrupt may come between any two steps of whoever took it."""

    _socket = -1
    _talk = _UNUSED

    def __init__(self, socket: int) -> None:
        self._socket = socket
        self._talk = ffi.new("struct kb_talk *", _UNUSED[0])
        self._out = _new_buffer("char[]", _BUFFER)
        self._err = _new_buffer("char[]", _BUFFER)
        self._reply = _new_buffer("char[]", _REPLY)
        self._keep: tuple[Any, ...] = ()
        self.unread = False
        """The connection ended, and the monitor cannot have read the last request (unix(7): ECONNRESET, EPIPE)."""

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self, finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if self._socket >= 0 and not finalizing():  # at the interpreter's end there is no `os`
            self.close()

    def close(self) -> None:
        """Ends the connection, and with it every container that was leased on it. Idempotent."""
        self.abandon()
        socket, self._socket = self._socket, -1
        if socket >= 0:
            os.close(socket)

    @property
    def closed(self) -> bool:
        return self._socket < 0

    @property
    def sent(self) -> bool:
        """Whether the request that was begun last has gone to the monitor."""
        return bool(self._talk.sent)

    @property
    def finished(self) -> bool:
        """Whether the last answer has come; somebody may still write to the pipes."""
        return bool(self._talk.finished)

    def begin(
        self,
        message: bytes,
        descriptors: Sequence[int] = (),
        *,
        pipes: int = 0,
        input: bytes = b"",
        adopt: bool = False,
        owner: tuple[int, int] = (0, 0),
    ) -> None:
        """Prepares a request; `converse` sends it. `pipes`: bits 0 to 2 ask for pipes as the streams 0 to 2, which are
        then `owner`'s;
        `adopt`: a terminal that comes back is read as the first output."""
        passed = ffi.new("int[]", list(descriptors) or [0])
        data = ffi.from_buffer("char[]", message)
        given = ffi.from_buffer("char[]", input) if input else ffi.NULL
        self._keep = (passed, data, given, message, input)
        ffi.memmove(self._talk, _UNUSED, _TALK_SIZE)
        talk = self._talk
        talk.socket, talk.request, talk.size = self._socket, data, len(message)
        talk.fds, talk.count, talk.pipes = passed, len(descriptors), pipes
        talk.uid, talk.gid = owner
        talk.out_buffer, talk.err_buffer, talk.buffer_size = self._out, self._err, _BUFFER
        talk.input, talk.input_size, talk.adopt = given, len(input), adopt
        talk.reply, talk.reply_size = self._reply, _REPLY

    def converse(self, tick_ms: int, timeout_ms: int) -> int:
        """Moves bytes until there is something to do; returns KB_* bits, 0 when a signal came in between.

        Raises KernelError where the request could not be sent."""
        result = int(lib.kb_converse(self._talk, tick_ms, timeout_ms))
        if result >= 0:
            return result
        if -result == _INTERRUPTED:
            return 0
        self.abandon()
        if -result in _GONE:
            self.unread = True
            return int(lib.KB_GONE)
        self.close()
        raise KernelError(-result, "talk to the monitor")

    def take_output(self, stream: int) -> bytes:
        """What has come on the stream 1 or 2 since the last call."""
        talk = self._talk
        if stream == 1:
            chunk = ffi.buffer(self._out, talk.out_used)[:] if talk.out_used else b""
            talk.out_used = 0
        else:
            chunk = ffi.buffer(self._err, talk.err_used)[:] if talk.err_used else b""
            talk.err_used = 0
        return chunk

    def waiting(self) -> int:
        """How many bytes are in the pipes that we read."""
        count = array.array("i", [0])
        total = 0
        for descriptor in (self._talk.out, self._talk.err):
            if descriptor >= 0:
                fcntl.ioctl(descriptor, termios.FIONREAD, count)
                total += count[0]
        return total

    def take_descriptor(self) -> int:
        """A descriptor that came with an answer, now the caller's; -1 where none came."""
        descriptor, self._talk.received_fd = int(self._talk.received_fd), -1
        return descriptor

    def answers(self) -> list[Answer]:
        """Every message of this conversation so far."""
        raw = ffi.buffer(self._reply, self._talk.reply_used)[:]
        found, at = [], 0
        while at < len(raw):
            size = _LENGTH.unpack_from(raw, at)[0]
            found.append(parse_answer(raw[at + 4 : at + 4 + size]))
            at += 4 + size
        return found

    def abandon(self) -> None:
        """Closes our ends of the pipes: nobody will read on."""
        talk = self._talk
        for name in ("inp", "out", "err", "received_fd"):
            descriptor = getattr(talk, name)
            if descriptor >= 0:
                os.close(descriptor)
                setattr(talk, name, -1)

    def ask(self, message: bytes, descriptors: Sequence[int] = ()) -> Answer:
        """A request with one short answer. Raises MonitorError where the connection ended instead."""
        self.begin(message, descriptors)
        while True:
            state = self.converse(-1, -1)
            if state & lib.KB_DONE:
                return self.answers()[-1]
            if state & lib.KB_GONE:
                self.close()
                raise MonitorError("the monitor closed the connection")


_INTERRUPTED = errno.EINTR
_GONE = (errno.EPIPE, errno.ECONNRESET)
