"""The limits that keep every file readable: its length, that of its functions and lines, and its name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from sources import SOURCES, files

FILE_LINES = 400
FUNCTION_LINES = 60
COLUMNS = 120
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "manager", "common", "misc", "tools"}
UNFINISHED = re.compile(r"\b(TO[D]O|FIX[M]E|XX[X])\b")
TICKETS = re.compile(r"\b(issue|pull request|ticket) ?#?[0-9]+", re.IGNORECASE)
C_FUNCTION = re.compile(r"^[A-Za-z_].*\b(\w+)\([^;]*\)?\n(?:[ \t].*\n)*\{\n(?P<body>(?:.*\n)*?)\}$", re.MULTILINE)

PYTHON = files("*.py")
C = files("*.c", "*.h")


def relative(path: Path) -> str:
    return str(path.relative_to(SOURCES))


def lines_matching(pattern: re.Pattern[str], paths: list[Path]) -> list[str]:
    return [
        f"{relative(path)}:{number}: {line.strip()}"
        for path in paths
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if pattern.search(line)
    ]


def python_functions(path: Path) -> Iterator[tuple[str, int]]:
    """(name, lines without the docstring) of every function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            start = node.body[0].end_lineno or node.lineno if ast.get_docstring(node) else node.lineno
            yield node.name, (node.end_lineno or start) - start


def c_functions(path: Path) -> Iterator[tuple[str, int]]:
    for found in C_FUNCTION.finditer(path.read_text()):
        yield found[1], found["body"].count("\n")


def test_files_are_short() -> None:
    lengths = {relative(path): len(path.read_text().splitlines()) for path in [*PYTHON, *C]}
    assert not {path: length for path, length in lengths.items() if length >= FILE_LINES}


def test_functions_are_short() -> None:
    found = [(path, *function) for path in PYTHON for function in python_functions(path)]
    found += [(path, *function) for path in C for function in c_functions(path)]
    assert len(found) > 100
    assert not {f"{relative(path)} {name}": count for path, name, count in found if count >= FUNCTION_LINES}


def test_lines_are_short() -> None:
    # ruff sees to Python's.
    assert not lines_matching(re.compile(f".{{{COLUMNS + 1},}}"), C)


def test_no_tabs_and_no_blanks_at_the_end_of_a_line() -> None:
    assert not lines_matching(re.compile(r"\t|[ \t]$"), [*PYTHON, *C])


def test_names_say_something() -> None:
    assert not [relative(path) for path in [*PYTHON, *C] if path.stem in EMPTY_NAMES or path.parent.name in EMPTY_NAMES]


def test_nothing_is_marked_unfinished() -> None:
    assert not lines_matching(UNFINISHED, [*PYTHON, *C])


def test_reasons_stand_in_the_code_and_not_in_tickets() -> None:
    assert not lines_matching(TICKETS, [*PYTHON, *C])
