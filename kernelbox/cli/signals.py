"""Signals that this command gets, such as Ctrl-C, are meant for what runs in the container.

The first process of a pid namespace has no default actions: a signal that it does not handle does nothing to it
(pid_namespaces(7)). So where it has a handler, it gets the signal; where it has none, the container is ended, as the
default action would. Someone who asks three times means it.
"""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Any, Protocol

from kernelbox.cli.failures import say
from kernelbox.linux.signals import handles

__all__ = ["Relay"]

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_OTHERS = (signal.SIGUSR1, signal.SIGUSR2)
_PATIENCE = 3


class Target(Protocol):
    """What runs: a launch, or a container that one is attached to."""

    @property
    def pid(self) -> int: ...

    def kill(self, number: int = 9) -> None: ...


class Relay:
    """Passes signals on within its block. `killed_by` is the one for which the container was ended, if one was."""

    def __init__(self) -> None:
        self.killed_by: int | None = None
        self._launch: Target | None = None
        self._early = 0
        self._asked = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Relay:
        for number in (*_ENDING, *_OTHERS):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, or a shell's background job
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def attach(self, launch: Target) -> None:
        """From now on `launch`, whose first process runs, is who gets them; also the one that came too early."""
        self._launch = launch
        if self._early:
            self._receive(self._early, None)

    def _receive(self, number: int, _: FrameType | None) -> None:
        if self._launch is None:
            if self._early:
                raise KeyboardInterrupt
            self._early = number
        elif number in _OTHERS:
            self._launch.kill(number)
        else:
            self._end(self._launch, number)

    def _end(self, launch: Target, number: int) -> None:
        self._asked += 1
        if self._asked < _PATIENCE and handles(launch.pid, number):
            launch.kill(number)
            if self._asked == _PATIENCE - 1 and os.isatty(2):
                say("the command goes on; once more kills it")
        else:
            self.killed_by = number
            launch.kill(signal.SIGKILL)
