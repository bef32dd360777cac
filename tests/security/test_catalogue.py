"""Every number of the catalogue has tests that exist, or waits for something that does not exist yet."""

from __future__ import annotations

import ast
from functools import cache

import pytest
from security.catalogue import CATALOGUE
from security.entries import Entry
from sources import SOURCES

LATER = {"T38", "T39", "T51", "T53", "T54", "T55", "T57", "T58"}
"""T38 and T39 were never given away; the others are about reliability alone, and belong to tests/faults."""


@cache
def functions(path: str) -> frozenset[str]:
    tree = ast.parse((SOURCES / path).read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.number)
def test_a_number_has_its_tests(entry: Entry) -> None:
    assert bool(entry.tests) != bool(entry.waits_for)
    assert entry.rule.endswith(".")
    for test in entry.tests:
        path, _, name = test.partition("::")
        assert name.startswith("test_")
        assert name in functions(path), f"{path} has no {name}"
    if entry.waits_for:
        assert not (SOURCES / entry.waits_for).exists(), "it is there now, and needs tests"


def test_the_numbers_are_whole_and_in_order() -> None:
    numbers = [entry.number for entry in CATALOGUE]
    attacks = [f"T{number:02}" for number in range(1, 67) if f"T{number:02}" not in LATER]
    own = [number for number in numbers if number.startswith("K")]
    assert numbers == attacks + [f"K{number:02}" for number in range(1, len(own) + 1)]


def test_tests_of_security_are_all_in_it() -> None:
    named = {test for entry in CATALOGUE for test in entry.tests}
    found = {
        f"{path.relative_to(SOURCES)}::{name}"
        for path in (SOURCES / "tests/security").glob("test_*.py")
        if path.name != "test_catalogue.py"
        for name in functions(str(path.relative_to(SOURCES)))
        if name.startswith("test_")
    }
    assert found <= named, found - named
