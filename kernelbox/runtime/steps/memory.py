"""The step that shares the memory of another container."""

from __future__ import annotations

from typing import ClassVar

from kernelbox.native import lib
from kernelbox.oci.value import frozen
from kernelbox.runtime.encoder import Encoder
from kernelbox.runtime.steps.base import Step

__all__ = ["ShareMemory"]


@frozen
class ShareMemory(Step):
    """A copy `to` of the mount of /dev/shm in another container that runs, where that is a tmpfs of its own. A child of
    the monitor fetches it from the other one's mount namespace.

    `ids` are the machine's first user and group of this container, and how many it has: the other one's are shown as
    these, whichever it has by then. (0, 0, 0): none is changed."""

    syscall: ClassVar[str] = "clone3 setns openat2 open_tree mount_setattr"
    container: str
    to: str
    ids: tuple[int, int, int] = (0, 0, 0)

    def describe(self) -> str:
        return f"share the memory (/dev/shm) of {self.container}"

    def encode(self, out: Encoder) -> None:
        users, groups, count = self.ids
        token = out.string(bytes.fromhex(self.container))
        process = f"process of the memory {self.to}"
        out.add(lib.KB_OP_SHARE_MEMORY, count, users, groups, second=process, to=self.to, text=(token,))
