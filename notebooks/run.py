"""Executes notebooks in a fresh kernel and prints every cell with its output: `python notebooks/run.py NOTEBOOK...`.

The files are not changed. Exit status 1 where a cell raised an error that its notebook does not expect.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from traitlets.config import Config

CELL_TIMEOUT = 300
"""Seconds after which a cell counts as stuck."""


def indent(text: str, first: str) -> str:
    """`text` with `first` before its first line and as many blanks before the others."""
    head, *rest = text.rstrip("\n").split("\n")
    return "\n".join([first + head, *(" " * len(first) + line for line in rest)])


def output_text(output: NotebookNode) -> str:
    """What a terminal can show of one output."""
    if output.output_type == "stream":
        return str(output.text)
    if output.output_type == "error":
        return "\n".join(output.traceback) or f"{output.ename}: {output.evalue}"
    return str(output.data.get("text/plain", ""))


def print_cell(cell: NotebookNode) -> None:
    if cell.cell_type != "code":
        print(f"\n{cell.source.rstrip()}\n", flush=True)
        return
    print(indent(cell.source, f"In [{cell.execution_count}]: "))
    for output in cell.outputs:
        label = f"Out[{cell.execution_count}]: " if output.output_type == "execute_result" else ""
        text = output_text(output)
        if text:
            print(f"{label}\n{text.rstrip()}" if label and "\n" in text else label + text.rstrip())
    print(flush=True)


def execute(path: Path, sockets: str) -> bool:
    """Run one notebook from top to bottom, printing as it goes. False where an unexpected error ended it.

    The kernel is reached through sockets in the folder `sockets`: TCP ports are open to everybody on the machine."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        config=Config({"KernelManager": {"transport": "ipc", "ip": f"{sockets}/kernel"}}),
        resources={"metadata": {"path": str(path.parent)}},
    )
    with client.setup_kernel():
        for index, cell in enumerate(notebook.cells):
            try:
                client.execute_cell(cell, index)
            except CellExecutionError:
                print_cell(cell)
                return False
            print_cell(cell)
    return True


def main() -> None:
    paths = [Path(argument) for argument in sys.argv[1:]]
    with tempfile.TemporaryDirectory() as sockets:
        results = [execute(path, sockets) for path in paths]
    raise SystemExit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
