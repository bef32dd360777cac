"""Run options on a command line: the parser of `docker run`, and the table as argparse arguments.

`parse_arguments` follows Docker's rules to the letter: options end at the first word that is none, `-it` is two of
them, `--read-only=false` is allowed. `add_to_argparse` gives the same options to any argparse parser, with their help.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from kernelbox.engine.option_table import DOCKERS_ALONE, OPTIONS, Option
from kernelbox.engine.option_values import flag, near
from kernelbox.errors import InvalidOption

if TYPE_CHECKING:
    import argparse

Values = dict[str, "str | bool | list[str]"]


def parse_arguments(
    argv: Sequence[str], options: Iterable[Option] = OPTIONS, *, anywhere: bool = False
) -> tuple[Values, list[str]]:
    """The options at the start of `argv` by name (text, True or False, or a list of texts), and what follows them.

    `anywhere`: options may stand between and behind the other words, up to "--", as where no command follows. The
    values are not read yet: `RunOptions.from_arguments` does that. Raises InvalidOption."""
    flags = {each: option for option in options for each in option.flags}
    values: Values = {}
    words, others = list(argv), []
    while words:
        word = words.pop(0)
        if word == "--":
            break
        if word.startswith("--"):
            _long(word, words, flags, values)
        elif word.startswith("-") and word != "-":
            _short(word, words, flags, values)
        else:
            others.append(word)
            if not anywhere:
                break
    return values, [*others, *words]


def _long(word: str, words: list[str], flags: dict[str, Option], values: Values) -> None:
    name, equals, value = word.partition("=")
    option = _known(name, flags)
    if option.kind == "flag":
        _store(option, value if equals else True, values, name)
    else:
        _store(option, value if equals else _next(name, words), values, name)


def _short(word: str, words: list[str], flags: dict[str, Option], values: Values) -> None:
    """A cluster like -it, -eA=b or -m=1g: the first option that takes a value takes the rest."""
    for position in range(1, len(word)):
        name, rest = "-" + word[position], word[position + 1 :]
        option = _known(name, flags, word)
        if option.kind == "flag" and not rest.startswith("="):
            _store(option, True, values, name)
            continue
        _store(option, rest.removeprefix("=") if rest else _next(name, words), values, name)
        return


def _known(name: str, flags: dict[str, Option], word: str = "") -> Option:
    option = flags.get(name)
    if option is None:
        inside = f" in {word!r}" if word not in ("", name) else ""
        raise InvalidOption(f"unknown option {name!r}{inside}", hint=_hint(name, flags))
    return option


def _hint(name: str, flags: Collection[str]) -> str | None:
    """What Docker has and we have not is not taken for a mistake in writing."""
    if name in DOCKERS_ALONE and "--cap-add" in flags:
        return DOCKERS_ALONE[name]
    bare = [flag.removeprefix("--") for flag in flags if flag.startswith("--")]
    found = near(name.removeprefix("--"), bare) if name.startswith("--") else None
    return found and found.replace("'", "'--", 1)


def _next(name: str, words: list[str]) -> str:
    if not words:
        raise InvalidOption(f"the option {name} needs a value")
    return words.pop(0)


def _store(option: Option, value: str | bool, values: Values, name: str) -> None:
    if option.kind == "flag":
        try:
            values[option.name] = flag(value)
        except InvalidOption as error:
            raise InvalidOption(f"{name}: {error.message}") from None
    elif option.kind == "list":
        listed = values.setdefault(option.name, [])
        if isinstance(listed, list):
            listed.append(str(value))
    else:
        values[option.name] = str(value)


def add_to_argparse(
    parser: argparse.ArgumentParser, options: Iterable[Option] = OPTIONS, without: Collection[str] = ()
) -> None:
    """Adds the options to `parser`, in its groups. `without` lists option names or single flags to leave out.

    The namespace gets an attribute only for what was given (argparse.SUPPRESS): its `vars()` suit `from_arguments`."""
    import argparse

    groups: dict[str, argparse._ArgumentGroup] = {}
    for option in options:
        flags = [each for each in option.flags if each not in without]
        if option.name in without or not flags:
            continue
        if option.group not in groups:
            groups[option.group] = parser.add_argument_group(option.group)
        add = groups[option.group].add_argument
        if option.kind == "flag":
            add(*flags, dest=option.name, action="store_true", default=argparse.SUPPRESS, help=help_text(option))
        else:
            action = "append" if option.kind == "list" else "store"
            text = help_text(option).replace("%", "%%")
            add(*flags, dest=option.name, action=action, metavar=option.metavar, default=argparse.SUPPRESS, help=text)


def help_text(option: Option) -> str:
    """The help of one option, with what happens without it."""
    return f"{option.help} (default: {option.default})" if option.default else option.help
