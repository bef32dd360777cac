"""The magics themselves: `%%container`, and `%container` for everything around it."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from traitlets import Bool, Int

import kernelbox
from kernelbox.errors import KernelBoxError

from .arguments import parse, parser, split
from .cell import Cell
from .completion import make_matcher
from .costs import Costs
from .failures import shorten
from .output import Flood
from .report import Report

VERBS = {
    "costs": "what each cell cost, as a DataFrame",
    "doctor": "what this machine can do, and the command that mends what it cannot",
    "explain": "how the last container was started, step by step",
    "last": "the RunResult of the last run",
    "run": "run a command without a cell: %container run host uname -a",
}


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
        self.matcher = make_matcher(lambda: self.engine.images.names(), lambda: shell.user_ns, tuple(VERBS))

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
        if split(line)[:1] == ["--help"]:
            print(parser().format_help())
            return None
        return self._short(lambda: self._run(line, cell))

    container.__doc__ = (
        parser().format_help()
        + "\n%container VERB:\n"
        + "".join(f"\n  {verb:<10}{text}" for verb, text in VERBS.items())
    )

    def _short(self, do: Callable[[], Any]) -> Any:
        try:
            return do()
        except (KernelBoxError, NameError) as error:
            if self.short_errors:
                shorten(error, self.shell)
            raise

    def _run(self, line: str, body: str | None) -> Any:
        request = parse(line, self.shell.user_ns)
        cell = Cell(self.shell, self.engine, request, body, self._costs)
        result = cell.run(variable_limit=self.variable_limit, flood=replace(Flood(), total=self.output_limit))
        return None if request.quiet else result

    def _line(self, line: str) -> Any:
        verb, _, rest = line.strip().partition(" ")
        if verb == "run":
            return self._run(rest, None)
        if verb not in VERBS:
            return self._unknown(verb)
        if rest.strip():
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
        near = difflib.get_close_matches(verb, VERBS, n=1)
        hint = (
            f"did you mean {near[0]}?"
            if near
            else f"one of {', '.join(VERBS)}; a cell is run with two signs, %%container"
        )
        raise UsageError(f"unknown: %container {verb} (hint: {hint})")


def _doctor() -> Report:
    from kernelbox.engine import doctor

    checks = doctor.report()
    rows = [(check.name, check.state, check.detail, check.mend) for check in checks]
    return Report(("name", "state", "found", "what mends it"), rows, doctor.html(checks))


def _last() -> Any:
    if kernelbox.last is None:
        raise UsageError("nothing was run yet")
    return kernelbox.last
