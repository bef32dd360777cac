"""Cells in containers that stay: `%%container --keep`, and `%container run -d`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from kernelbox.engine import kept_run
from kernelbox.errors import ContainerNotFound, KernelBoxError, NameInUse, RunInterrupted

from .arguments import CellRequest

OnOutput = Callable[[int, bytes], None]


class KeptProgram:
    """Takes the place of an engine for one cell: its container is kept. Raises as `Containers.create` and
    `Container.start`; a container that could not be started is not kept, so that the cell can be run again."""

    def __init__(self, engine: Any, request: CellRequest) -> None:
        self._containers = engine.containers
        self._request = request

    def run(
        self,
        image: str,
        command: list[str] | None,
        *,
        input: bytes | None,
        on_output: OnOutput,
        timeout: float | None = None,
        **options: Any,
    ) -> Any:
        """As `Engine.run`: attached to the container until it ends."""
        container = self._create(image, command, {**options, "interactive": input is not None})
        with _forgotten_unless_started(container):
            return kept_run.wait_attached(container, input=input, timeout=timeout, on_output=on_output)

    def start(
        self, image: str, command: list[str] | None, *, input: bytes | None, on_output: object = None, **options: Any
    ) -> Any:
        """The container, which runs in the background and outlives the notebook; what it writes is in its log.

        The image's shell, for want of a command, would end at once without an input. It gets one that nobody writes to:
        then it waits, and cells can be run in its container."""
        waits = input is not None or not command
        container = self._create(image, command, {**options, "interactive": waits})
        with _forgotten_unless_started(container):
            if input is None:
                container.start()
            else:
                kept_run.start_with_input(container, input)
        return container

    def _create(self, image: str, command: list[str] | None, options: Mapping[str, Any]) -> Any:
        name = options.get("name")
        if self._request.replace:
            self._remove(name)
        try:
            return self._containers.create(image, command, auto_remove=self._request.remove, **options)
        except NameInUse as error:
            error.hint = f"--replace removes it first; %container exec {name} runs something in it"
            raise

    def _remove(self, name: Any) -> None:
        with suppress(ContainerNotFound):
            found = self._containers.get(name)
            if found.name == name:  # and not one whose id begins so
                found.remove(force=True)


@contextmanager
def _forgotten_unless_started(container: Any) -> Iterator[None]:
    try:
        yield
    except RunInterrupted:
        raise
    except KernelBoxError:
        with suppress(ContainerNotFound):
            if not container.reload().record.started_at:
                container.remove(force=True)
        raise
