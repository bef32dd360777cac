"""The `WWW-Authenticate` header, as registries write it and as nobody should."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelbox.registry.challenge import Challenge, parse


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ('Basic realm="lab"', [Challenge("basic", {"realm": "lab"})]),
        ("Basic", [Challenge("basic", {})]),
        (
            'Bearer realm="https://auth.example/token",service="images.example",scope="repository:lab/tool:pull,push"',
            [
                Challenge(
                    "bearer",
                    {
                        "realm": "https://auth.example/token",
                        "service": "images.example",
                        "scope": "repository:lab/tool:pull,push",
                    },
                )
            ],
        ),
        ("BEARER Realm = x , Service=y", [Challenge("bearer", {"realm": "x", "service": "y"})]),
        (r'Bearer realm="a\"b\\c"', [Challenge("bearer", {"realm": 'a"b\\c'})]),
        (
            'Basic realm="a", Bearer realm="b", error="x"',
            [Challenge("basic", {"realm": "a"}), Challenge("bearer", {"realm": "b", "error": "x"})],
        ),
        (
            "Negotiate dG9rZW4=, Basic realm=a",
            [Challenge("negotiate", {}), Challenge("basic", {"realm": "a"})],
        ),
        ('Bearer realm="first", realm="second"', [Challenge("bearer", {"realm": "first"})]),
        ("", []),
        ('"', []),
    ],
)
def test_challenges(header: str, found: list[Challenge]) -> None:
    assert list(parse(header)) == found


@pytest.mark.parametrize("header", ['Bearer realm="open', "Bearer realm=", "Bearer =x", "Bearer ,,,"])
def test_what_makes_no_sense_has_no_realm(header: str) -> None:
    assert all(not each.get("realm") for each in parse(header))


@given(st.text(max_size=200))
def test_any_text_is_read_to_an_end(header: str) -> None:
    for each in parse(header):
        assert each.scheme == each.scheme.lower()


TOKEN = st.text("abcXYZ019!#$%&'*+.^_`|~-", min_size=1, max_size=8)


@given(TOKEN, st.dictionaries(TOKEN.map(str.lower), st.text(max_size=20), min_size=1, max_size=4))
def test_what_is_quoted_comes_back(scheme: str, parameters: dict[str, str]) -> None:
    quoted = {name: value.replace("\\", "\\\\").replace('"', '\\"') for name, value in parameters.items()}
    header = f"{scheme} " + ", ".join(f'{name}="{value}"' for name, value in quoted.items())
    if all("\n" not in value for value in parameters.values()):
        assert parse(header) == (Challenge(scheme.lower(), parameters),)


@pytest.mark.parametrize("header", ["c=d," * 4000, "c" * 16_000, 'realm="' + "\\" * 16_000, " " * 16_000, "c =" * 5000])
def test_a_long_header_is_read_to_an_end(header: str) -> None:
    assert len(parse(f"Bearer {header}")) >= 1
    assert parse(f"Bearer {header}" * 100) == ()
