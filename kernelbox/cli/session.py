"""One run from a shell: streams or a terminal, signals, the exit code."""

from __future__ import annotations

import errno
from typing import IO

from kernelbox.cli.deadline import Deadline
from kernelbox.cli.failures import BROKEN_PIPE, say
from kernelbox.cli.request import Request
from kernelbox.cli.signals import Relay
from kernelbox.cli.streams import Output, standard_input
from kernelbox.engine.engine import Engine
from kernelbox.engine.job import Run, TerminalRun
from kernelbox.engine.result import RunResult
from kernelbox.errors import KernelError, OutOfMemory, RunFailed, RunTimeout
from kernelbox.runtime.trace import TraceRow

__all__ = ["Session", "say_what_killed"]


class Session:
    """`run` once. `streams` are the descriptors that the container's output and errors are written to."""

    def __init__(self, box: Engine, request: Request, streams: tuple[int, int] = (1, 2)) -> None:
        self._box = box
        self._request = request
        self._streams = streams
        self._run: Run | None = None

    def trace(self) -> tuple[TraceRow, ...]:
        """The steps that were done until now, also those of a launch that failed."""
        return self._run.launch.trace() if self._run else ()

    def run(self) -> int:
        """Returns the exit code. Raises as Engine.begin and Run.wait do, KernelError where output cannot be written."""
        with Relay() as relay:
            result, failure = self._on_terminal(relay) if self._request.options.tty else self._on_streams(relay)
        for note in result.limits.notes:
            say(f"note: {note}")
        if failure is not None:
            if failure.errno == errno.EPIPE:
                return BROKEN_PIPE
            raise failure if isinstance(failure, KernelError) else KernelError(failure.errno or 0, "write the output")
        if relay.killed_by and result.signal:
            return 128 + relay.killed_by
        say_what_killed(result)
        return result.exit_code

    def _on_streams(self, relay: Relay) -> tuple[RunResult, OSError | None]:
        request, output = self._request, Output(self._streams)
        if request.options.interactive:
            with standard_input() as given:
                run = self._begun(output, given)
        else:
            run = self._begun(output, None)
        relay.attach(run.launch)
        with Deadline(run.launch, request.options.timeout) as deadline:
            output.attach(run.launch)
            result = run.wait(None)
        return deadline.judged(result), output.failure

    def _begun(self, output: Output, given: IO[bytes] | None) -> Run:
        request = self._request
        run = self._run = self._box.begin(
            request.image, request.command, request.options, input=given, on_output=output, capture=False
        )
        with run.starting():
            run.launch.wait_started()
        return run

    def _on_terminal(self, relay: Relay) -> tuple[RunResult, OSError | None]:
        from kernelbox.cli import terminal

        options = self._request.options
        if options.interactive:
            terminal.check_keyboard()
        run = self._run = self._box.begin(self._request.image, self._request.command, options, adopt=False)
        screen, failure = TerminalRun(run), None
        relay.attach(run.launch)
        with Deadline(run.launch, options.timeout) as deadline:
            try:
                with terminal.window_size_kept(screen.descriptor):
                    terminal.attend(screen.descriptor, self._streams[0], keyboard=options.interactive)
            except OSError as error:
                failure = error
                screen.kill()
            result = screen.wait()
        return deadline.judged(result), failure


def say_what_killed(result: RunResult) -> None:
    """One sentence on standard error, where it was not the command itself that ended it."""
    try:
        result.check()
    except OutOfMemory as error:
        say(error.message, (error.hint or "").replace("memory=", "--memory"))
    except RunTimeout as error:
        say(error.message, "give it more with --timeout")
    except RunFailed:
        return  # that is between the command and its caller
