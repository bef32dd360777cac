"""`kernelbox diff`: what a container has changed of its image's files."""

from __future__ import annotations

import sys

from kernelbox.cli.caller import engine
from kernelbox.cli.verbs import Given

__all__ = ["diff"]


def diff(given: Given) -> int:
    with engine() as box:
        for change in box.containers.get(given.words[0]).diff():
            sys.stdout.write(f"{change.kind} {change.path}\n")
    return 0
