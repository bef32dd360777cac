"""One finding about the machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Literal

from kernelbox.errors import KernelBoxError, reason_of
from kernelbox.oci.value import frozen

__all__ = ["Check", "State", "degraded", "missing", "nearest_folder", "tried", "works"]

State = Literal["works", "degraded", "missing"]


@frozen
class Check:
    """`detail` is what was found, for "degraded" what happens instead; `mend` is the command or change that helps, or
    empty."""

    name: str
    state: State
    detail: str
    mend: str = ""


def works(name: str, detail: str) -> Check:
    return Check(name, "works", detail)


def degraded(name: str, detail: str, mend: str = "") -> Check:
    return Check(name, "degraded", detail, mend)


def missing(name: str, detail: str, mend: str = "") -> Check:
    return Check(name, "missing", detail, mend)


def tried(name: str, attempt: Callable[[], Check | Iterable[Check]]) -> tuple[Check, ...]:
    """What an attempt finds; one that fails is the finding, beside what it had found until then."""
    found: list[Check] = []
    try:
        result = attempt()
        for check in (result,) if isinstance(result, Check) else result:
            found.append(check)
    except KernelBoxError as error:
        found.append(missing(name, error.message, error.hint or ""))
    except OSError as error:
        about = f"{error.filename}: " if error.filename else ""
        found.append(missing(name, f"{about}{reason_of(error)}"))
    except TimeoutExpired as error:
        found.append(missing(name, f"it was tried for {error.timeout:g} s, without an answer"))
    except ValueError as error:  # a file of the kernel that does not hold what it should
        found.append(missing(name, f"it could not be found out: {error}"))
    return tuple(found)


def nearest_folder(path: Path) -> Path:
    """`path`, or the first folder above it that is there and that this user may see."""
    # Path.is_dir() raises where a folder above is closed
    return next(each for each in (path, *path.parents) if os.path.isdir(each))
