"""Who is spoken to, and where answers may send us on to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelbox.errors import RegistryError
from kernelbox.registry.origin import Origin, follow, is_loopback, without_query


def test_an_origin_is_scheme_host_and_port() -> None:
    assert Origin.of("https://Images.Example/v2/") == Origin("https", "images.example", 443)
    assert Origin.of("http://images.example:5000") != Origin.of("http://images.example:5001")
    assert Origin.of("https://images.example") != Origin.of("http://images.example:443")
    assert str(Origin.of("http://[::1]:5000/x")) == "http://[::1]:5000"
    assert str(Origin.of("https://images.example:443/x")) == "https://images.example"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://images.example/",
        "//images.example",
        "/v2/",
        "https://",
        "https://images.example:99999/",
        "https://images.example:0/",
        "https://[::1",
        "https://images.example/a b",
        "https://images.example/\r\nHost: other",
        "https://user:word@images.example/",
        "https://user@images.example/",
        "https://images.example/" + "a" * 20000,
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(RegistryError) as caught:
        Origin.of(url)
    assert "word" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("localhost:5000", True),
        ("127.0.0.1", True),
        ("127.9.9.9:1", True),
        ("[::1]:5000", True),
        ("::1", True),
        ("localhost.example", False),
        ("127.0.0.1.example", False),
        ("10.0.0.1", False),
        ("images.example:5000", False),
        ("[::1", False),
        ("", False),
    ],
)
def test_loopback_is_this_machine(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/v2/x", "https://images.example:5000/v2/x"),
        ("next?n=1", "https://images.example:5000/v2/a/next?n=1"),
        ("https://storage.example/key?signed", "https://storage.example/key?signed"),
        ("//storage.example/key", "https://storage.example/key"),
    ],
)
def test_a_location_is_followed(location: str, target: str) -> None:
    assert follow("https://images.example:5000/v2/a/b", location) == target


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("http://images.example:5000/v2/x", "not encrypted"),
        ("http://storage.example/", "not encrypted"),
        ("https://localhost/", "this machine"),
        ("https://127.0.0.1:2375/", "this machine"),
        ("https://[::1]/", "this machine"),
        ("https://[::ffff:127.0.0.1]/", "this machine"),
        ("https://0.0.0.0/", "this machine"),
        ("https://[::]/", "this machine"),
        ("https://127.1/", "this machine"),
        ("https://0x7f000001/", "this machine"),
        ("https://2130706433/", "this machine"),
        ("https://LOCALHOST./", "this machine"),
        ("https://x.localhost/", "this machine"),
        ("https://169.254.169.254/latest/", "this machine"),
        ("https://[fe80::1]/", "this machine"),
        ("https://user:word@images.example:5000/", "user's name"),
        ("file:///etc/passwd", "no address"),
        ("https://images.example:x/", "no address"),
    ],
)
def test_a_location_is_refused(location: str, why: str) -> None:
    with pytest.raises(RegistryError, match=why):
        follow("https://images.example:5000/v2/a/b", location)


@given(st.text(max_size=80))
def test_whatever_a_location_says_it_is_an_address_or_an_error(location: str) -> None:
    try:
        target = follow("https://images.example/v2/", location)
    except RegistryError:
        return
    assert Origin.of(target).scheme == "https"


def test_sentences_have_no_keys_in_them() -> None:
    assert without_query("https://storage.example/key?signature=secret") == "https://storage.example/key"
