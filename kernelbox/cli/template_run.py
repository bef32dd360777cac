"""A parsed `--format` template, applied to a value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from kernelbox.cli.template_functions import Function
from kernelbox.cli.template_parser import Branch, Chain, Command, Jump, Name, Node, Operand, Pipe, Text, Value
from kernelbox.cli.template_values import MISSING, Fields, Row, shown, type_name
from kernelbox.engine.option_values import near
from kernelbox.errors import InvalidOption

__all__ = ["run"]


class _NothingPiped:
    """There is no value from the command before."""


_NOTHING = _NothingPiped()


class _Break(Exception):
    """{{break}}: caught by the range around it."""


class _Continue(Exception):
    """{{continue}}."""


def run(
    source: str, nodes: Sequence[Node], functions: Mapping[str, Function], value: object, write: Callable[[str], object]
) -> None:
    """Writes what `nodes`, parsed from `source`, make of `value`. Raises InvalidOption, in Docker's words."""
    _Run(source, functions, value, write).walk(value, nodes)


class _Run:
    def __init__(
        self, source: str, functions: Mapping[str, Function], root: object, write: Callable[[str], object]
    ) -> None:
        self._source = source
        self._functions = functions
        self._variables: list[tuple[str, object]] = [("$", root)]
        self._write = write

    def walk(self, dot: object, nodes: Iterable[Node]) -> None:
        for node in nodes:
            if isinstance(node, Text):
                self._write(node.text)
            elif isinstance(node, Pipe):
                value = self._pipe(dot, node)
                if not node.variables:
                    self._write(shown(value))
            elif isinstance(node, Branch):
                self._branch(dot, node)
            else:
                self._jump(node)

    def _jump(self, node: Jump) -> None:
        raise _Break if node.kind == "break" else _Continue

    def _branch(self, dot: object, branch: Branch) -> None:
        depth = len(self._variables)
        try:
            if branch.kind == "range":
                self._range(dot, branch)
                return
            value = self._pipe(dot, branch.pipe)
            inner = value if branch.kind == "with" and value else dot
            self.walk(inner, branch.then if value else branch.otherwise)
        finally:
            del self._variables[depth:]

    def _range(self, dot: object, branch: Branch) -> None:
        pipe = branch.pipe
        value = self._commands(dot, pipe)
        items = self._items(value, pipe)
        depth = len(self._variables)
        for key, each in items:
            given = (each,) if len(pipe.variables) == 1 else (key, each)
            self._set(pipe, dict(zip(pipe.variables, given, strict=False)))
            try:
                self.walk(each, branch.then)
            except _Continue:
                pass
            except _Break:
                break
            finally:
                del self._variables[depth:]
        if not items:
            self.walk(dot, branch.otherwise)

    def _items(self, value: object, pipe: Pipe) -> list[tuple[object, object]]:
        if value is None or value is MISSING:
            return []
        if isinstance(value, Mapping) and not isinstance(value, Fields):
            return [(key, value[key]) for key in sorted(value)]
        if isinstance(value, list | tuple):
            return list(enumerate(value))
        if isinstance(value, int) and not isinstance(value, bool) and value <= 1_000_000:
            return [(number, number) for number in range(value)]
        raise self._fault(pipe.at, pipe.text, f"range can't iterate over {shown(value)}")

    def _set(self, pipe: Pipe, values: Mapping[str, object]) -> None:
        for name, value in values.items():
            if pipe.declares:
                self._variables.append((name, value))
            else:
                at = max(index for index, (known, _) in enumerate(self._variables) if known == name)
                self._variables[at] = (name, value)

    def _pipe(self, dot: object, pipe: Pipe) -> object:
        value = self._commands(dot, pipe)
        self._set(pipe, dict.fromkeys(pipe.variables, value))
        return value

    def _commands(self, dot: object, pipe: Pipe) -> object:
        value: object = _NOTHING
        for command in pipe.commands:
            value = self._command(dot, command, value)
        return value

    def _command(self, dot: object, command: Command, piped: object) -> object:
        first, *rest = command.operands
        if isinstance(first, Name) and first.name in self._functions:
            return self._call(dot, first, rest, piped, command)
        if isinstance(first, Chain):
            return self._chain(dot, first, rest, piped)
        if isinstance(first, Value) and first.value is None:
            raise self._fault(first.at, first.text, "nil is not a command")
        if rest or piped is not _NOTHING:
            raise self._fault(first.at, first.text, f"can't give argument to non-function {first.text}")
        return self._operand(dot, first)

    def _operand(self, dot: object, operand: Operand) -> object:
        if isinstance(operand, Value):
            return operand.value
        if isinstance(operand, Pipe):
            return self._pipe(dot, operand)
        if isinstance(operand, Chain):
            return self._chain(dot, operand, (), _NOTHING)
        if operand.name == ".":
            return dot
        if operand.name.startswith("$"):
            return next(value for name, value in reversed(self._variables) if name == operand.name)
        return self._call(dot, operand, (), _NOTHING, operand)

    def _call(
        self, dot: object, name: Name, operands: Sequence[Operand], piped: object, whole: Command | Name
    ) -> object:
        function = self._functions[name.name]
        if wrong := function.wrong_count(name.name, len(operands) + (piped is not _NOTHING)):
            raise self._fault(name.at, name.text, wrong)
        if name.name in ("and", "or"):
            return self._until(name.name == "or", dot, operands, piped)
        values = [self._checked(self._operand(dot, each), function, i, each) for i, each in enumerate(operands)]
        if piped is not _NOTHING:
            values.append(self._checked(piped, function, len(values), whole))
        try:
            return function.call(*values)
        except InvalidOption as error:
            raise self._fault(name.at, whole.text, f"error calling {name.name}: {error.message}") from None

    def _until(self, stop: bool, dot: object, operands: Sequence[Operand], piped: object) -> object:
        """and, or: the first value that decides; the rest is not looked at."""
        value: object = None
        for operand in operands:
            value = self._operand(dot, operand)
            if bool(value) == stop:
                return value
        return value if piped is _NOTHING else piped

    def _checked(self, value: object, function: Function, index: int, node: Operand | Command) -> object:
        kind = function.takes_at(index)
        fits = isinstance(value, kind) or (kind is list and isinstance(value, tuple))
        if fits and not (kind is int and isinstance(value, bool)):
            return value
        wanted = {str: "string", int: "integer", list: "[]string"}.get(kind, "value")
        if isinstance(node, Value):
            raise self._fault(node.at, node.text, f"expected {wanted}; found {node.text}")
        raise self._fault(node.at, node.text, f"wrong type for value; expected {wanted}; got {type_name(value)}")

    def _chain(self, dot: object, chain: Chain, operands: Sequence[Operand], piped: object) -> object:
        value = self._operand(dot, chain.base)
        given = [self._operand(dot, each) for each in operands] + ([] if piped is _NOTHING else [piped])
        for index, name in enumerate(chain.names):
            if value is None and index:  # Docker looks again in the JSON, which says nothing about it
                raise self._fault(chain.at, chain.text, f'map has no entry for key "{chain.names[index - 1]}"')
            value = self._field(value, name, given if index == len(chain.names) - 1 else [], chain)
        return value

    def _field(self, value: object, name: str, given: list[object], chain: Chain) -> object:
        if isinstance(value, Fields) and name in value.methods:
            if len(given) != 1:
                raise self._fault(chain.at, chain.text, f"wrong number of args for {name}: want 1 got {len(given)}")
            return value.methods[name](shown(given[0]))
        if given:
            wrong = f"wrong number of args for {name}: want 0 got {len(given)}"
            raise self._fault(
                chain.at, chain.text, wrong if isinstance(value, Row) else f"{name} is not a method but has arguments"
            )
        if isinstance(value, Mapping) and name in value:
            found: object = value[name]
            return found
        if isinstance(value, Fields):
            if name in value.absent:
                return value.absent[name]
            if wrong := value.unknown(name):
                raise self._fault(chain.at, chain.text, wrong, near(name, [*value, *value.methods]))
        if isinstance(value, Mapping) or value is MISSING:
            return MISSING
        raise self._fault(chain.at, chain.text, f"can't evaluate field {name} in type {type_name(value)}")

    def _fault(self, at: int, text: str, message: str, hint: str | None = None) -> InvalidOption:
        line = self._source.count("\n", 0, at) + 1
        column = len(self._source[self._source.rfind("\n", 0, at) + 1 : at].encode())
        where = f'template: :{line}:{column}: executing "" at <{text}>'
        return InvalidOption(f"template parsing error: {where}: {message}", hint=hint)
