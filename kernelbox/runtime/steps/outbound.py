"""Steps of a network namespace with a way out: a program carries what is sent there to sockets of an ordinary user."""

from __future__ import annotations

from typing import ClassVar

from kernelbox.native import lib
from kernelbox.oci.value import frozen
from kernelbox.runtime.encoder import Encoder
from kernelbox.runtime.steps.base import Step

__all__ = ["NETNS_WORD", "EndWayOut", "OpenWayOut", "TieWayOut"]

NETNS_WORD = "@NETNS@"
"""Stands for the path of the namespace among the program's arguments."""


@frozen
class OpenWayOut(Step):
    """A network namespace, as the descriptor `to`, and a program that has made its way out when it writes something.
    `keeper` is the process that ends the program, `socket` how that is told when."""

    syscall: ClassVar[str] = "fork unshare execve"
    path: str
    arguments: tuple[str, ...]
    socket: str
    keeper: str
    to: str

    def describe(self) -> str:
        return f"make a network namespace with a way out by {self.arguments[0]}"

    def encode(self, out: Encoder) -> None:
        words = (self.path, *self.arguments)
        texts = (out.strings(words),)
        out.add(lib.KB_OP_OUTBOUND, len(words), second=self.socket, third=self.keeper, to=self.to, text=texts)


@frozen
class TieWayOut(Step):
    """From here on it ends with the container's first process, whatever becomes of the monitor."""

    syscall: ClassVar[str] = "pidfd_open sendmsg"
    socket: str

    def describe(self) -> str:
        return "tie the way out of its network to the container"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_OUTBOUND_TIE, at=self.socket)


@frozen
class EndWayOut(Step):
    """Waits until nothing is left of it; nothing where a monitor that was killed had started it."""

    syscall: ClassVar[str] = "poll waitid"
    socket: str
    keeper: str

    def describe(self) -> str:
        return "wait for the end of the way out"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_OUTBOUND_END, at=self.keeper, second=self.socket)
