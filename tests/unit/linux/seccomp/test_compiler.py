"""The compiler against a plain reading of the rules, for random profiles and arguments."""

from __future__ import annotations

import errno
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.linux.classic_bpf import ALLOW, errno_of, run

from kernelbox.errors import InvalidOption
from kernelbox.linux import seccomp
from kernelbox.linux.seccomp import Compare, Profile, Rule, listing
from kernelbox.linux.seccomp.profile import OPERATIONS, verdict

pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="the table of numbers is that of x86-64")

NUMBERS = {"read": 0, "write": 1, "open": 2, "socket": 41, "clone": 56, "getppid": 110, "openat": 257}
MASK = 2**64 - 1
interesting = st.one_of(
    st.sampled_from([0, 1, 2, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 32, (1 << 32) + 1, (1 << 32) - 1, 1 << 63, MASK]),
    st.integers(0, MASK),
)
compares = st.builds(Compare, st.integers(0, 5), interesting, st.sampled_from(OPERATIONS), interesting)
rules = st.builds(
    Rule,
    st.lists(st.sampled_from(sorted(NUMBERS)), min_size=1, max_size=3).map(tuple),
    st.sampled_from(["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_LOG", "SCMP_ACT_KILL_PROCESS"]),
    st.sampled_from([None, 5, 38]),
    st.lists(compares, max_size=4).map(tuple),
)
profiles = st.builds(Profile, st.just("SCMP_ACT_ERRNO"), st.lists(rules, max_size=8).map(tuple), st.just(38))


def holds(test: Compare, arguments: list[int]) -> bool:
    a, b = arguments[test.index], test.value
    return {
        "SCMP_CMP_NE": a != b,
        "SCMP_CMP_LT": a < b,
        "SCMP_CMP_LE": a <= b,
        "SCMP_CMP_EQ": a == b,
        "SCMP_CMP_GE": a >= b,
        "SCMP_CMP_GT": a > b,
        "SCMP_CMP_MASKED_EQ": a & b == test.value_two,
    }[test.operation]


def expected(profile: Profile, name: str, arguments: list[int]) -> int:
    mine = [rule for rule in profile.rules if name in rule.names]
    for rule in sorted(mine, key=lambda rule: not rule.args):
        if all(holds(test, arguments) for test in rule.args):
            return verdict(rule.action, rule.errno)
    return verdict(profile.default_action, profile.default_errno)


@settings(max_examples=150, deadline=None)
@given(profiles, st.lists(interesting, min_size=6, max_size=6), st.data())
def test_against_a_plain_reading(profile: Profile, arguments: list[int], data: st.DataObject) -> None:
    code = seccomp.compile(profile)
    values = [test.value for rule in profile.rules for test in rule.args]
    values += [test.value_two for rule in profile.rules for test in rule.args]
    near = [data.draw(st.sampled_from(values)) if values else 0 for _ in range(6)]
    for given_arguments in (arguments, near):
        for name, number in NUMBERS.items():
            assert run(code, number, *given_arguments) == expected(profile, name, given_arguments)
        assert errno_of(run(code, 500, *given_arguments)) == errno.ENOSYS


def test_a_call_without_rules_gets_the_default() -> None:
    assert run(seccomp.compile(Profile("SCMP_ACT_ALLOW", ())), 7) == ALLOW


def test_names_unknown_here_are_skipped() -> None:
    code = seccomp.compile(Profile("SCMP_ACT_ALLOW", (Rule(("no_such_call", "getppid"), "SCMP_ACT_ERRNO"),)))
    assert errno_of(run(code, NUMBERS["getppid"])) == errno.EPERM


def test_equal_profiles_are_compiled_once() -> None:
    rules = (Rule(("getppid",), "SCMP_ACT_ERRNO"),)
    assert seccomp.compile(Profile("SCMP_ACT_ALLOW", rules)) is seccomp.compile(Profile("SCMP_ACT_ALLOW", rules))


def test_a_rule_that_is_too_long_is_refused() -> None:
    tests = tuple(Compare(index % 6, index, "SCMP_CMP_GT") for index in range(60))
    with pytest.raises(InvalidOption, match="too long for a filter"):
        seccomp.compile(Profile("SCMP_ACT_ALLOW", (Rule(("read",), "SCMP_ACT_ERRNO", args=tests),)))


def test_a_filter_beyond_the_kernels_limit_is_refused() -> None:
    many = tuple(Rule(("read",), "SCMP_ACT_ERRNO", 5, (Compare(0, value),)) for value in range(1000))
    with pytest.raises(InvalidOption, match="the kernel takes 4096"):
        seccomp.compile(Profile("SCMP_ACT_ALLOW", many))


def test_listing_is_for_people() -> None:
    text = listing(seccomp.compile(Profile("SCMP_ACT_ALLOW", (Rule(("getppid",), "SCMP_ACT_ERRNO"),))))
    assert "if A >= 0x6e goto" in text
    assert text.count("return 0x7fff0000") == 3
