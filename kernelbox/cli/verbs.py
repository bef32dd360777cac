"""The verbs of a container's life: one form for all, one parser by Docker's rules, one way to do it to several.

What there is stands in `verb_table`; what a verb does, in the module it names, which is imported when it is called.
"""

from __future__ import annotations

import contextvars
import importlib
import queue
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from kernelbox.cli.caller import tell
from kernelbox.engine.arguments import Values, parse_arguments
from kernelbox.engine.option_table import Option
from kernelbox.errors import InvalidOption, KernelBoxError, KernelError
from kernelbox.oci.value import frozen

__all__ = ["HELP", "Given", "Verb", "call", "for_each", "read", "verb_of"]

HELP = Option("help", ("-h", "--help"), "flag", "", "show this text", "options")
_FAILED = 1
_AT_ONCE = 16


@frozen
class Verb:
    """`does` is "module:function" in this package; `words` is how many words it takes beside its options (at least, at
    most; None: any number). `command`: what follows the first word is not for us, however it looks. `below`: the word
    that stands in front of it."""

    name: str
    takes: str
    does: str
    words: tuple[int, int | None]
    options: tuple[Option, ...] = ()
    text: str = ""
    examples: tuple[str, ...] = ()
    command: bool = False
    below: str = ""

    @property
    def usage(self) -> str:
        words = ["kernelbox", self.below, self.name, "[OPTIONS]" if self.options else "", self.takes]
        return " ".join(word for word in words if word)


@frozen
class Given:
    """What was said: options by name, and the other words."""

    values: Values
    words: tuple[str, ...]

    def flag(self, name: str) -> bool:
        return bool(self.values.get(name))

    def text(self, name: str, default: str = "") -> str:
        return str(self.values.get(name, default))

    def texts(self, name: str) -> tuple[str, ...]:
        found = self.values.get(name)
        return tuple(found) if isinstance(found, list) else ()

    def number(self, name: str) -> int | None:
        """None where it was not given. Raises InvalidOption."""
        from kernelbox.engine.option_values import integer

        if name not in self.values:
            return None
        try:
            return integer(self.values[name], -(1 << 31), 1 << 31)
        except InvalidOption as error:
            raise InvalidOption(f"--{name}: {error.message}", hint=error.hint) from None


def verb_of(group: str, word: str) -> Verb | None:
    """The verb of a word behind `kernelbox volume`, `kernelbox image` or another group; None for what is none."""
    table = importlib.import_module(f"kernelbox.cli.{group}_table")
    verbs: Mapping[str, Verb] = table.VERBS
    return verbs.get(table.ALIASES.get(word, word))


def call(verb: Verb, words: Sequence[str]) -> int:
    """Returns the exit code. Raises KernelBoxError, which exits with Docker's: 125 for options that do not exist, else
    1."""
    given = read(verb, words)
    if given is None:
        from kernelbox.cli.app import show_help

        return show_help(*filter(None, (verb.below, verb.name)))
    module, _, function = verb.does.partition(":")
    try:
        code: int = getattr(importlib.import_module(f"kernelbox.cli.{module}"), function)(given)
    except BrokenPipeError:
        raise
    except (KernelBoxError, OSError) as error:
        failure = _told(error)
        failure.exit_code = _FAILED
        raise failure from error
    return code


def read(verb: Verb, words: Sequence[str]) -> Given | None:
    """None where help was asked for. Raises InvalidOption."""
    values, rest = parse_arguments(words, (HELP, *verb.options), anywhere=not verb.command)
    if values.pop(HELP.name, False):
        return None
    least, most = verb.words
    if len(rest) < least or (most is not None and len(rest) > most):
        wrong = InvalidOption(f"{verb.name} takes {_wanted(verb)}, not {len(rest)}", hint=verb.usage)
        wrong.exit_code = _FAILED
        raise wrong
    return Given(values, tuple(rest))


def _wanted(verb: Verb) -> str:
    least, most = verb.words
    if most == 0:
        return "no arguments"
    return f"{'at least ' if most is None else ''}{least} argument{'' if least == 1 else 's'}"


def for_each(words: Iterable[str], act: Callable[[str], str | None], *, at_once: bool = False) -> int:
    """Acts for each of the words, and prints what that returns, in their order. What cannot be done is said, and keeps
    nobody from the rest; returns the exit code.

    `at_once`: several at a time, for what may wait long."""
    references = list(words)
    failed = False
    for outcome in _in_threads(references, act) if at_once and len(references) > 1 else map(_tried(act), references):
        if isinstance(outcome, BaseException):
            tell(_told(outcome))
            failed = True
        elif outcome is not None:
            sys.stdout.write(f"{outcome}\n")
            sys.stdout.flush()
    return _FAILED if failed else 0


def _told(error: BaseException) -> KernelBoxError:
    """As one of ours. Raises what is a fault."""
    if isinstance(error, KernelBoxError):
        return error
    if isinstance(error, TimeoutError) and error.errno is None:
        return KernelBoxError(str(error))
    if isinstance(error, OSError):
        about = "" if error.filename is None else str(error.filename)
        return KernelError(error.errno or 0, "use" if about else "go on", about)
    raise error


def _tried(act: Callable[[str], str | None]) -> Callable[[str], str | BaseException | None]:
    def tried(word: str) -> str | BaseException | None:
        try:
            return act(word)
        except Exception as error:
            return error

    return tried


def _in_threads(words: Sequence[str], act: Callable[[str], str | None]) -> Iterator[str | BaseException | None]:
    """The outcomes in their order. The threads end with the process: who interrupts it need not wait for them."""
    left = queue.SimpleQueue[int]()
    for number in range(len(words)):
        left.put(number)
    outcomes: list[queue.SimpleQueue[str | BaseException | None]] = [queue.SimpleQueue() for _ in words]

    def work() -> None:
        while True:
            try:
                number = left.get_nowait()
            except queue.Empty:
                return
            outcomes[number].put(_tried(act)(words[number]))

    threads = [
        threading.Thread(target=contextvars.copy_context().run, args=(work,), name="kernelbox verb", daemon=True)
        for _ in words[:_AT_ONCE]
    ]
    for thread in threads:
        thread.start()
    for outcome in outcomes:
        yield outcome.get()
    for thread in threads:
        thread.join()
