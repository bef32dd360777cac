"""The one exception tree.

    KernelBoxError                     everything kernelbox raises on purpose
    ├── InvalidOption                  an option, a value or a combination that cannot be meant   (also a ValueError)
    ├── NotFound                       a named thing that is not there
    │   ├── ImageNotFound
    │   ├── BlobNotFound               content that the store, or a registry, does not have
    │   ├── ContainerNotFound
    │   └── VolumeNotFound
    ├── Conflict                       not in the state that the container is in: start of a running one
    │   └── NameInUse                  a name that already belongs to another container
    ├── InvalidContent                 content from elsewhere is not what it says it is
    ├── RegistryError                  a registry refused, answered nonsense or could not be reached
    │   └── Unauthorized               ... or wants to know who asks
    ├── UntrustedImage                 an image that nobody who is trusted has signed, or that the policy rejects
    ├── NotSupported                   this machine cannot do it; the hint says what would mend it
    ├── KernelError                    a system call refused; carries errno                       (also an OSError)
    ├── StoreError                     the store cannot be read or written
    ├── MonitorError                   the monitor process could not be started or has gone
    ├── StartError                     a launch stopped at one step of its plan
    │   ├── CommandNotFound            the program is not in the container                        (exit code 127)
    │   └── CommandNotExecutable       it is there and cannot be run                              (exit code 126)
    ├── RunFailed                      `run.check()`: the command ended with a non-zero exit code
    │   ├── OutOfMemory                ... because the kernel killed it for want of memory
    │   └── RunTimeout                 ... because its `timeout` passed
    └── RunInterrupted                 the user interrupted; the container was killed             (also a
    KeyboardInterrupt)

Every error is a sentence: what failed, on what, why; `hint` is what to do about it. `exit_code` is what the command
line exits with (Docker's meaning: 125 the engine, 126 not executable, 127 not found), `status` what an API answers.
"""

from __future__ import annotations

import os
from typing import ClassVar


class KernelBoxError(Exception):
    """Base of all errors: `message` says what failed, `hint` the way out."""

    exit_code: int = 125
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} (hint: {self.hint})" if self.hint else self.message


def reason_of(error: OSError) -> str:
    """Why a system call refused, in the words of strerror(3), to go on a sentence with."""
    return (error.strerror or str(error)).lower()


class InvalidOption(KernelBoxError, ValueError):
    """An option, a value or a combination that cannot be meant."""

    status = 400


class NotFound(KernelBoxError, LookupError):
    """A named thing that is not there."""

    status = 404


class ImageNotFound(NotFound):
    """No image of this name."""


class BlobNotFound(NotFound):
    """Content of this digest is not there."""


class ContainerNotFound(NotFound):
    """No container of this name or id."""


class VolumeNotFound(NotFound):
    """No volume of this name."""


class Conflict(KernelBoxError):
    """It cannot be done in the state that the container is in; `status_found` is Docker's word for that state."""

    exit_code = 1
    status = 409

    def __init__(self, message: str, *, hint: str | None = None, status_found: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status_found = status_found


class NameInUse(Conflict):
    """The name already belongs to another container."""

    exit_code = 125


class InvalidContent(KernelBoxError, ValueError):
    """What came from elsewhere is not what it says it is, or not what its format allows: content whose digest or size
    differs, a damaged archive, a manifest that leads nowhere. Nothing of it is kept."""

    status = 400


class RegistryError(KernelBoxError):
    """A registry refused, answered nonsense or could not be reached. `http_status` is what it answered, 0 where it did
    not; `code` the word of the distribution specification for it ("MANIFEST_UNKNOWN"), or nothing."""

    status = 502

    def __init__(self, message: str, *, hint: str | None = None, http_status: int = 0, code: str = "") -> None:
        super().__init__(message, hint=hint)
        self.http_status = http_status
        self.code = code


class Unauthorized(RegistryError):
    """The registry wants to know who asks, or does not let this one do it."""

    status = 401


class UntrustedImage(KernelBoxError):
    """An image that is not signed by whom it has to be, or that the policy does not accept. It is not called anything
    here."""

    status = 403


class NotSupported(KernelBoxError):
    """This machine cannot do it."""

    status = 501


class KernelError(KernelBoxError, OSError):
    """A system call refused. `errno` and `strerror` are the kernel's; `operation` and `thing` say what was tried."""

    def __init__(self, number: int, operation: str, thing: str = "", *, hint: str | None = None) -> None:
        self.operation = operation
        self.thing = thing
        reason = os.strerror(number)
        what = f"{operation} {thing}".rstrip()
        KernelBoxError.__init__(self, f"could not {what}: {reason[:1].lower()}{reason[1:]}", hint=hint)
        self.errno = number
        self.strerror = reason


class StoreError(KernelBoxError):
    """The store cannot be read or written."""


class MonitorError(KernelBoxError):
    """The monitor process could not be started or has gone."""


class StartError(KernelBoxError):
    """A launch stopped at one step of its plan; nothing of the container is left.

    `step` is the step's number (from 1) of `steps`, `errno` the kernel's reason."""

    def __init__(self, message: str, *, hint: str | None = None, errno: int = 0, step: int = 0, steps: int = 0) -> None:
        super().__init__(message, hint=hint)
        self.errno = errno
        self.step = step
        self.steps = steps


class CommandNotFound(StartError):
    """The program is not in the container."""

    exit_code = 127
    status = 400


class CommandNotExecutable(StartError):
    """The program is in the container and cannot be run."""

    exit_code = 126
    status = 400


class RunFailed(KernelBoxError):
    """The command ended with a non-zero exit code; `result` is the whole RunResult."""

    def __init__(self, message: str, *, result: object, exit_code: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.result = result
        self.exit_code = exit_code


class OutOfMemory(RunFailed):
    """The kernel killed the command: it reached its memory limit, or the machine had no memory left."""


class RunTimeout(RunFailed):
    """The command was killed because its `timeout` passed."""


class RunInterrupted(KernelBoxError, KeyboardInterrupt):
    """The user interrupted the run; the whole container was killed. `result` is what there was until then."""

    exit_code = 130

    def __init__(self, message: str, *, result: object = None) -> None:
        super().__init__(message)
        self.result = result
