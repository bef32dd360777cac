"""`kernelbox top`: the processes of a container, as ps(1) shows them."""

from __future__ import annotations

import sys

from kernelbox.cli.caller import engine
from kernelbox.cli.table_layout import aligned
from kernelbox.cli.verbs import Given

__all__ = ["top"]

_NARROWEST = 20


def top(given: Given) -> int:
    reference, *arguments = given.words
    with engine() as box:
        titles, rows = box.containers.get(reference).top(" ".join(arguments) or "-ef")
    sys.stdout.write(aligned("".join("\t".join(row) + "\n" for row in (titles, *rows)), _NARROWEST))
    return 0
