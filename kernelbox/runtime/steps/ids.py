"""The step that makes other ids than the monitor's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from kernelbox.native import lib
from kernelbox.oci.runtime_spec import IdMapping
from kernelbox.oci.value import frozen
from kernelbox.runtime.encoder import Encoder
from kernelbox.runtime.steps.base import Step

__all__ = ["MakeUserNamespace"]


@frozen
class MakeUserNamespace(Step):
    """A user namespace below the monitor's, as the descriptor `to`; the host's ids of the maps are the monitor's."""

    syscall: ClassVar[str] = "fork unshare openat write"
    users: tuple[IdMapping, ...]
    groups: tuple[IdMapping, ...]
    to: str

    def describe(self) -> str:
        return "make a user namespace"

    def encode(self, out: Encoder) -> None:
        out.add(lib.KB_OP_USERNS, to=self.to, text=(out.string(_text(self.users)), out.string(_text(self.groups))))


def _text(mappings: Sequence[IdMapping]) -> str:
    """What to write into /proc/PID/uid_map (user_namespaces(7))."""
    return "".join(f"{each.container_id} {each.host_id} {each.size}\n" for each in mappings)
