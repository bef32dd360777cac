"""One `%%container` cell, from what was asked for to what is shown: one call to the engine, and what is around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from kernelbox.engine import history
from kernelbox.errors import InvalidOption, KernelBoxError, NotFound, RunInterrupted

from .arguments import CellRequest
from .background import BackgroundCell
from .costs import Costs
from .expansion import expand_cell, lookup
from .failures import explain_start, failure, sentences
from .kept import KeptProgram
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
        """Run it; the RunResult, a BackgroundCell, or the kept container that goes on.

        Raises KernelBoxError, and what `result.check()` raises."""
        wanted = self._request.inputs or self._request.outputs
        exchange = Exchange(limit=variable_limit, sweep=self._sweep) if wanted else None
        output = CellOutput(self._origin.show, flood)
        kept = False
        try:
            program = self._prepare(exchange)
            if self._request.keep and self._request.detach:
                return self._leave_running(program, output)
            if self._request.detach:
                job = self._call(self._engine.start, program, output)
                kept = True
                return BackgroundCell(job, lambda: self._finish_behind(job, program, exchange, output))
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
        runner = KeptProgram(self._engine, self._request) if self._request.keep else self._engine
        try:
            result = self._call(runner.run, program, output)
        except RunInterrupted as error:
            output.close()
            if error.result is not None:
                self._bind(error.result, exchange, ended_well=False)
            raise
        self._conclude(result, exchange, output)
        return result

    def _leave_running(self, program: Program, output: CellOutput) -> Any:
        container = self._call(KeptProgram(self._engine, self._request).start, program, output)
        self._say(container.folder.start_notes().notes)
        if self._request.result:
            self._shell.user_ns[self._request.result] = container
        return container

    def _conclude(self, result: Any, exchange: Exchange | None, output: CellOutput) -> None:
        """Show the rest, bind the variables; raises what `result.check()` raises unless that was not wanted."""
        output.close()
        failed = failure(result)
        self._bind(result, exchange, ended_well=failed is None)
        self._show_notes(result)
        if failed and self._request.raise_error:
            raise failed

    def _finish_behind(self, job: Any, program: Program, exchange: Exchange | None, output: CellOutput) -> None:
        """In a thread: wait for the end, bind the variables, and say in the cell how it ended."""
        with self._origin.pinned():
            try:
                result = job.wait()
                self._conclude(result, exchange, output)
                if not self._request.quiet:
                    self._origin.show(1, f"{result!r}\n")
            except KernelBoxError as error:
                explain_start(error, self._request.image, program.command)
                self._origin.show(2, "\n".join(sentences(error)) + "\n")
            finally:
                _close(exchange, output)

    def _sweep(self, volume: str) -> None:
        last = history.last
        self._engine.run(
            "host", ["find", volume.split(":")[1], "-mindepth", "1", "-delete"], volumes=[volume], check=True
        )
        history.last = last  # this run is not the user's

    def _show_notes(self, result: Any) -> None:
        """What was done differently than asked, and the launch if it is to be explained."""
        notes = [
            *result.limits.notes,
            *(("only the beginning of the output is in the result",) if result.truncated else ()),
        ]
        if self._request.keep and "name" not in self._request.options:
            notes.append(f"the container is kept as {result.container.name}")
        self._say(notes)
        if self._request.explain:
            shell: Any = self._shell
            shell.display_pub.publish(*shell.display_formatter.format(result.explain()))

    def _say(self, notes: Sequence[str]) -> None:
        if notes and not self._request.quiet:
            self._origin.show(2, "".join(f"note: {note}\n" for note in notes))

    def _bind(self, result: Any, exchange: Exchange | None, *, ended_well: bool) -> None:
        """Put everything that was asked for into the notebook's variables, also of a run that failed."""
        request, variables = self._request, self._shell.user_ns
        self._costs.add(self._number, result, request.command)
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


def _close(exchange: Exchange | None, output: CellOutput) -> None:
    output.close()
    if exchange:
        exchange.close()
