"""An exec as Docker's API shows it (`GET /exec/{id}/json`), and those of an engine that run."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kernelbox.oci.value import frozen

if TYPE_CHECKING:
    from kernelbox.engine.executing import Execution

__all__ = ["Asked", "Executions"]

_FIRST_LOOK = 64


@frozen
class Asked:
    """What was asked for: `user` as it was given, and which streams somebody has the other end of."""

    id: str
    container: str
    command: tuple[str, ...]
    user: str = ""
    tty: bool = False
    privileged: bool = False
    input: bool = False
    output: bool = True

    def document(self, *, running: bool, pid: int, exit_code: int | None) -> dict[str, object]:
        """ExecInspectResponse of the Docker Engine API. `pid` is the machine's number of its process, 0 where it was
        never started; `exit_code` None while nobody has been told."""
        program, *arguments = self.command
        return {
            "ID": self.id,
            "Running": running,
            "ExitCode": exit_code,
            "ProcessConfig": {
                "tty": self.tty,
                "entrypoint": program,
                "arguments": arguments,
                "privileged": self.privileged,
                "user": self.user,
            },
            "OpenStdin": self.input,
            "OpenStdout": self.output,
            "OpenStderr": self.output,
            "CanRemove": False,
            "ContainerID": self.container,
            "DetachKeys": "",
            "Pid": pid,
        }


class Executions:
    """Those that an engine has begun, by their ids. Safe for several threads.

    Whoever waits for one keeps it; those that nobody waits for are kept here, until they are found to have ended."""

    def __init__(self) -> None:
        self._every: weakref.WeakValueDictionary[str, Execution] = weakref.WeakValueDictionary()
        self._detached: dict[str, Execution] = {}
        self._next_look = _FIRST_LOOK
        self._mutex = threading.Lock()

    def add(self, execution: Execution) -> None:
        with self._mutex:
            self._every[execution.id] = execution
            if execution.asked.output:
                return
            self._detached[execution.id] = execution
            if len(self._detached) > self._next_look:
                self._forget_ended()
                self._next_look = max(_FIRST_LOOK, 2 * len(self._detached))

    def running(self, container: str) -> Sequence[str]:
        """The ids of those that run in the container with this id."""
        with self._mutex:
            self._forget_ended()
            every = list(self._every.values())
        return [each.id for each in every if each.asked.container == container and each.running]

    def _forget_ended(self) -> None:
        self._detached = {name: each for name, each in self._detached.items() if each.running}
