"""A `--format` template as a tree: the subset of Go's text/template that people use for it."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Container, Sequence

from kernelbox.cli.template_lexer import Action, Token, fault, pieces
from kernelbox.errors import InvalidOption
from kernelbox.oci.value import frozen

__all__ = ["Branch", "Chain", "Command", "Jump", "Name", "Node", "Operand", "Pipe", "Text", "Value", "parse"]


@frozen
class Text:
    """Text as it is."""

    text: str


@frozen
class Value:
    """A constant."""

    value: object
    at: int
    text: str


@frozen
class Name:
    """A function ("upper"), a variable ("$x"), or the value at hand (".")."""

    name: str
    at: int
    text: str


@frozen
class Chain:
    """Fields of a value: `.State.Status`, `$x.Name`, `(index .Mounts 0).Source`."""

    base: Operand
    names: tuple[str, ...]
    at: int
    text: str


@frozen
class Command:
    """A function or a value, and what it is given."""

    operands: tuple[Operand, ...]
    at: int
    text: str


@frozen
class Pipe:
    """Commands, each given what the one before came to; `variables` get the result."""

    commands: tuple[Command, ...]
    variables: tuple[str, ...]
    declares: bool
    at: int
    text: str


@frozen
class Branch:
    """if, range or with: `then` for what there is, else `otherwise`."""

    kind: str
    pipe: Pipe
    then: tuple[Node, ...]
    otherwise: tuple[Node, ...]


@frozen
class Jump:
    """break or continue."""

    kind: str


Operand = Value | Name | Chain | Pipe
Node = Text | Pipe | Branch | Jump

DEEPEST = 50
"""How deep parentheses, and branches, may be in each other. People write none deeper, and Python's stack has an end."""
_TOO_DEEP = "max expression depth exceeded"

_BRANCHES = ("if", "range", "with")
_MISSING_PARTS = ("block", "define", "template")
_CONSTANTS = {"true": True, "false": False, "nil": None}
_ESCAPE = re.compile(r"\\(?:[abfnrtv\\\"']|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3})|[^\\]")


def parse(source: str, functions: Container[str]) -> tuple[Node, ...]:
    """The template's nodes. Raises InvalidOption, in Docker's words."""
    return _Parser(source, functions).whole()


class _Parser:
    def __init__(self, source: str, functions: Container[str]) -> None:
        self._source = source
        self._functions = functions
        self._pieces = pieces(source)
        self._variables = ["$"]
        self._ranges = 0
        self._depth = 0

    def whole(self) -> tuple[Node, ...]:
        nodes, end = self._list()
        if end:
            raise fault(self._source, end.at, f"unexpected {{{{{end.tokens[0].text}}}}}")
        return nodes

    def _list(self) -> tuple[tuple[Node, ...], Action | None]:
        """Nodes up to an else or end, which is given too; None at the end of the template."""
        nodes: list[Node] = []
        for piece in self._pieces:
            if isinstance(piece, str):
                if piece:
                    nodes.append(Text(piece))
                continue
            word = piece.tokens[0].text if piece.tokens and piece.tokens[0].kind == "word" else ""
            if word in ("else", "end"):
                return tuple(nodes), piece
            nodes.append(self._action(word, piece))
        return tuple(nodes), None

    def _action(self, word: str, action: Action) -> Node:
        if word in _BRANCHES:
            return self._branch(word, action, action.tokens[1:])
        if word in ("break", "continue"):
            if not self._ranges:
                raise fault(self._source, action.at, f"{{{{{word}}}}} outside {{{{range}}}}")
            return Jump(word)
        if word in _MISSING_PARTS:
            raise fault(self._source, action.at, f"{{{{{word}}}}} is not supported")
        return self._pipe(action.tokens, "command", action.at)

    def _branch(self, kind: str, action: Action, tokens: Sequence[Token]) -> Branch:
        depth = len(self._variables)
        self._depth += 1
        if self._depth > DEEPEST:
            raise fault(self._source, action.at, _TOO_DEEP)
        pipe = self._pipe(tokens, kind, action.at)
        self._ranges += kind == "range"
        then, end = self._list()
        self._ranges -= kind == "range"
        otherwise: tuple[Node, ...] = ()
        if end and end.tokens[0].text == "else":
            otherwise, end = self._otherwise(end)
        if end is None:
            raise fault(self._source, len(self._source), "unexpected EOF")
        if end.tokens[0].text == "else":
            raise fault(self._source, end.at, "expected end; found {{else}}")
        del self._variables[depth:]
        self._depth -= 1
        return Branch(kind, pipe, then, otherwise)

    def _otherwise(self, action: Action) -> tuple[tuple[Node, ...], Action | None]:
        """What follows an else; `else if` ends with the same end as the if before it."""
        rest = action.tokens[1:]
        if not rest:
            return self._list()
        if rest[0].text not in ("if", "with"):
            raise fault(self._source, rest[0].at, f"unexpected <{rest[0].text}> in else")
        return (self._branch(rest[0].text, action, rest[1:]),), Action((Token("word", "end", action.at, False),), 0)

    def _pipe(self, tokens: Sequence[Token], context: str, at: int) -> Pipe:
        reader = _Reader(self._source, tokens, self._functions, self._variables, at)
        pipe = reader.pipe(context)
        if reader.left:
            raise reader.unexpected(context)
        return pipe


class _Reader:
    """Reads the words of one action."""

    def __init__(
        self, source: str, tokens: Sequence[Token], functions: Container[str], variables: list[str], at: int
    ) -> None:
        self._source = source
        self.left = list(tokens)
        self._functions = functions
        self._variables = variables
        self._at = at
        self._end = at
        self._depth = 0

    def unexpected(self, context: str) -> InvalidOption:
        text = self.left[0].text
        return self._fault("unexpected right paren" if text == ")" else f'unexpected "{text}" in {context}')

    def _fault(self, message: str) -> InvalidOption:
        return fault(self._source, self._at, message)

    def _take(self) -> Token:
        token = self.left.pop(0)
        self._end = token.at + len(token.text)
        return token

    def _next_is(self, *texts: str) -> bool:
        return bool(self.left) and self.left[0].kind == "sign" and self.left[0].text in texts

    def pipe(self, context: str) -> Pipe:
        at = self.left[0].at if self.left else self._at
        variables, declares = self._assigned(context)
        commands: list[Command] = []
        while self.left and not self._next_is(")"):
            if commands:
                self._take()  # the |
            commands.append(self._command())
        if not commands:
            raise self._fault(f"missing value for {context}")
        if declares:
            self._variables.extend(variables)
        return Pipe(tuple(commands), variables, declares, at, self._source[at : self._end])

    def _assigned(self, context: str) -> tuple[tuple[str, ...], bool]:
        """The variables before := or =; a range may have two."""
        signs = [token.text for token in self.left[:4]]
        count = 1 if signs[1:2] in ([":="], ["="]) else 2 if signs[1:2] == [","] and context == "range" else 0
        if not count or self.left[0].kind != "variable":
            return (), False
        sign = signs[2 * count - 1 :][:1]
        if sign not in ([":="], ["="]):
            return (), False
        names = tuple(token.text for token in self.left[: 2 * count : 2])
        for name in names:
            if sign == ["="] and name not in self._variables:
                raise self._fault(f'undefined variable "{name}"')
        for _ in range(2 * count):
            self._take()
        return names, sign == [":="]

    def _command(self) -> Command:
        operands: list[Operand] = []
        at = self.left[0].at if self.left else self._at
        while self.left and not self._next_is("|", ")"):
            operands.append(self._operand())
        if not operands:
            raise self.unexpected("command") if self.left else self._fault("missing value for command")
        return Command(tuple(operands), at, self._source[at : self._end])

    def _operand(self) -> Operand:
        base = self._term()
        names = [base.text[1:]] if isinstance(base, Name) and base.name == "." and base.text != "." else []
        at = base.at
        first = base.at
        while self.left and self.left[0].kind == "field" and self.left[0].glued:
            token = self._take()
            names.append(token.text[1:])
            at = token.at if at == first else at
        if not names:
            return base
        return Chain(base, tuple(names), at, self._source[first : self._end])

    def _term(self) -> Operand:
        token = self._take()
        if token.kind in ("dot", "field"):
            return Name(".", token.at, token.text)
        if token.kind == "variable":
            if token.text not in self._variables:
                raise self._fault(f'undefined variable "{token.text}"')
            return Name(token.text, token.at, token.text)
        if token.kind == "word":
            return self._word(token)
        if token.text == "(":
            self._depth += 1
            if self._depth > DEEPEST:
                raise self._fault(_TOO_DEEP)
            pipe = self.pipe("parenthesized pipeline")
            self._depth -= 1
            if not self._next_is(")"):
                raise self._fault("unclosed left paren")
            self._take()
            return pipe
        if token.kind == "sign":
            self.left.insert(0, token)
            raise self.unexpected("operand")
        return Value(self._constant(token), token.at, token.text)

    def _word(self, token: Token) -> Operand:
        if token.text in _CONSTANTS:
            return Value(_CONSTANTS[token.text], token.at, token.text)
        if token.text not in self._functions:
            raise self._fault(f'function "{token.text}" not defined')
        return Name(token.text, token.at, token.text)

    def _constant(self, token: Token) -> object:
        if token.kind == "raw":
            return token.text[1:-1]
        if token.kind == "number":
            return self._number(token.text)
        inside = token.text[1:-1]
        if "".join(found[0] for found in _ESCAPE.finditer(inside)) != inside:
            raise self._fault("invalid syntax")
        text = str(ast.literal_eval(token.text))
        if token.kind == "string":
            return text
        if len(text) != 1:
            raise self._fault(f"malformed character constant: {token.text}")
        return ord(text)

    def _number(self, text: str) -> int | float:
        number: int | float
        if text.lower().lstrip("+-").startswith("0x"):
            number = int(text, 16)
        elif any(sign in text for sign in ".eE"):
            number = float(text)
        else:
            number = int(text) if len(text) < 40 else 1 << 64
        if isinstance(number, int) and not -(1 << 63) <= number < 1 << 63:
            raise self._fault(f"integer overflow: {text[:40]}")
        if isinstance(number, float) and math.isinf(number):
            raise self._fault(f"bad number syntax: {text[:40]}")
        return number
