"""One finding about the machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

from kernelbox.errors import KernelBoxError
from kernelbox.oci.value import frozen

__all__ = ["Check", "State", "degraded", "missing", "tried", "works"]

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
    """What an attempt finds; one that fails is the finding."""
    try:
        found = attempt()
        return (found,) if isinstance(found, Check) else tuple(found)
    except KernelBoxError as error:
        return (missing(name, error.message, error.hint or ""),)
    except OSError as error:
        about = f"{error.filename}: " if error.filename else ""
        return (missing(name, f"{about}{(error.strerror or str(error)).lower()}"),)
