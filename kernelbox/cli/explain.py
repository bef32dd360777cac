"""`kernelbox explain`: how a container is started and ended, step by step, with every system call and its time."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from kernelbox.cli import launch_table
from kernelbox.cli.request import EXPLAIN_OPTIONS, Request, flags_named, read
from kernelbox.cli.session import Session
from kernelbox.engine.engine import Engine

__all__ = ["main"]


def main(words: Sequence[str]) -> int:
    """Returns the command's exit code. Its output goes to standard error: standard output has the steps."""
    with flags_named():
        request = read("explain", words, EXPLAIN_OPTIONS)
        if request is not None:
            with Engine() as box:
                return _show_plan(box, request) if "plan" in request.own else _show_launch(box, request)
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


def _show_launch(box: Engine, request: Request) -> int:
    session = Session(box, request, streams=(2, 2))
    try:
        return session.run()
    finally:
        trace = session.trace()
        if "json" in request.own:
            _write_json([asdict(row) for row in trace])
        elif trace:
            sys.stdout.write(launch_table.trace_text(trace))


def _write_json(rows: Sequence[object]) -> None:
    """An array with a line for each row."""
    sys.stdout.write("[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n")
