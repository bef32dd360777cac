"""Why a container or an exec could not be started, in words, from what the monitor has said of its plan."""

from __future__ import annotations

import errno
import os

from kernelbox.errors import CommandNotExecutable, CommandNotFound, StartError
from kernelbox.runtime.connection import Answer
from kernelbox.runtime.plan import EncodedPlan
from kernelbox.runtime.steps.process import Exec

__all__ = ["start_error"]

_NOT_FOUND = (errno.ENOENT, errno.ENOTDIR)
_NOT_EXECUTABLE = (errno.EACCES, errno.ENOEXEC, errno.EISDIR, errno.ELOOP, errno.ETXTBSY, errno.EINVAL, errno.ELIBBAD)


def start_error(encoded: EncodedPlan, answer: Answer) -> StartError:
    """What an answer KB_FAILED means: the step, its thing, the reason and the way out."""
    reason = os.strerror(answer.error).lower()
    words = " ".join(content.decode(errors="replace").strip() for _, content in answer.record)
    if answer.error == errno.ETIMEDOUT and (late := _late(_step_of(encoded, answer))):
        return late
    if answer.op < 0:
        hint = "the memory limit may be too small to start in" if answer.error == errno.EINTR else None
        return StartError(f"the container could not be started: {reason}", errno=answer.error, hint=hint)
    number = encoded.owners[answer.op]
    step = encoded.plan.steps[number]
    count = len(encoded.plan.outside) + len(encoded.plan.inside)
    if isinstance(step, Exec):
        return _exec_error(step, answer.error, reason, number + 1, count)
    detail = f" ({words})" if words else ""
    message = f"step {number + 1} of {count}: could not {encoded.describe(step)}: {reason}{detail}"
    return StartError(message, errno=answer.error, step=number + 1, steps=count)


def _late(step: str | None) -> StartError | None:
    """Where the watchdog had to end the child of this step."""
    if step == "OpenTerminalInside":
        return StartError(
            "could not open a terminal of the container: what is mounted on its /dev/pts did not answer within 5 s",
            errno=errno.ETIMEDOUT,
            hint="exec works without a terminal; where nothing else helped the container was killed",
        )
    if step not in (None, "NewNamespaces", "NewProcessBeside"):
        return None
    who = "the process" if step == "NewProcessBeside" else "the container"
    return StartError(
        f"{who} was killed: it did not come so far as to run its program within 5 s",
        errno=errno.ETIMEDOUT,
        hint="its program may be on a file system that does not answer, or a process inside has stopped it",
    )


def _step_of(encoded: EncodedPlan, answer: Answer) -> str | None:
    """The name of the step that failed."""
    return type(encoded.plan.steps[encoded.owners[answer.op]]).__name__ if answer.op >= 0 else None


def _exec_error(step: Exec, number: int, reason: str, at: int, count: int) -> StartError:
    program = step.arguments[0] if len(step.arguments[0]) < 200 else f"{step.arguments[0][:200]}..."
    if number in _NOT_FOUND:
        where = "" if "/" in program else f" in {', '.join(path.rpartition('/')[0] or '/' for path in step.candidates)}"
        return CommandNotFound(f"could not run {program}: not found{where}", errno=number, step=at, steps=count)
    if number in _NOT_EXECUTABLE:
        hint = "it is built for another kind of machine, or is no program at all" if number == errno.ENOEXEC else None
        return CommandNotExecutable(f"could not run {program}: {reason}", hint=hint, errno=number, step=at, steps=count)
    return StartError(f"could not run {program}: {reason}", errno=number, step=at, steps=count)
