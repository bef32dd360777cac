"""Who calls the verbs: this program, or another one that has an engine and wants to be told what went wrong.

A notebook calls them in its own process: `with calling(Caller(box)):` around a verb hands it the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from kernelbox.cli.failures import say

if TYPE_CHECKING:
    from kernelbox.engine.engine import Engine
    from kernelbox.errors import KernelBoxError
    from kernelbox.registry.progress import Progress

__all__ = ["Caller", "calling", "engine", "note", "tell"]


class Caller:
    """A program that calls verbs. `notes` is what they say beside what they print; `failures` is what could not be done
    where one verb was to do something to several containers, and is the caller's to raise."""

    def __init__(self, box: Engine) -> None:
        self.box = box
        self.notes: list[str] = []
        self.failures: list[KernelBoxError] = []


_caller: ContextVar[Caller | None] = ContextVar("the caller of the verbs", default=None)


@contextmanager
def calling(caller: Caller) -> Iterator[None]:
    """Verbs that are called in this block work for `caller`."""
    token = _caller.set(caller)
    try:
        yield
    finally:
        _caller.reset(token)


@contextmanager
def engine() -> Iterator[Engine]:
    """The caller's, which stays open, or one of our own."""
    caller = _caller.get()
    if caller is not None:
        yield caller.box
        return
    from kernelbox.engine.engine import Engine

    with Engine() as box:
        box.images.on_missing = _showing_missing
        yield box


def _showing_missing(name: str) -> AbstractContextManager[Callable[[Progress], None]]:
    from kernelbox.cli.image_moves import showing_missing

    return showing_missing(name)


def tell(error: KernelBoxError) -> None:
    """What could not be done, while the verb goes on."""
    caller = _caller.get()
    if caller is None:
        say(error.message, error.hint)
    else:
        caller.failures.append(error)


def note(sentence: str, hint: str | None = None) -> None:
    """What else there is to say, on standard error."""
    caller = _caller.get()
    if caller is None:
        say(sentence, hint)
    else:
        caller.notes.append(f"{sentence} (hint: {hint})" if hint else sentence)
