"""`kernelbox run`: a command in a new container, with the streams of this process."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from kernelbox.cli.request import RUN_OPTIONS, read
from kernelbox.cli.session import Session
from kernelbox.engine.engine import Engine

__all__ = ["main"]


def main(words: Sequence[str]) -> int:
    """Returns the exit code. Raises KernelBoxError where there is none."""
    request = read("run", words, RUN_OPTIONS)
    if request is None:
        from kernelbox.cli.app import show_help

        return show_help("run")
    with Engine() as box:
        session = Session(box, request)
        try:
            return session.run()
        finally:
            if "explain" in request.own:
                _explain(session)


def _explain(session: Session) -> None:
    from kernelbox.cli import launch_table

    sys.stderr.write(launch_table.trace_text(session.trace()))
