"""Steps that open a terminal: one side for whoever watches, the other for the process."""

from __future__ import annotations

from typing import ClassVar

from kernelbox.native import lib
from kernelbox.oci.value import frozen
from kernelbox.runtime.encoder import MAY_FAIL, NONE, Encoder
from kernelbox.runtime.steps.base import Step

__all__ = ["OpenTerminal", "OpenTerminalInside"]

_SAME = (1 << 32) - 1


@frozen
class OpenTerminalInside(Step):
    """A new terminal for a container that runs, of the devpts below its `root`: by no link, whatever lies there.

    A child of the monitor looks: a file system there may be one that never answers. One that cannot even be killed
    costs the container its life, that is its first `process` and all that is in its v2 `group`."""

    syscall: ClassVar[str] = "clone3 openat2 ioctl"
    root: str
    process: str
    master: str
    slave: str
    owner: int
    size: tuple[int, int] = (0, 0)
    group: str = NONE

    def describe(self) -> str:
        return "open a terminal of the container"

    def encode(self, out: Encoder) -> None:
        numbers = (*self.size, out.slot(self.group) + 1)
        text = (out.string("dev/pts/ptmx"),)
        process, master, slave = self.process, self.master, self.slave
        out.add(lib.KB_OP_PTY_INSIDE, *numbers, at=self.root, second=process, third=master, to=slave, text=text)
        out.add(lib.KB_OP_CHOWN, self.owner, _SAME, at=self.slave, text=(out.string(""),), flags=MAY_FAIL)


@frozen
class OpenTerminal(Step):
    """A new terminal of the container's own devpts: `master` for whoever watches, `slave` for the process."""

    syscall: ClassVar[str] = "openat2 ioctl"
    devpts: str
    master: str
    slave: str
    owner: int
    group: int
    size: tuple[int, int] = (0, 0)
    """Rows and columns; no size where they are 0."""

    def describe(self) -> str:
        return "open a terminal"

    def encode(self, out: Encoder) -> None:
        flags = lib.O_RDWR | lib.O_NOCTTY
        out.add(lib.KB_OP_OPEN, flags, 0, 0, at=self.devpts, to=self.master, text=(out.string("ptmx"),))
        out.add(lib.KB_OP_PTY_PEER, *self.size, at=self.master, to=self.slave)
        out.add(lib.KB_OP_CHOWN, self.owner, self.group, at=self.slave, text=(out.string(""),), flags=MAY_FAIL)
