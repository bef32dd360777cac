"""What every step is: a frozen value that can describe itself and encode itself."""

from __future__ import annotations

from typing import ClassVar

from kernelbox.oci.value import frozen
from kernelbox.runtime.encoder import Encoder

__all__ = ["INSIDE", "LAST", "OUTSIDE", "Step"]

OUTSIDE = "outside"
INSIDE = "inside"
LAST = "after"


@frozen
class Step:
    """One thing that is done to start or to end a container.

    `describe()` is an infinitive phrase ("mount proc on /proc"), so that an error can say "could not ..." before it;
    `syscall` names the system calls; `encode` writes the operations, usually one, for the launcher."""

    syscall: ClassVar[str] = ""

    def describe(self) -> str:
        raise NotImplementedError

    def encode(self, out: Encoder) -> None:
        raise NotImplementedError
