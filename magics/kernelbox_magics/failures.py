"""What a cell says when it fails: a sentence or two, instead of the frames of our own library.

The exception is what the engine raises, so programs can catch it. The whole traceback is one `%tb` away, or is shown
at once with `%config KernelBox.short_errors = False`.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from kernelbox.engine.inspect import signal_name
from kernelbox.errors import CommandNotFound, KernelBoxError, OutOfMemory, RunFailed, RunTimeout

_NOT_FOUND = re.compile(r"(?:^|: |\s)([^\s:'\"]+): (?:command )?not found\s*$", re.MULTILINE)
_COMMAND = re.compile(r"\bkernelbox (?:container )?(?=[a-z-])")
_FOLDERS = ("usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin")


def sentences(error: BaseException) -> list[str]:
    """The lines that stand for an error: its message, and what to do about it."""
    message = error.message if isinstance(error, KernelBoxError) else str(error)
    lines = [f"{type(error).__name__}: {message}"]
    if isinstance(error, KernelBoxError) and error.hint:
        lines.append(f"hint: {as_magic(error.hint)}")
    return lines


def as_magic(text: str) -> str:
    """What a shell would be told to type, as a notebook does."""
    return _COMMAND.sub("%container ", text)


def shorten(error: BaseException, shell: InteractiveShell) -> None:
    """Have IPython show `error` as its sentences; in a later cell, as `%tb` is, with all its frames."""
    cell = shell.execution_count

    def render() -> list[str]:
        if shell.execution_count == cell:
            return sentences(error)
        return list(shell.InteractiveTB.structured_traceback(type(error), error, error.__traceback__))

    error._render_traceback_ = render  # type: ignore[attr-defined]  # what IPython looks for


def exec_failure(result: Any, container: Any, command: Sequence[str]) -> RunFailed | None:
    """The same for a command that was run in a kept container."""
    if not result.exit_code:
        return None
    what = f"{command[0]} in {container.name}"
    if result.timed_out:
        return RunTimeout(f"{what} was killed: its timeout passed", result=result, exit_code=result.exit_code)
    how = f"was ended by {signal_name(result.signal)}" if result.signal else f"ended with exit code {result.exit_code}"
    hint = _hint_of_code(result, container.record.image)
    return RunFailed(f"{what} {how}", result=result, exit_code=result.exit_code, hint=hint)


def failure(result: Any) -> RunFailed | None:
    """What `result.check()` raises, with what helps to find the mistake; None for a command that went well."""
    try:
        result.check()
    except RunFailed as error:
        error.hint = _hint(error, result)
        return error
    return None


def explain_start(error: KernelBoxError, image: str, command: list[str] | None) -> None:
    """Give an error that came before the command ran the hint which only a look into the image gives."""
    if isinstance(error, CommandNotFound) and command and not error.hint:
        error.hint = _did_you_mean(command[0], image)


def _hint(error: RunFailed, result: Any) -> str | None:
    if isinstance(error, OutOfMemory):
        return (error.hint or "give it more with memory=").replace("memory=", "--memory")
    if isinstance(error, RunTimeout):
        return "give it more with --timeout"
    return _hint_of_code(result, result.image) or error.hint


def _hint_of_code(result: Any, image: str) -> str | None:
    if result.exit_code == 127:
        missing = _NOT_FOUND.findall(result.stderr)
        return _did_you_mean(missing[-1], image) if missing else "127 means that a program was not found"
    if result.exit_code == 126:
        return "126 means that a program was found but is not executable: see its mode (chmod +x) and its first line"
    if result.exit_code == 125:
        return "125 is what container engines exit with when they fail themselves"
    return None


def _did_you_mean(word: str, image: str) -> str | None:
    near = difflib.get_close_matches(word.rpartition("/")[2], sorted(set(_programs(image))), n=3, cutoff=0.7)
    return f"did you mean {' or '.join(near)}?" if near else f"there is no program {word} in {image}"


def _programs(image: str) -> Iterator[str]:
    """The names of what an image can run, as far as its folders can be read from here."""
    kind, _, path = image.partition(":")
    roots = {"host": "/", "dir": path, "bundle": f"{path}/rootfs"}
    for folder in _FOLDERS if kind in roots else ():
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            yield from os.listdir(Path(roots[kind]) / folder)
