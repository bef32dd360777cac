"""`kernelbox export`: all files of a container as a tar archive."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator

from kernelbox.cli.caller import engine
from kernelbox.cli.streams import write
from kernelbox.cli.verbs import Given
from kernelbox.errors import InvalidOption

__all__ = ["export", "refuse_terminal", "write_all", "written_whole"]


def export(given: Given) -> int:
    output = given.text("output")
    if not output:
        refuse_terminal("use -o FILE, or redirect the output")
    with engine() as box:
        container = box.containers.get(given.words[0])
        with (
            written_whole(output) if output else contextlib.nullcontext(1) as descriptor,
            contextlib.closing(container.export()) as pieces,
        ):
            write_all(descriptor, pieces)
    return 0


def write_all(descriptor: int, pieces: Iterator[bytes]) -> None:
    """The pieces of an archive, to the descriptor."""
    for piece in pieces:
        write(descriptor, piece)


def refuse_terminal(hint: str) -> None:
    """Raises InvalidOption where our output is a terminal, which an archive would upset."""
    if os.isatty(1):
        raise InvalidOption("an archive is not written to a terminal", hint=hint)


@contextlib.contextmanager
def written_whole(path: str) -> Iterator[int]:
    """A descriptor of the file, which appears under its name when all is in it; what is no file is written to."""
    with contextlib.suppress(FileNotFoundError):
        kind = os.stat(path).st_mode
        if stat.S_ISDIR(kind):
            raise InvalidOption(f"--output: {path} is a folder")
        if not stat.S_ISREG(kind):
            descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOCTTY)
            try:
                yield descriptor
            finally:
                os.close(descriptor)
            return
    real = os.path.realpath(path)
    beside = f"{real}.{secrets.token_hex(4)}.new"
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
        os.replace(beside, real)
    except BaseException:
        os.unlink(beside)
        raise
    finally:
        os.close(descriptor)
