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
_DEBUG = "KERNELBOX_DEBUG"


def exit_code_of(command: Callable[[], int]) -> int:
    """Runs a command; what goes wrong becomes a sentence and an exit code."""
    _open_standard_streams()
    _survive_other_encodings()
    try:
        return _exit_code_of(command)
    finally:
        _forget_what_cannot_be_written()


def _exit_code_of(command: Callable[[], int]) -> int:
    try:
        code = command()
        sys.stdout.flush()
    except BrokenPipeError:
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
    except Exception as error:
        _say_fault(error)
        return KernelBoxError.exit_code
    return code


def say(sentence: str, hint: str | None = None) -> None:
    """On standard error; where that cannot be written, nothing."""
    text = f"kernelbox: {sentence}\n" + (f"  hint: {hint}\n" if hint else "")
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        return


def _say_fault(error: Exception) -> None:
    import traceback  # no launch needs it

    what = traceback.format_exception_only(error)[-1].strip()
    hint = f"run it again with {_DEBUG}=1, and report what that prints"
    if os.environ.get(_DEBUG):
        say("".join(traceback.format_exception(error)).rstrip())
        hint = "please report it with the lines above"
    say(f"this is a fault of kernelbox itself: {what}", hint)


def _open_standard_streams() -> None:
    """Where a caller closed one, the next file that is opened would be taken for it, and written to."""
    while (descriptor := os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)) <= 2:
        pass
    os.close(descriptor)
    # Python has None for them
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _survive_other_encodings() -> None:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _forget_what_cannot_be_written() -> None:
    """What is still buffered would be written at exit, fail again, and be complained about or change the exit code."""
    for descriptor, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, descriptor)
            os.close(null)
