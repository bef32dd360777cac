"""The command line in tests: in this process, which saves the start of an interpreter, or as one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from kernelbox.cli import main

COMMAND = [sys.executable, "-m", "kernelbox.cli"]
Done = subprocess.CompletedProcess[str]


def kernelbox(*words: str) -> Done:
    """A command in this process, which saves the start of an interpreter."""
    with captured() as streams:
        code = main(words)
        sys.stdout.flush()
        sys.stderr.flush()
        return Done(words, code, *(file.read_text() for file in streams))


def as_a_process(*words: str, **options: object) -> Done:
    return subprocess.run([*COMMAND, *words], capture_output=True, text=True, **options)  # type: ignore[call-overload,no-any-return]


@contextmanager
def captured() -> Iterator[tuple[Path, Path]]:
    """Files which have all that is written to the descriptors 1 and 2 within the block."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as undo:
        files = (Path(folder, "out"), Path(folder, "err"))
        for number, name, path in ((1, "stdout", files[0]), (2, "stderr", files[1])):
            getattr(sys, name).flush()
            saved = os.dup(number)
            undo.callback(os.close, saved)
            undo.callback(os.dup2, saved, number)
            with path.open("wb") as file:
                os.dup2(file.fileno(), number)
            undo.callback(setattr, sys, name, getattr(sys, name))
            setattr(sys, name, undo.enter_context(open(number, "w", closefd=False)))
        yield files


def printed(*words: str) -> str:
    """What a command that goes well prints."""
    done = kernelbox(*words)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def refused(*words: str, code: int = 1) -> str:
    """The sentence of one that does not, and prints nothing."""
    done = kernelbox(*words)
    assert (done.returncode, done.stdout) == (code, ""), done
    return done.stderr.splitlines()[0].removeprefix("kernelbox: ")
