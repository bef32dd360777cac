"""The words of a `--format` template: text, and actions between double braces."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kernelbox.errors import InvalidOption
from kernelbox.oci.value import frozen

__all__ = ["Action", "Token", "fault", "pieces"]

_TOKEN = re.compile(
    r"""(?P<field>\.[^\W\d]\w*)
    |(?P<number>[+-]?(?:0[xX][0-9a-fA-F]+|\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+))
    |(?P<dot>\.)
    |(?P<variable>\$\w*)
    |(?P<string>"(?:[^"\\\n]|\\.)*")
    |(?P<raw>`[^`]*`)
    |(?P<char>'(?:[^'\\\n]|\\.)+')
    |(?P<word>[^\W\d]\w*)
    |(?P<sign>:=|[=|(),])""",
    re.VERBOSE,
)
_BLANK = re.compile(r"\s*")
_END = re.compile(r"\}\}|\s-\}\}\s*")


@frozen
class Token:
    """One word of an action, at the position `at` of the template; `glued` where no blank is before it."""

    kind: str
    text: str
    at: int
    glued: bool


@frozen
class Action:
    """What stands between two pairs of braces, whose first is at `at`."""

    tokens: tuple[Token, ...]
    at: int


def fault(source: str, at: int, message: str) -> InvalidOption:
    """A mistake in the template, as Docker says it."""
    line = source.count("\n", 0, at) + 1
    return InvalidOption(f"template parsing error: template: :{line}: {message}")


def pieces(source: str) -> Iterator[str | Action]:
    """Text and actions in their order; `{{-` and `-}}` have taken the blanks beside them. Raises InvalidOption."""
    at = 0
    while True:
        begin = source.find("{{", at)
        if begin < 0:
            yield source[at:]
            return
        trims = source.startswith("-", begin + 2) and source[begin + 3 : begin + 4].isspace()
        text = source[at:begin]
        yield text.rstrip() if trims else text
        inside = begin + 3 if trims else begin + 2
        if source.startswith("/*", _blanks(source, inside) if trims else inside):
            at = _comment(source, inside)
        else:
            tokens, at = _tokens(source, inside)
            yield Action(tokens, begin)


def _blanks(source: str, at: int) -> int:
    found = _BLANK.match(source, at)
    return found.end() if found else at


def _comment(source: str, at: int) -> int:
    end = source.find("*/", at)
    if end < 0:
        raise fault(source, at, "unclosed comment")
    closing = _END.match(source, end + 2)
    if closing is None:
        raise fault(source, end, "comment ends before closing delimiter")
    return closing.end()


def _tokens(source: str, at: int) -> tuple[tuple[Token, ...], int]:
    found: list[Token] = []
    glued = False
    while True:
        closing = _END.match(source, at)
        if closing:
            return tuple(found), closing.end()
        after = _blanks(source, at)
        if after > at:
            at, glued = after, False
            if _END.match(source, at - 1):
                at -= 1  # the blank belongs to " -}}"
            continue
        token = _TOKEN.match(source, at)
        if token is None or token.lastgroup is None:
            raise _strange(source, at)
        found.append(Token(token.lastgroup, token[0], at, glued))
        at, glued = token.end(), True


def _strange(source: str, at: int) -> InvalidOption:
    letter = source[at : at + 1]
    if not letter:
        return fault(source, at, "unclosed action")
    kinds = {'"': "unterminated quoted string", "`": "unterminated raw quoted string", "'": "unterminated character"}
    return fault(source, at, kinds.get(letter, f'unexpected "{letter}" in command'))
