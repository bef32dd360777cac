"""One plan on its way through the monitor: sent, its streams moved, its end waited for."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kernelbox.errors import MonitorError
from kernelbox.native import check, lib
from kernelbox.runtime.connection import Answer, Connection, OnOutput
from kernelbox.runtime.monitor import Monitor
from kernelbox.runtime.plan import PLAN_FILE, EncodedPlan, Fault, Life, request
from kernelbox.runtime.start_failures import start_error
from kernelbox.runtime.trace import TraceRow, trace_rows

__all__ = ["Launch", "Outcome", "rows_of"]

_TICK_MS = 50
_LONGEST_MS = 200
"""Python is asked this often whether a signal came: one that arrives just before poll(2) does not end it."""
_GRACE_S = 2.0
"""So long processes that outlive the first one may go on writing to whoever waits for it: dockerd's, for the same."""
_MAX_CAPTURED = 256 << 20


@dataclass(slots=True)
class Outcome:
    """What is known of a launch, first while it runs and then for good. `status` is the exit status, `signal` the
    number that ended it or 0; times are of the monotonic clock, in nanoseconds."""

    pid: int = 0
    status: int | None = None
    signal: int = 0
    started_ns: int = 0
    ended_ns: int = 0
    user_us: int = 0
    system_us: int = 0
    largest: int = 0
    """Bytes of the largest process, resident."""
    timed_out: bool = False
    truncated: bool = False
    failed_code: int | None = None
    """Where it could not be started: the exit code that says why."""
    out: list[bytes] = field(default_factory=list)
    err: list[bytes] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)


class Launch:
    """Send once with `begin`, then `wait`. Streams that the plan has as pipes are read here, and kept with `capture`; a
    terminal is with `adopt`, and else the caller's (`terminal`, after `wait_started`).

    `descriptors` are those of `encoded.names`, in that order; they stay the caller's. With `life` the container is kept
    (and `lease` has no meaning): where its plan has no pipes everything is over once it runs, and where it has, they
    are copies of what it writes. `adopt_pid`: it runs already, as that process. `owner`: the machine's ids of its user,
    whose the pipes are."""

    def __init__(
        self,
        monitor: Monitor,
        encoded: EncodedPlan,
        token: bytes,
        descriptors: Sequence[int] = (),
        *,
        adopt: bool = False,
        input: bytes = b"",
        on_output: OnOutput | None = None,
        capture: bool = True,
        lease: bool = True,
        fault: Fault | None = None,
        life: Life | None = None,
        adopt_pid: int = 0,
        owner: tuple[int, int] = (0, 0),
    ) -> None:
        self.encoded = encoded
        self.outcome = Outcome()
        self.terminal = -1
        self.ended = False
        self._monitor = monitor
        self._token = token
        self._descriptors = descriptors
        self._input = input
        self._on_output = on_output
        self._capture = capture
        self._lease = lease
        self._adopt = adopt
        self._fault = fault
        self._life = life
        self._adopt_pid = adopt_pid
        self._owner = owner
        self._captured = 0
        self._grace = _GRACE_S
        self._killed = False
        self._ending = False
        self._plan_file = -1
        self._connection: Connection | None = None

    @property
    def pid(self) -> int:
        """The first process, once it runs; 0 before. May be asked from any thread."""
        if self.outcome.pid or self.ended or self._connection is None:
            return self.outcome.pid
        told = self._connection.answers()
        # Where it has ended in this moment the connection may be another launch's by now.
        return self.outcome.pid or (told[0].pid if told and not self.ended else 0)

    @property
    def attended(self) -> bool:
        """Whether its end is told on our connection. May be asked from any thread."""
        return self._connection is not None and not self._connection.closed

    @property
    def alive(self) -> bool:
        """Whether the monitor has it; for those that nobody waits for. May be asked from any thread."""
        return self._monitor.signal(self._token, 0)

    def begin(self) -> None:
        """Makes the request ready; what waits sends it."""
        try:
            self._connection = self._monitor.take()
            self._send()
        except BaseException:
            self._drop()
            raise

    def _send(self) -> None:
        assert self._connection is not None
        encoded = self.encoded
        body = encoded.operations + encoded.text
        descriptors = list(self._descriptors)
        big = encoded.slots[PLAN_FILE] + 1 if encoded.in_file else 0
        if big:
            self._plan_file = check(lib.kb_memfd_sealed(b"kb-plan", body, len(body)), "make a plan file")
            descriptors.append(self._plan_file)
        fault = (encoded.operation_of(self._fault.step), self._fault.errno) if self._fault else (-1, 0)
        head = request(
            lib.KB_LAUNCH,
            flags=self._flags(),
            token=self._token,
            parts=encoded.parts,
            given=len(descriptors) + self.encoded.pipes.bit_count(),
            reveal=encoded.slots[encoded.plan.reveal],
            fault=fault,
            text_size=len(encoded.text),
            last_text=encoded.last_text,
            words=encoded.words,
            big=big,
            signal=self._adopt_pid,
            **({"life": self._life.pack(encoded.slots)} if self._life else {}),
        )
        message = head if big else head + body
        self._connection.begin(
            message,
            descriptors,
            pipes=self.encoded.pipes,
            input=self._input,
            adopt=self._adopt,
            owner=self._owner,
        )

    def _flags(self) -> int:
        if self._life is None:
            return int(lib.KB_LEASE) if self._lease else 0
        return int(lib.KB_KEEP | (lib.KB_ADOPT if self._adopt_pid else 0))

    def send(self) -> None:
        """Returns when the request has been sent, without waiting for what comes of it: its descriptors may then be
        closed. `wait` does so itself."""
        assert self._connection is not None
        while self._connection.converse(-1, 0) & lib.KB_GONE:
            self._gone()

    def wait(self, timeout: float | None = None) -> bool:
        """Moves output until the container has ended (true) or `timeout` seconds have passed (false).

        What the first process has written has come then. Others may outlive it and write on: they are listened to for
        two seconds, or until `timeout` has passed, and not at all where the first one was killed.

        Raises StartError, CommandNotFound or CommandNotExecutable where it could not be started; MonitorError where the
        monitor went away under it. KeyboardInterrupt passes through: `kill`, then `wait` again."""
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while not self.ended:
            state = self._converse(deadline)
            if state & lib.KB_DONE:
                self._finish()
            elif state & lib.KB_GONE:
                self._gone()
            elif state & lib.KB_TICK and time.monotonic() >= deadline:
                return False
        return True

    def _converse(self, deadline: float) -> int:
        """Moves bytes for a moment. KB_* bits; KB_DONE also where the streams are not listened to any longer."""
        assert self._connection is not None
        connection, begun, late = self._connection, time.monotonic(), self._connection.finished
        longest = _TICK_MS if self._killed else _LONGEST_MS
        left = longest if deadline == math.inf else min(longest, max(0, round((deadline - begun) * 1000)))
        state = connection.converse(_TICK_MS if self._on_output else -1, left)
        if late:
            self._grace -= time.monotonic() - begun  # without the time that a slow reader of the output takes
        self._take_output()
        over = self._killed or self._grace <= 0 or time.monotonic() >= deadline
        if over and connection.finished and not state & lib.KB_DONE:
            self._take_rest()
            return int(lib.KB_DONE)
        return state

    def _take_rest(self) -> None:
        """What is in the pipes now. What the first process wrote is; others may write for ever."""
        assert self._connection is not None
        left = taken = self._connection.waiting()
        while left > 0 and taken:
            self._connection.converse(-1, 0)
            taken = self._take_output()
            left -= taken

    def wait_started(self) -> None:
        """Returns once the program runs (or has already ended); `terminal` is then its terminal, if it has one.

        Raises as `wait` does."""
        assert self._connection is not None
        while not self._connection.answers():
            state = self._connection.converse(0, 10)
            self._take_output()  # a program may fill its pipe before we have read that it runs
            if state & lib.KB_GONE:
                self._gone()
                if self.ended:
                    return
        answer = self._connection.answers()[0]
        descriptor = self._connection.take_descriptor()
        if descriptor >= 0:
            self.terminal = descriptor
        if answer.kind == lib.KB_FAILED:
            self.wait()
        self.outcome.pid = answer.pid

    @property
    def first_answer(self) -> Answer:
        """The monitor's word that it runs, after `wait_started`."""
        assert self._connection is not None
        return self.outcome.answers[0] if self.outcome.answers else self._connection.answers()[0]

    def kill(self, number: int = 9) -> None:
        """Sends a signal to the first process; with 9 everything in the container ends. May be called from any
        thread."""
        self._killed |= number == signal.SIGKILL
        self._monitor.signal(self._token, number)

    def end(self) -> None:
        """Kills the container and waits until it has gone; nobody is told of output any more. Interrupts do not shorten
        that. One whose request has not been sent never begins. Idempotent. Raises as `wait` does."""
        self._on_output = None
        self._killed = self._ending = True
        while not self.ended:
            try:
                if self._connection is None or not self._connection.sent:
                    self._never_begin()
                elif self._connection.closed:  # its monitor has gone, or it was detached: nobody will say how it ended
                    self.ended = True
                elif not self.outcome.pid:  # until the monitor knows it there is nothing to kill
                    self.wait_started()
                else:
                    self._monitor.signal(self._token, signal.SIGKILL, stopping=True)
                    self.wait()
            except KeyboardInterrupt:
                continue

    def _never_begin(self) -> None:
        self._drop()
        self.outcome.signal = signal.SIGKILL
        self.outcome.started_ns = self.outcome.ended_ns = time.monotonic_ns()
        self.ended = True

    def detach(self) -> None:
        """For a kept container: it goes on, and nothing more comes of it. Idempotent."""
        if not self.ended:
            self._drop()

    def _drop(self) -> None:
        self._close_plan_file()
        if self._connection is not None:
            self._connection.close()

    def trace(self) -> tuple[TraceRow, ...]:
        """The steps that were done until now, with their times."""
        return self.trace_later()()

    def trace_later(self) -> Callable[[], tuple[TraceRow, ...]]:
        """What makes the trace rows when they are asked for: most runs are never explained."""
        encoded, answers = self.encoded, tuple(self.outcome.answers)
        made: list[tuple[TraceRow, ...]] = []  # functools.cache would cost every launch 10 us

        def rows() -> tuple[TraceRow, ...]:
            if not made:
                made.append(rows_of(encoded, answers))
            return made[0]

        return rows

    def record(self) -> dict[int, bytes]:
        """The counters of the exit record by their keys; repeated keys are joined."""
        found: dict[int, bytes] = {}
        for answer in self.outcome.answers:
            if answer.kind == lib.KB_EXITED:
                for key, content in answer.record:
                    found[key] = found.get(key, b"") + content
        return found

    def _take_output(self) -> int:
        """How many bytes there were."""
        assert self._connection is not None
        taken = 0
        for stream in (1, 2):
            chunk = self._connection.take_output(stream)
            if not chunk:
                continue
            taken += len(chunk)
            if self._capture:
                self._keep(stream, chunk)
            if self._on_output:
                self._on_output(stream, chunk)
        return taken

    def _keep(self, stream: int, chunk: bytes) -> None:
        if self._captured < _MAX_CAPTURED:
            (self.outcome.out if stream == 1 else self.outcome.err).append(chunk)
            self._captured += len(chunk)
        else:
            self.outcome.truncated = True

    def _finish(self) -> None:
        assert self._connection is not None
        outcome = self.outcome
        self._close_plan_file()
        outcome.answers = self._connection.answers()
        first, last = outcome.answers[0], outcome.answers[-1]
        outcome.pid, outcome.started_ns, outcome.ended_ns = first.pid, first.now_ns, last.now_ns
        outcome.status = None if last.signal else last.status
        outcome.signal, outcome.user_us, outcome.system_us = last.signal, last.user_us, last.system_us
        outcome.largest = last.max_rss_kb * 1024
        self._connection.abandon()  # somebody may still write to the pipes
        self.ended = True
        self._monitor.give(self._connection)
        if last.kind == lib.KB_FAILED:
            error = start_error(self.encoded, last)
            outcome.failed_code = error.exit_code
            raise error

    def _gone(self) -> None:
        assert self._connection is not None
        answered = self._connection.answers()
        self._drop()
        if answered or not self._connection.unread:  # it may have begun, and nothing is to be done twice
            fate = "goes on" if self._life else "was ended with it"
            raise MonitorError(f"the monitor ended while the container ran; the container {fate}")
        if self._ending:
            self._never_begin()
            return
        self._connection = self._monitor.renew()
        self._send()

    def _close_plan_file(self) -> None:
        if self._plan_file >= 0:
            os.close(self._plan_file)
        self._plan_file = -1


def rows_of(encoded: EncodedPlan, answers: Sequence[Answer]) -> tuple[TraceRow, ...]:
    """The steps of a launch, of an end or of both, from what the monitor has said of them."""
    last = encoded.parts[0] + encoded.parts[1]
    traced = []
    for answer in answers:
        base = last if answer.kind == lib.KB_EXITED else 0
        traced += [(start, end, error, operation + base) for start, end, error, operation in answer.trace()]
    return trace_rows(encoded, traced)
