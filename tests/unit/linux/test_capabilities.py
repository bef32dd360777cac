from __future__ import annotations

import re
from pathlib import Path

import pytest

from kernelbox.errors import InvalidOption
from kernelbox.linux import capabilities
from kernelbox.linux.capabilities import ALL, DEFAULT, Sets, names, of, parse


@pytest.mark.parametrize("name", ["CAP_KILL", "KILL", "kill", "cap_kill", "Cap_Kill"])
def test_spellings(name: str) -> None:
    assert parse([name]) == 1 << 5


def test_all() -> None:
    assert parse(["ALL"]) == parse(["cap_all"]) == parse(ALL)
    assert names(parse(["all"])) == ALL


def test_default_is_podmans() -> None:
    assert len(DEFAULT) == 11
    assert names(parse(DEFAULT)) == tuple(sorted(DEFAULT, key=ALL.index))
    assert "CAP_NET_RAW" not in DEFAULT


def test_names_are_those_of_the_header() -> None:
    header = Path("/usr/include/linux/capability.h")
    if not header.exists():
        pytest.skip("the kernel's headers (linux-libc-dev) are not installed")
    found = {
        name: int(number) for name, number in re.findall(r"#define (CAP_\w+)\s+(\d+)\s*$", header.read_text(), re.M)
    }
    assert {name: parse([name]).bit_length() - 1 for name in ALL} == found


def test_unknown_bits_keep_their_number() -> None:
    assert names(1 << 63 | 1) == ("CAP_CHOWN", "CAP_63")


def test_unknown_name() -> None:
    with pytest.raises(InvalidOption, match=r"unknown capability 'NET_ADMN' \(hint: did you mean CAP_NET_ADMIN\?\)"):
        parse(["NET_ADMN"])


def test_of(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1/status").write_text(
        "Name:\tx\nCapInh:\t0000000000000001\nCapPrm:\t0000000000000002\nCapEff:\t0000000000000003\n"
        "CapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000000\nNoNewPrivs:\t0\n"
    )
    assert of(1, tmp_path) == Sets(1, 2, 3, (1 << 41) - 1, 0)


def test_current_is_within_bounding() -> None:
    sets = capabilities.current()
    assert sets.effective & ~sets.permitted == 0
    assert capabilities.bounding() == sets.bounding


def test_without_is_undone() -> None:
    before = capabilities.current()
    with capabilities.without("CHOWN", "KILL"):
        assert capabilities.current().effective & parse(["CHOWN", "KILL"]) == 0
        assert capabilities.current().permitted == before.permitted
    assert capabilities.current() == before
