"""`kernelbox run`: a command in a new container, with the streams of this process."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from kernelbox.cli.caller import engine
from kernelbox.cli.request import RUN_OPTIONS, Request, flags_named, read
from kernelbox.cli.session import Session

__all__ = ["main"]


def main(words: Sequence[str]) -> int:
    """Returns the exit code. Raises KernelBoxError where there is none."""
    with flags_named():
        request = read("run", words, RUN_OPTIONS)
        if request is not None:
            return _run(request)
    from kernelbox.cli.app import show_help

    return show_help("run")


def _run(request: Request) -> int:
    """With --rm nothing of the container is kept, so that nothing needs to be written down."""
    if "rm" not in request.own or "detach" in request.own:
        from kernelbox.cli import run_kept

        return run_kept.run(request)
    with engine() as box:
        session = Session(box, request)
        try:
            return session.run()
        finally:
            if "explain" in request.own:
                from kernelbox.cli import launch_table

                sys.stderr.write(launch_table.trace_text(session.trace()))
