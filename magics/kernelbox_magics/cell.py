"""One `%%container` cell, from what was asked for to what is shown: one call to the engine, and what is around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from kernelbox.errors import InvalidOption, KernelBoxError, NotFound, RunInterrupted

from .arguments import CellRequest
from .background import BackgroundCell
from .costs import Costs
from .expansion import expand_cell, lookup
from .failures import explain_start, failure, sentences
from .origin import Origin
from .output import CellOutput, Flood
from .variables import Exchange, python_command


@dataclass(frozen=True, slots=True)
class Program:
    """What the engine is given."""

    command: list[str] | None
    input: bytes | None
    options: dict[str, Any]


class Cell:
    """A cell that is about to run in a container. `body` None is a line without a cell."""

    def __init__(
        self, shell: InteractiveShell, engine: Any, request: CellRequest, body: str | None, costs: Costs
    ) -> None:
        self._shell = shell
        self._engine = engine
        self._request = request
        self._body = body
        self._costs = costs
        self._number = shell.displayhook.prompt_count  # the number in Out[ ], in every version of IPython
        self._origin = Origin(shell)

    def run(self, *, variable_limit: int, flood: Flood) -> Any:
        """Run it; the RunResult, or a BackgroundCell. Raises KernelBoxError, and what `result.check()` raises."""
        exchange = Exchange(limit=variable_limit) if self._request.inputs or self._request.outputs else None
        output = CellOutput(self._origin.show, flood)
        kept = False
        try:
            program = self._prepare(exchange)
            if self._request.detach:
                job = self._call(self._engine.start, program, output)
                kept = True
                return BackgroundCell(job, lambda result: self._finish_behind(result, exchange, output))
            return self._run_here(program, exchange, output)
        finally:
            if not kept:
                _close(exchange, output)

    def _prepare(self, exchange: Exchange | None) -> Program:
        request, variables = self._request, self._shell.user_ns
        options = dict(request.options)
        command = list(request.command) if request.command else None
        body = self._body
        if body is not None and request.expand:
            body = expand_cell(body, variables)
        data = None if body is None else body.encode()
        if exchange is None:
            return Program(command, data, options)
        inputs = [(name, lookup(name, variables)) for name in request.inputs]
        python = python_command(command) if body is not None else None
        if python and body is not None:
            command, data = exchange.put_cell(python, body, inputs, request.outputs), None
        else:
            for name, value in inputs:
                exchange.put_for_program(name, value)
        options["volumes"] = [*options.get("volumes", ()), *exchange.volumes]
        options["env"] = [*(f"{name}={value}" for name, value in exchange.env.items()), *options.get("env", ())]
        return Program(command, data, options)

    def _call(self, start: Callable[..., Any], program: Program, output: CellOutput) -> Any:
        hidden = {stream for stream, variable in ((1, self._request.out), (2, self._request.err)) if variable}

        def show(stream: int, chunk: bytes) -> None:
            if stream not in hidden:
                output.feed(stream, chunk)

        try:
            return start(self._request.image, program.command, input=program.input, on_output=show, **program.options)
        except KernelBoxError as error:
            explain_start(error, self._request.image, program.command)
            raise

    def _run_here(self, program: Program, exchange: Exchange | None, output: CellOutput) -> Any:
        try:
            result = self._call(self._engine.run, program, output)
        except RunInterrupted as error:
            output.close()
            if error.result is not None:
                self._bind(error.result, exchange, ended_well=False)
            raise
        output.close()
        failed = failure(result)
        self._bind(result, exchange, ended_well=failed is None)
        if self._request.explain:
            self._display(result.explain())
        if failed and self._request.raise_error:
            raise failed
        return result

    def _finish_behind(self, result: Any, exchange: Exchange | None, output: CellOutput) -> None:
        with self._origin.pinned():
            try:
                output.close()
                failed: KernelBoxError | None = failure(result)
                with _collected() as errors:
                    self._bind(result, exchange, ended_well=failed is None)
                if failed is None and errors:
                    failed = errors[0]
                if self._request.explain:
                    self._display(result.explain())
                if failed and self._request.raise_error:
                    self._origin.show(2, "\n".join(sentences(failed)) + "\n")
                elif not self._request.quiet:
                    self._origin.show(1, f"{result!r}\n")
            finally:
                _close(exchange, output)

    def _display(self, value: Any) -> None:
        shell: Any = self._shell
        data, metadata = shell.display_formatter.format(value)
        shell.display_pub.publish(data, metadata)

    def _bind(self, result: Any, exchange: Exchange | None, *, ended_well: bool) -> None:
        """Put everything that was asked for into the notebook's variables, also of a run that failed."""
        self._costs.add(self._number, result)
        request, variables = self._request, self._shell.user_ns
        for name, value in ((request.out, "stdout"), (request.err, "stderr"), (request.metrics, "metrics")):
            if name:
                variables[name] = getattr(result, value)
        if request.result:
            variables[request.result] = result
        if exchange:
            self._take(exchange, request.outputs, ended_well=ended_well)

    def _take(self, exchange: Exchange, names: Sequence[str], *, ended_well: bool) -> None:
        first: KernelBoxError | None = None
        for name in names:
            try:
                self._shell.user_ns[name] = exchange.take(name)
            except (InvalidOption, NotFound) as error:
                first = first or error
        # Of a run that failed, its failure is the news, not what it did not get to.
        if first and ended_well:
            raise first


@contextmanager
def _collected() -> Iterator[list[KernelBoxError]]:
    """Errors inside are put on the list: a thread has nobody to raise them to."""
    errors: list[KernelBoxError] = []
    try:
        yield errors
    except KernelBoxError as error:
        errors.append(error)


def _close(exchange: Exchange | None, output: CellOutput) -> None:
    output.close()
    if exchange:
        exchange.close()
