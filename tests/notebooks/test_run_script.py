"""The program behind `make demo`: it runs notebooks from top to bottom and prints what a terminal can show."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from sources import SOURCES

FIRST = SOURCES / "notebooks/00_first_cell.ipynb"


def execute(*notebooks: Path) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, SOURCES / "notebooks/run.py", *notebooks]
    return subprocess.run(program, capture_output=True, text=True, timeout=120)


def notebook(path: Path, *cells: str) -> Path:
    made = new_notebook(cells=[new_markdown_cell("# A title\n"), *map(new_code_cell, cells)])
    nbformat.write(made, path)
    return path


@pytest.mark.kernel
def test_the_first_notebook(store: Path) -> None:
    """Every cell with its number and its outputs, in the order of the file, which stays as it is."""
    before = FIRST.read_bytes()
    done = execute(FIRST)
    assert (done.returncode, done.stderr) == (0, "")
    assert FIRST.read_bytes() == before
    printed = done.stdout
    rest = printed
    for cell in nbformat.read(FIRST, as_version=4).cells:
        _, found, rest = rest.partition(cell.source.split("\n")[0])
        assert found, cell.source
    assert printed.startswith("\n# The first cell\n")
    assert "\nIn [2]: %%container host python3\n        print(6 * 7)\n42\n" in printed
    assert re.search(r"^Out\[2\]: <RunResult host python3: exit 0, ", printed, re.M)
    assert re.search(r"^I am root on .*\nlo\n/etc/i-was-here$", printed, re.M)
    assert '\n        Path("/etc/i-was-here").exists()\nOut[4]: False\n' in printed
    assert "\nIn [7]: summary\nOut[7]: {'how many': 3, 'mean': 2.25}\n" in printed
    assert "\nIn [9]: cheapest\nOut[9]: \n    name  price\n0  apple   1.25\n" in printed
    assert re.search(r"^Out\[12\]: <RunResult host \S+: timed out, ", printed, re.M)
    assert re.search(r"^Out\[13\]: \nlaunch: \d+ steps in ", printed, re.M)


def test_a_cell_that_fails_ends_its_notebook(tmp_path: Path) -> None:
    """The next one is run all the same."""
    failing = notebook(tmp_path / "failing.ipynb", "print('before')", "1 / 0", "print('after')")
    well = notebook(tmp_path / "well.ipynb", "6 * 7", "print('words', end='')", "None")
    done = execute(failing, well)
    assert done.returncode == 1
    first, second = done.stdout.split("\n# A title\n")[1:]
    assert "In [1]: print('before')\nbefore\n" in first
    assert "ZeroDivisionError" in first
    assert "In [3]" not in first
    assert second.split("\n") == [
        *("", "In [1]: 6 * 7", "Out[1]: 42", ""),
        *("In [2]: print('words', end='')", "words", "", "In [3]: None", "", ""),
    ]
