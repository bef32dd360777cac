from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.linux.ebpf import BLOCK, CHAR, MKNOD, READ, WRITE, run

from kernelbox.errors import InvalidOption, NotSupported
from kernelbox.linux.devices import DEFAULT_RULES, DENY_ALL, Node, Rule, filter_program, node_of, parse_rule, v1_lines

ALLOW_ALL = Rule(allow=True)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("c 1:3 rwm", Rule(True, "c", 1, 3)),
        ("b 8:* mr", Rule(True, "b", 8, None, "rm")),
        ("a *:* rwm", Rule(True)),
        ("a", Rule(True)),
        (" c *:7 w ", Rule(True, "c", None, 7, "w")),
    ],
)
def test_parse(text: str, rule: Rule) -> None:
    assert parse_rule(text) == rule


@pytest.mark.parametrize(
    "text", ["", "c", "c 1 rwm", "x 1:3 r", "c 1:3", "c 1:3 x", "c -1:3 r", "c 1:3 rwm\0", "c 99999999999:1 r"]
)
def test_what_is_not_a_rule(text: str) -> None:
    with pytest.raises(InvalidOption, match="is not a device"):
        parse_rule(text)


def test_default_lines() -> None:
    assert v1_lines(DEFAULT_RULES) == (
        "c 1:3 rwm",
        "c 1:5 rwm",
        "c 1:7 rwm",
        "c 1:8 rwm",
        "c 1:9 rwm",
        "c 5:0 rwm",
        "c 5:2 rwm",
        "c 136:* rwm",
    )


@pytest.mark.parametrize(
    ("rules", "lines"),
    [
        ([], ()),
        ([ALLOW_ALL], ("a",)),
        ([ALLOW_ALL, DENY_ALL], ()),
        ([parse_rule("c 1:3 r"), parse_rule("c 1:3 w")], ("c 1:3 rw",)),
        ([parse_rule("c 1:3 rwm"), parse_rule("c 1:3 w", allow=False)], ("c 1:3 rm",)),
        ([parse_rule("c 1:3 rwm"), parse_rule("c *:* m", allow=False)], ("c 1:3 rw",)),
        ([parse_rule("c 1:3 r"), parse_rule("b 8:0 r", allow=False)], ("c 1:3 r",)),
        ([parse_rule("a *:* m")], ("b *:* m", "c *:* m")),
    ],
)
def test_lines(rules: list[Rule], lines: tuple[str, ...]) -> None:
    assert v1_lines(rules) == lines


@pytest.mark.parametrize(
    "rules",
    [
        [ALLOW_ALL, parse_rule("b 8:0 w", allow=False)],
        [parse_rule("c 1:* r"), parse_rule("c 1:3 r", allow=False)],
    ],
)
def test_v1_cannot_hold_exceptions(rules: list[Rule]) -> None:
    with pytest.raises(NotSupported, match="cannot deny"):
        v1_lines(rules)


@pytest.mark.parametrize(
    ("kind", "access", "major", "minor", "allowed"),
    [
        (CHAR, READ | WRITE, 1, 3, True),
        (CHAR, MKNOD, 1, 3, True),
        (CHAR, READ, 136, 77, True),
        (CHAR, READ, 5, 2, True),
        (BLOCK, READ, 1, 3, False),
        (CHAR, READ, 1, 1, False),
        (CHAR, READ, 10, 200, False),
        (BLOCK, MKNOD, 8, 0, False),
    ],
)
def test_default_program(kind: int, access: int, major: int, minor: int, allowed: bool) -> None:
    assert run(filter_program(DEFAULT_RULES), kind, access, major, minor) == allowed


kinds = st.sampled_from(["b", "c"])
numbers = st.one_of(st.none(), st.integers(0, 2))
some_rules = st.lists(
    st.builds(
        Rule,
        st.booleans(),
        st.sampled_from(["a", "b", "c"]),
        numbers,
        numbers,
        st.sampled_from(["r", "w", "m", "rw", "rwm"]),
    ),
    max_size=6,
)


def plainly(rules: Sequence[Rule], kind: str, access: set[str], major: int, minor: int) -> bool:
    """Later rules win; neighbours about the same devices are one rule."""
    verdict = False
    applied: list[tuple[Rule, set[str]]] = []
    for rule in rules:
        same = (rule.allow, rule.kind, rule.major, rule.minor)
        last = applied[-1][0] if applied else None
        merged = set(rule.access)
        if last and (last.allow, last.kind, last.major, last.minor) == same:
            merged |= applied.pop()[1]
        applied.append((rule, merged))
    for rule, letters in applied:
        here = rule.kind in ("a", kind) and rule.major in (None, major) and rule.minor in (None, minor)
        if here and (access <= letters if rule.allow else access & letters):
            verdict = rule.allow
    return verdict


@settings(max_examples=300, deadline=None)
@given(some_rules, kinds, st.sets(st.sampled_from("rwm"), min_size=1), st.integers(0, 3), st.integers(0, 3))
def test_program_against_a_plain_reading(
    rules: list[Rule], kind: str, access: set[str], major: int, minor: int
) -> None:
    bits = sum({"r": READ, "w": WRITE, "m": MKNOD}[letter] for letter in access)
    answer = run(filter_program(rules), CHAR if kind == "c" else BLOCK, bits, major, minor)
    assert answer == plainly(rules, kind, access, major, minor)


@pytest.mark.parametrize("number", [1 << 31, 1 << 32, 1 << 63, -2])
def test_numbers_that_no_device_has(number: int) -> None:
    for numbers in ((number, 0), (0, number), (None, number)):
        with pytest.raises(InvalidOption, match=f"{number} is not a device number"):
            Rule(True, "c", *numbers)


def test_the_largest_number_and_the_one_for_all() -> None:
    most = (1 << 31) - 1
    program = filter_program([DENY_ALL, Rule(True, "c", most, most)])
    assert run(program, CHAR, READ, most, most)
    assert not run(program, CHAR, READ, most, most - 1)
    assert Rule(True, "c", -1, -1) == Rule(True, "c")


def test_node_of() -> None:
    assert node_of("/dev/null") == Node("/dev/null", "c", 1, 3, 0o666)
    assert node_of("/dev/null", "/dev/nil").path == "/dev/nil"


def test_node_of_an_ordinary_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="is not a device file"):
        node_of(tmp_path)
