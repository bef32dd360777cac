"""The magics themselves: `%%container`, and `%container` for everything around it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from traitlets import Bool, Int

import kernelbox
from kernelbox.cli.verb_names import ALIASES
from kernelbox.errors import KernelBoxError

from .arguments import parse, parser, split
from .cell import Cell
from .completion import Known, make_matcher
from .costs import Costs
from .exec_cell import exec_parser, parse_exec, run_exec
from .expansion import expand_words
from .failures import shorten
from .output import Flood
from .report import Report
from .verbs import SUMMARIES, VerbMagics, verb_named

OWN_VERBS = {
    "run": "run a command without a cell: %container run host uname -a; -d leaves it running, and keeps it",
    "exec": "run one more command in a container: %container exec NAME COMMAND",
    "costs": "what each cell cost, as a DataFrame",
    "doctor": "what this machine can do, and the command that mends what it cannot",
    "explain": "how the last container, or the container NAME, was started, step by step",
    "last": "the RunResult of the last run",
}
VERBS = {**OWN_VERBS, **SUMMARIES}
_NO_TERMINAL = (
    "attach needs a terminal (hint: %container logs -f {0} shows what it writes, %%container exec {0} runs a cell)"
)


@magics_class
class KernelBox(Magics):
    """Containers in notebook cells; `%config KernelBox` shows and changes these settings."""

    short_errors = Bool(True, help="Show what went wrong in a sentence; %tb has the whole traceback.").tag(config=True)
    variable_limit = Int(256 << 20, help="The most bytes of a variable that goes in or comes out.").tag(config=True)
    output_limit = Int(2 << 20, help="Bytes of a cell's output after which only a trickle is shown.").tag(config=True)

    shell: InteractiveShell

    def __init__(self, shell: InteractiveShell, engine: Any = None) -> None:
        super().__init__(shell)
        self._engine = engine
        self._costs = Costs()
        self.matcher = make_matcher(
            Known(
                images=lambda: self.engine.images.names(),
                variables=lambda: shell.user_ns,
                containers=lambda: self.engine.containers.names(),
                volumes=lambda: self.engine.volumes.names(),
            ),
            tuple(VERBS),
        )

    @property
    def engine(self) -> Any:
        """The engine of this notebook; made when it is first needed."""
        if self._engine is None:
            self._engine = kernelbox.Engine()
        return self._engine

    def close(self) -> None:
        """Close the engine."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    @no_var_expand
    @line_cell_magic
    def container(self, line: str, cell: str | None = None) -> Any:
        if cell is None:
            return self._short(lambda: self._line(line))
        return self._short(lambda: self._cell(line, cell))

    container.__doc__ = (
        parser().format_help()
        + "\n%container VERB (%container VERB --help says more):\n"
        + "".join(f"\n  {verb:<10}{text}" for verb, text in VERBS.items())
    )

    def _short(self, do: Callable[[], Any]) -> Any:
        try:
            return do()
        except (KernelBoxError, NameError, KeyboardInterrupt) as error:
            if self.short_errors:
                shorten(error, self.shell)
            raise

    @property
    def _flood(self) -> Flood:
        return replace(Flood(), total=self.output_limit)

    def _cell(self, line: str, body: str) -> Any:
        first, rest = _first_word(line)
        if first == "exec":
            return self._exec(rest, body)
        return self._run(line, body)

    def _run(self, line: str, body: str | None) -> Any:
        if split(line)[:1] == ["--help"]:
            print(parser().format_help())
            return None
        request = parse(line, self.shell.user_ns, cell=body is not None)
        cell = Cell(self.shell, self.engine, request, body, self._costs)
        result = cell.run(variable_limit=self.variable_limit, flood=self._flood)
        return None if request.quiet else result

    def _exec(self, line: str, body: str | None) -> Any:
        if split(line)[:1] == ["--help"]:
            print(exec_parser().format_help())
            return None
        request = parse_exec(line, self.shell.user_ns, cell=body is not None)
        return run_exec(self.shell, self.engine, request, body, self._flood)

    def _line(self, line: str) -> Any:
        word, rest = _first_word(line)
        if word == "run":
            return self._run(rest, None)
        if word == "exec":
            return self._exec(rest, None)
        if word == "attach":
            raise UsageError(_NO_TERMINAL.format((split(rest) or ["NAME"])[-1]))
        if verb := verb_named(word):
            return VerbMagics(self.shell, self.engine, self._flood).run(verb, rest)
        if word not in OWN_VERBS:
            return self._unknown(word)
        return self._own(word, expand_words(split(rest), self.shell.user_ns))

    def _own(self, verb: str, words: Sequence[str]) -> Any:
        if verb == "explain" and len(words) == 1:
            return self.engine.containers.get(words[0]).explain()
        if words:
            raise UsageError(f"%container {verb} takes no arguments")
        if verb == "costs":
            return self._costs.frame()
        if verb == "doctor":
            return _doctor()
        last = _last()
        return last.explain() if verb == "explain" else last

    def _unknown(self, verb: str) -> Report:
        if not verb:
            return Report(("%container", ""), list(VERBS.items()))
        near = difflib.get_close_matches(verb, [*VERBS, *ALIASES], n=2)
        hint = (
            f"did you mean {' or '.join(near)}?"
            if near
            else "%container lists them; a cell is run with two signs, %%container"
        )
        raise UsageError(f"unknown: %container {verb} (hint: {hint})")


def _first_word(line: str) -> tuple[str, str]:
    word, _, rest = line.strip().partition(" ")
    return word, rest


def _doctor() -> Report:
    from kernelbox.engine import doctor

    checks = doctor.report()
    rows = [(check.name, check.state, check.detail, check.mend) for check in checks]
    return Report(("name", "state", "found", "what mends it"), rows, doctor.html(checks))


def _last() -> Any:
    if kernelbox.last is None:
        raise UsageError("nothing was run yet")
    return kernelbox.last
