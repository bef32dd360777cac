"""How a command fails: one sentence on standard error, a hint below it, and Docker's exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from kernelbox.errors import KernelBoxError, KernelError

__all__ = ["BROKEN_PIPE", "INTERRUPTED", "exit_code_of", "say"]

INTERRUPTED = 130
"""128 and SIGINT."""
BROKEN_PIPE = 141
"""128 and SIGPIPE: what a shell shows of a program whose reader went away."""


def exit_code_of(command: Callable[[], int]) -> int:
    """Runs a command; what goes wrong on purpose, or at the system's edge, becomes a sentence and an exit code."""
    _open_standard_streams()
    _survive_other_encodings()
    try:
        code = command()
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        _forget_output()
        return BROKEN_PIPE
    except KernelBoxError as error:
        say(error.message, error.hint)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        about = f" {error.filename}" if error.filename is not None else ""
        say(KernelError(error.errno or 0, "use" if about else "go on", about.strip()).message)
        return KernelBoxError.exit_code
    return code


def say(sentence: str, hint: str | None = None) -> None:
    """On standard error; where nobody listens any more, nothing."""
    if sys.stderr is None:
        return
    text = f"kernelbox: {sentence}\n" + (f"  hint: {hint}\n" if hint else "")
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except BrokenPipeError:
        return


def _open_standard_streams() -> None:
    """Where a caller closed one, the next file that is opened would be taken for it, and written to."""
    while (descriptor := os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)) <= 2:
        pass
    os.close(descriptor)


def _survive_other_encodings() -> None:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _forget_output() -> None:
    """What is still buffered would be written at exit, fail again and be complained about."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
