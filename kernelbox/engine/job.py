"""A run under way: waited for in the foreground, or by a thread of its own in the background."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from collections.abc import Callable, Iterator

from kernelbox.engine import history
from kernelbox.engine.image import Image
from kernelbox.engine.preparation import Prepared
from kernelbox.engine.result import RunResult, exit_code_of, usage_of
from kernelbox.engine.traffic import traffic_of
from kernelbox.errors import KernelBoxError, KernelError, RunInterrupted
from kernelbox.linux import cgroups
from kernelbox.runtime.compile import NETWORK_KEY
from kernelbox.runtime.launch import Launch

__all__ = ["Job", "Run", "TerminalRun"]


class Run:
    """One launch and its result. `finish` is called once, when no process of the container is left."""

    def __init__(self, prepared: Prepared, image: Image, launch: Launch, finish: Callable[[], None]) -> None:
        self.prepared = prepared
        self.launch = launch
        self._image = image
        self._finish = finish
        self._started_at = time.time()
        self._begun = time.monotonic()

    def wait(self, timeout: float | None) -> RunResult:
        """Waits for the end; kills the container when `timeout` seconds have passed or the user interrupts.

        Raises RunInterrupted with the result so far, and what `Launch.wait` raises."""
        try:
            try:
                if not self.launch.wait(timeout):
                    self.launch.outcome.timed_out = True
                    self.launch.kill()
                    self.launch.wait()
            except KeyboardInterrupt:
                self.launch.end()
                history.last = self.result()
                name = self.prepared.info.name
                raise RunInterrupted(f"interrupted: the container {name} was killed", result=history.last) from None
            except BaseException:  # of on_output; where the launch itself failed there is nothing left to end
                self.launch.end()
                raise
        finally:
            self._finish()
        history.last = self.result()
        return history.last

    @contextlib.contextmanager
    def starting(self) -> Iterator[None]:
        """Around what sends the request or waits for the start. Where that fails or is interrupted the container ends,
        however far it had come, before its name and its ids are given back."""
        try:
            yield
        except KernelBoxError:  # the launch has ended with it
            self._finish()
            raise
        except BaseException:
            self._abandon()
            raise

    def _abandon(self) -> None:
        try:
            with contextlib.suppress(KernelBoxError):
                self.launch.end()
        finally:
            if self.launch.terminal >= 0:
                os.close(self.launch.terminal)
            self._finish()

    def result(self) -> RunResult:
        """The result of a launch that has ended."""
        outcome, prepared = self.launch.outcome, self.prepared
        record = self.launch.record()
        files = {counter.key: record[key] for key, counter in enumerate(prepared.target.counters) if key in record}
        counters = cgroups.parse(files)
        wall = (outcome.ended_ns - outcome.started_ns) / 1e9
        network = traffic_of(record[NETWORK_KEY]) if NETWORK_KEY in record else None
        process = prepared.config.process
        return RunResult(
            exit_code=exit_code_of(outcome.status, outcome.signal),
            signal=outcome.signal or None,
            oom_killed=bool(counters.oom_kills),
            timed_out=outcome.timed_out,
            stdout_bytes=b"".join(outcome.out),
            stderr_bytes=b"".join(outcome.err),
            duration=time.monotonic() - self._begun,
            command=process.args if process else (),
            image=self._image.name,
            image_digest=self._image.digest,
            container=prepared.info,
            limits=prepared.limits,
            usage=usage_of(counters, network, wall, (outcome.user_us, outcome.system_us), outcome.largest),
            started_at=self._started_at,
            trace_rows=self.launch.trace_later(),
            truncated=outcome.truncated,
        )


class Job:
    """A run in the background. `result` is None until it has ended; an error of the start is raised by `wait`."""

    def __init__(self, run: Run, timeout: float | None) -> None:
        self.container = run.prepared.info
        self.result: RunResult | None = None
        self._run = run
        self._error: BaseException | None = None
        self._thread = threading.Thread(
            target=self._wait, args=(timeout,), name=f"kernelbox {self.container.name}", daemon=True
        )
        try:
            with run.starting():
                run.launch.send()
                self._thread.start()
        except RuntimeError as error:  # Python's word for EAGAIN
            raise KernelError(errno.EAGAIN, "start a thread that waits for", self.container.name) from error

    def _wait(self, timeout: float | None) -> None:
        try:
            self.result = self._run.wait(timeout)
        except BaseException as error:
            self._error = error

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return not self._thread.is_alive()

    def wait(self, timeout: float | None = None) -> RunResult:
        """The result. Raises TimeoutError when `timeout` seconds pass first; the container goes on."""
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise TimeoutError(f"{self.container.name} has not ended within {timeout} s")
        if self._error is not None:
            raise self._error
        assert self.result is not None
        return self.result

    def kill(self, signal: int = 9) -> None:
        """Sends a signal to the first process; with 9 everything in the container ends. Does nothing after the end."""
        if not self.done:
            self._run.launch.kill(signal)


class TerminalRun:
    """A run whose terminal is the caller's: `descriptor` is its master side, and closed by `wait`."""

    def __init__(self, run: Run) -> None:
        self.container = run.prepared.info
        self._run = run
        with run.starting():
            run.launch.wait_started()
        self.descriptor = run.launch.terminal

    def wait(self, timeout: float | None = None) -> RunResult:
        """As `Run.wait`. Read the terminal until it ends (EIO) first: a program may be waiting for its output to go."""
        try:
            return self._run.wait(timeout)
        finally:
            os.close(self.descriptor)

    def kill(self, signal: int = 9) -> None:
        """Sends a signal to the first process."""
        self._run.launch.kill(signal)
