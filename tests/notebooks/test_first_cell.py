"""The first notebook, executed from top to bottom in a fresh kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from traitlets.config import Config

NOTEBOOK = Path(__file__).parents[2] / "notebooks/00_first_cell.ipynb"


def text_of(output: Any) -> str:
    return output.text if output.output_type == "stream" else output.data["text/plain"]


def test_it_is_kept_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert cell.cell_type == "markdown" or (not cell.outputs and cell.execution_count is None)


@pytest.mark.kernel
def test_it_says_what_it_promises(store: Path, sockets: Path, memory_is_limited: bool) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    config = Config({"KernelManager": {"transport": "ipc", "ip": f"{sockets}/k"}})
    metadata = {"path": str(NOTEBOOK.parent)}
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", config=config, resources={"metadata": metadata}
    ).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]

    def shown(start: str) -> str:
        (cell,) = (cell for cell in cells if start in cell.source)
        return "\n".join(map(text_of, cell.outputs))

    assert shown("print(6 * 7)").startswith("42\n")
    assert "I am root on " in shown("id -un")
    assert "\nlo\n/etc/i-was-here\n" in shown("id -un")
    assert shown('Path("/etc/i-was-here")') == "False"
    assert shown("summary = ") == ""
    outputs = {cell.source: cell.outputs for cell in cells}
    assert text_of(outputs["summary"][0]) == "{'how many': 3, 'mean': 2.25}"
    assert "apple" in text_of(outputs["cheapest"][0])
    if memory_is_limited:
        assert "killed at the memory limit" in shown("hoard")
        assert "ended by the memory limit: True\npeak: 64 MiB" in shown("kb.last.oom_killed")
    else:
        assert shown("hoard").startswith("The memory limit is not in force here.\n")
        assert "ended by the memory limit: False\n" in shown("kb.last.oom_killed")
    assert "timed out" in shown("--timeout 1")
    timeline = outputs[next(source for source in outputs if source.endswith("run.explain()"))][0].data
    assert "application/vnd.vegalite.v5+json" in timeline
    assert "steps in" in timeline["text/plain"]
    assert cells[-1].outputs[0].data["text/html"].count("<tr>") == 6
    assert "memory_peak_bytes" in shown("costs = %container costs")
