"""What images are called, in Docker's short way and in whole."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelbox.errors import InvalidOption
from kernelbox.oci import reference
from kernelbox.oci.digest import Digest
from kernelbox.oci.reference import Reference, is_registry, is_repository, is_tag, parse

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"


@pytest.mark.parametrize(
    ("text", "whole", "familiar"),
    [
        ("debian", "docker.io/library/debian:latest", "debian:latest"),
        ("debian:12", "docker.io/library/debian:12", "debian:12"),
        ("library/debian", "docker.io/library/debian:latest", "debian:latest"),
        ("docker.io/debian", "docker.io/library/debian:latest", "debian:latest"),
        ("index.docker.io/library/debian", "docker.io/library/debian:latest", "debian:latest"),
        ("index.docker.io/lab/tool", "docker.io/lab/tool:latest", "lab/tool:latest"),
        ("lab/tool", "docker.io/lab/tool:latest", "lab/tool:latest"),
        ("library/lab/tool", "docker.io/library/lab/tool:latest", "library/lab/tool:latest"),
        ("docker.io/a.b/c", "docker.io/a.b/c:latest", "docker.io/a.b/c:latest"),
        ("docker.io/localhost/c", "docker.io/localhost/c:latest", "docker.io/localhost/c:latest"),
        ("docker.io", "docker.io/library/docker.io:latest", "docker.io:latest"),
        ("localhost", "docker.io/library/localhost:latest", "localhost:latest"),
        ("localhost/tool", "localhost/tool:latest", "localhost/tool:latest"),
        ("localhost:5000/tool", "localhost:5000/tool:latest", "localhost:5000/tool:latest"),
        ("localhost:5000", "docker.io/library/localhost:5000", "localhost:5000"),
        ("lab.example/a/b/c:1.0", "lab.example/a/b/c:1.0", "lab.example/a/b/c:1.0"),
        ("Lab/tool", "Lab/tool:latest", "Lab/tool:latest"),
        ("127.0.0.1:5000/a", "127.0.0.1:5000/a:latest", "127.0.0.1:5000/a:latest"),
        ("[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest"),
        ("[2001:db8::1]/a", "[2001:db8::1]/a:latest", "[2001:db8::1]/a:latest"),
        (f"debian@{DIGEST}", f"docker.io/library/debian@{DIGEST}", f"debian@{DIGEST}"),
        (f"a.b/c:1@{DIGEST}", f"a.b/c:1@{DIGEST}", f"a.b/c:1@{DIGEST}"),
        (f"a@sha512:{HEX}{HEX}", f"docker.io/library/a@sha512:{HEX}{HEX}", f"a@sha512:{HEX}{HEX}"),
        ("a__b/c--d/e.f_g", "docker.io/a__b/c--d/e.f_g:latest", "a__b/c--d/e.f_g:latest"),
        ("a:A_b.c-D", "docker.io/library/a:A_b.c-D", "a:A_b.c-D"),
    ],
)
def test_a_name(text: str, whole: str, familiar: str) -> None:
    found = parse(text)
    assert (str(found), found.familiar) == (whole, familiar)
    assert parse(whole) == parse(familiar) == found


WRONG = [
    *(
        "",
        "/",
        "a/",
        "/a",
        "a//b",
        "Debian",
        "a b",
        " a",
        "a\n",
        "-a",
        "a-",
        "a___b",
        "a..b",
        "é",
        "a/Ä",
        "a\\b",
        "a\0",
    ),
    *("a/../b", "a/./b", "a%2fb", "a:", ":b", "a:b:c", "a:-b", "a:.b", "a:é", f"a:{'t' * 129}", "a:b/c"),
    *("a@", f"a@{DIGEST}@{DIGEST}", f"@{DIGEST}", "a@sha256:12", "a@md5:" + "0" * 32, f"a@SHA256:{HEX}"),
    *(f"a@{DIGEST.upper()}", HEX, f"library/{HEX}", f"docker.io/{HEX}", f"{HEX}:1"),
    *("http://lab.example/a", "lab.example:port/a", "lab.example:/a", "lab.example:0/a", "lab.example:65536/a"),
    *("lab..example/a", "-lab.example/a", "[::1/a", "::1]/a", "user@lab.example/a", "lab.example/"),
]


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        parse(text)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400


def test_how_long_names_may_be() -> None:
    assert parse("lab.example/" + "a" * 243).name == "lab.example/" + "a" * 243
    assert parse("a:" + "t" * 128).tag == "t" * 128
    with pytest.raises(InvalidOption, match="longer than 255 characters"):
        parse("lab.example/" + "a" * 244)
    with pytest.raises(InvalidOption, match="longer than 255 characters"):
        parse("a" * 238)  # docker.io/library/ comes before it
    with pytest.raises(InvalidOption, match="is no tag"):
        parse("a:" + "t" * 129)


def test_sentences_say_what_would_be_right() -> None:
    with pytest.raises(InvalidOption, match="lower case"):
        parse("lab.example/Tool")
    with pytest.raises(InvalidOption, match="64 hexadecimal digits are an id"):
        parse(HEX)
    with pytest.raises(InvalidOption, match=r"'lab\.example:99999' is no host of a registry"):
        parse("lab.example:99999/a")


def test_another_tag_and_another_content() -> None:
    both = parse(f"lab.example/a:1@{DIGEST}")
    assert both.asked == DIGEST
    assert both.with_tag("2") == Reference("lab.example", "a", "2")
    assert both.with_tag("2").asked == "2"
    other = Digest.of(b"")
    assert str(both.with_digest(other)) == f"lab.example/a@{other}"
    with pytest.raises(InvalidOption, match="is no tag"):
        both.with_tag("a/b")


def test_where_the_api_is() -> None:
    assert parse("debian").host != parse("debian").registry == reference.DEFAULT_REGISTRY
    assert parse("localhost:5000/a").host == "localhost:5000"


@pytest.mark.parametrize(
    "text", ["lab", "lab.example", "lab.example:1", "1.2.3.4:65535", "[::1]", "[::1]:80", "a" * 255]
)
def test_a_registry(text: str) -> None:
    assert is_registry(text)


@pytest.mark.parametrize(
    "text", ["", "a:", "a:0", "a:65536", "::1", "a b", "a_b", "-a", "a.", "[::1]x", "a" * 256, "a/b", "a\n"]
)
def test_no_registry(text: str) -> None:
    assert not is_registry(text)


def test_repositories_and_tags_for_servers() -> None:
    assert is_repository("a/b/c")
    assert not is_repository("a" * 256)
    assert not is_repository("a/..")
    assert is_tag("_")
    assert not is_tag("")
    assert not is_tag("a\n")


@given(
    st.text(max_size=40) | st.text("aA0.:/@-_[]", max_size=30) | st.from_regex(r"[a-z.:/0-9]{1,20}@sha256:[0-9a-f]{64}")
)
@settings(deadline=None)
def test_refused_or_the_same_again(text: str) -> None:
    try:
        found = parse(text)
    except InvalidOption:
        return
    assert parse(str(found)) == parse(found.familiar) == found
    assert is_registry(found.registry)
    assert is_repository(found.repository)
    assert is_tag(found.tag) or (found.tag == "" and found.digest)
    assert len(found.name) <= 255
    assert ".." not in found.repository.split("/")
