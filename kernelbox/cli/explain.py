"""`kernelbox explain`: how a container is started and ended, step by step, with every system call and its time."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from kernelbox.cli import launch_table
from kernelbox.cli.caller import engine
from kernelbox.cli.request import EXPLAIN_OPTIONS, Request, flags_named, read
from kernelbox.cli.session import Session
from kernelbox.engine.container import Container
from kernelbox.engine.engine import Engine
from kernelbox.errors import Conflict, ContainerNotFound, ImageNotFound
from kernelbox.runtime.trace import TraceRow

__all__ = ["main"]


def main(words: Sequence[str]) -> int:
    """Returns the command's exit code. Its output goes to standard error: standard output has the steps."""
    with flags_named():
        request = read("explain", words, EXPLAIN_OPTIONS)
        if request is not None:
            with engine() as box:
                if "plan" in request.own:
                    return _show_plan(box, request)
                kept = None if request.command or request.given else _kept(box, request.image)
                return _show_kept(kept, request) if kept else _show_launch(box, request)
    from kernelbox.cli.app import show_help

    return show_help("explain")


def _show_plan(box: Engine, request: Request) -> int:
    plan = box.plan(request.image, request.command, request.options)
    rows = launch_table.plan_rows(plan)
    if "json" in request.own:
        _write_json([asdict(row) for row in rows])
    else:
        sys.stdout.write(launch_table.plan_text(rows))
    return 0


def _kept(box: Engine, name: str) -> Container | None:
    """The container of that name, where no image is called so: it is explained as it was started, and run no more."""
    try:
        box.images.get(name)
    except ImageNotFound:
        with contextlib.suppress(ContainerNotFound):
            return box.containers.get(name)
    return None


def _show_kept(container: Container, request: Request) -> int:
    trace = container.trace()
    if not trace and "json" not in request.own:
        raise Conflict(
            f"nothing is known of how the container {container.name} was started: it is {container.status}",
            hint=f"kernelbox start {container.name}",
        )
    _write(trace, request)
    return 0


def _show_launch(box: Engine, request: Request) -> int:
    session = Session(box, request, streams=(2, 2))
    try:
        return session.run()
    finally:
        _write(session.trace(), request)


def _write(trace: Sequence[TraceRow], request: Request) -> None:
    if "json" in request.own:
        _write_json([asdict(row) for row in trace])
    elif trace:
        sys.stdout.write(launch_table.trace_text(trace))


def _write_json(rows: Sequence[object]) -> None:
    """An array with a line for each row."""
    sys.stdout.write("[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n")
