"""Steps after the last process has ended, and after a launch that failed: each may run twice, or for what never was."""

from __future__ import annotations

from typing import ClassVar

from kernelbox.native import lib
from kernelbox.oci.value import frozen
from kernelbox.runtime.encoder import MAY_FAIL, Encoder
from kernelbox.runtime.steps.base import Step

__all__ = ["GiveNetworkNamespace", "Hold", "KillCgroup", "ReadCounter", "RemoveCgroup", "RemoveFile", "Sweep"]


@frozen
class KillCgroup(Step):
    """Whatever still runs in the v2 group is killed and waited for: with a shared pid namespace something may."""

    syscall: ClassVar[str] = "write poll"
    name: str
    parent: str
    optional: bool = False

    def describe(self) -> str:
        return "end every process of the group"

    def encode(self, out: Encoder) -> None:
        texts = (out.string(f"{self.name}/cgroup.kill"), out.string("1"))
        out.add(lib.KB_OP_WRITE, 1, lib.O_WRONLY, 0, at=self.parent, text=texts, flags=MAY_FAIL)
        flags = MAY_FAIL if self.optional else 0
        out.add(lib.KB_OP_WAIT_EMPTY, at=self.parent, text=(out.string(self.name),), flags=flags)


@frozen
class ReadCounter(Step):
    """A counter file into the exit record, under a number that the plan's maker understands."""

    syscall: ClassVar[str] = "openat read"
    path: str
    parent: str
    key: int

    def describe(self) -> str:
        return f"read {self.path.rpartition('/')[2]}"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_READ, self.key, at=self.parent, text=(out.string(self.path),), flags=MAY_FAIL)


@frozen
class GiveNetworkNamespace(Step):
    """Its counters into the record; back to the pool where `reusable` and nothing ever passed through it."""

    syscall: ClassVar[str] = "setns sendmsg recvmsg"
    descriptor: str
    key: int
    reusable: bool

    def describe(self) -> str:
        return "read the network counters"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_GIVE_NETNS, self.key, self.reusable, at=self.descriptor)


@frozen
class RemoveCgroup(Step):
    """The group's folder goes; `tries` are 0.2 ms apart, for what is ending at this moment."""

    syscall: ClassVar[str] = "unlinkat"
    name: str
    parent: str
    title: str
    tries: int = 5000
    flags: int = 0

    def describe(self) -> str:
        return f"remove the {self.title} group"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_RMDIR, self.tries, at=self.parent, text=(out.string(self.name),), flags=self.flags)


@frozen
class RemoveFile(Step):
    """A file goes."""

    syscall: ClassVar[str] = "unlinkat"
    name: str
    parent: str

    def describe(self) -> str:
        return f"remove {self.name}"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_UNLINK, at=self.parent, text=(out.string(self.name),))


@frozen
class Sweep(Step):
    """A folder is renamed into the trash, where the sweeper deletes it."""

    syscall: ClassVar[str] = "renameat"
    name: str
    parent: str
    trash: str

    def describe(self) -> str:
        return "hand the container's folder to the sweeper"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_SWEEP, at=self.parent, second=self.trash, text=(out.string(self.name),))


@frozen
class Hold(Step):
    """Keeps a descriptor open until everything is over: so the end of the process does not wait for a file system's."""

    descriptor: str

    def describe(self) -> str:
        return f"let go of {self.descriptor}"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_HOLD, at=self.descriptor)
