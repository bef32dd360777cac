"""Platforms in all the spellings that Docker takes."""

from __future__ import annotations

import pytest

from kernelbox.errors import InvalidOption
from kernelbox.oci.platform import Platform, of_machine, parse


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/x86-64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("LINUX/AMD64", "linux/amd64"),
        ("amd64", "linux/amd64"),
        ("linux", "linux/own"),
        ("windows", "windows/own"),
        ("linux/arm64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/arm64/v9", "linux/arm64/v9"),
        ("aarch64", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/v6", "linux/arm/v6"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/i386", "linux/386"),
        ("linux/s390x", "linux/s390x"),
    ],
)
def test_a_spelling(text: str, meant: str) -> None:
    assert str(parse(text, "riscv64")) == meant.replace("own", "riscv64")


WRONG = ["", "/", "a/b", "linux/", "/amd64", "linux//v8", "linux/amd64/v1/x", "amd64/linux", "arm64/v8", "6502"]


@pytest.mark.parametrize("text", [*WRONG, "linux/a d", "linux/amd64\n", "linux/amd64/../x"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(InvalidOption, match="is no platform"):
        parse(text)


def test_that_of_a_machine() -> None:
    assert of_machine("x86_64") == Platform("linux", "amd64") == parse("amd64")
    assert of_machine("aarch64") == parse("linux/arm64/v8")
    assert of_machine("armv7l") == parse("linux/arm")
    assert of_machine("riscv64") == parse("linux/riscv64")
