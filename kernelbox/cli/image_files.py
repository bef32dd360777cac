"""`kernelbox load`, `save`, `import`, `image from-dir` and `image bootstrap`: images and files."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import BinaryIO

from kernelbox.cli.caller import engine
from kernelbox.cli.export import refuse_terminal, written_whole
from kernelbox.cli.verbs import Given
from kernelbox.errors import InvalidOption

__all__ = ["bootstrap", "from_dir", "import_", "load", "save"]


def load(given: Given) -> int:
    """Prints what was loaded, by its names or else by its id."""
    source: Path | BinaryIO = Path(given.text("input")) if given.text("input") else _standard_input("load")
    with engine() as box:
        for image in box.images.load(source, platform=given.text("platform")):
            lines = [f"Loaded image: {name}" for name in image.tags] or [f"Loaded image ID: {image.id}"]
            sys.stdout.write("\n".join(lines) + "\n")
    return 0


def save(given: Given) -> int:
    output = given.text("output")
    if not output:
        refuse_terminal("use -o FILE, or redirect the output")
    with engine() as box:
        if not output:
            box.images.save(given.words, sys.stdout.buffer)
            return 0
        with written_whole(output) as descriptor, os.fdopen(descriptor, "wb", closefd=False) as file:
            box.images.save(given.words, file)
    return 0


def import_(given: Given) -> int:
    """Prints the id of the new image."""
    file, name = (*given.words, "")[:2]
    source = _standard_input("import") if file == "-" else Path(file)
    with engine() as box:
        image = box.images.import_(
            source,
            name,
            changes=given.texts("change"),
            message=given.text("message"),
            platform=given.text("platform"),
        )
    sys.stdout.write(f"{image.id}\n")
    return 0


def from_dir(given: Given) -> int:
    """Prints the id of the new image."""
    with engine() as box:
        image = box.images.from_dir(*given.words, changes=given.texts("change"), message=given.text("message"))
    sys.stdout.write(f"{image.id}\n")
    return 0


def bootstrap(given: Given) -> int:
    """Prints the id of the new image."""
    with engine() as box:
        image = box.images.bootstrap(*given.words, mirror=given.text("mirror"), packages=given.texts("packages"))
    sys.stdout.write(f"{image.id}\n")
    return 0


def _standard_input(verb: str) -> BinaryIO:
    """Raises InvalidOption where a person sits at it."""
    if sys.stdin is None or sys.stdin.isatty():
        raise InvalidOption(f"{verb} reads an archive, and standard input is a terminal", hint=f"{verb} -i FILE")
    return sys.stdin.buffer
