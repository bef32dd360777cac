"""`kernelbox commit`: an image of a container and what it has changed."""

from __future__ import annotations

import sys

from kernelbox.cli.caller import engine
from kernelbox.cli.verbs import Given

__all__ = ["commit"]


def commit(given: Given) -> int:
    """Prints the id of the new image."""
    name, repository = (*given.words, "")[:2]
    with engine() as box:
        image = box.containers.get(name).commit(
            repository,
            message=given.text("message"),
            author=given.text("author"),
            changes=given.texts("change"),
            pause=bool(given.values.get("pause", True)),
        )
    sys.stdout.write(f"{image.id}\n")
    return 0
