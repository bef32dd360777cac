"""The names of content."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelbox.errors import InvalidContent
from kernelbox.oci.digest import ALGORITHMS, Digest

NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_of_content() -> None:
    found = Digest.of(b"")
    assert str(found) == f"sha256:{NOTHING}"
    assert found.short == NOTHING[:12]
    assert Digest.parse(str(found)) == found
    assert Digest.of(b"x", "sha512").encoded == hashlib.sha512(b"x").hexdigest()


WRONG = [
    *("", ":", "sha256", "sha256:", f":{NOTHING}", NOTHING, f"sha256:{NOTHING[1:]}", f"sha256:{NOTHING}0"),
    *(
        f"sha256:{NOTHING.upper()}",
        f"SHA256:{NOTHING}",
        f"sha256:{NOTHING} ",
        f"sha256:{NOTHING}\n",
        f"sha512:{NOTHING}",
    ),
    *(f"sha256:{NOTHING[:-1]}g", f"sha256:../{NOTHING[3:]}", f"sha256::{NOTHING[1:]}", f"md5:{'0' * 32}", "sha256:é"),
    *(
        f"sha384:{'0' * 96}",
        f"sha256+b64:{NOTHING}",
        "sha256:" + "٣" * 64,
        "sha256:" + "0" * 10_000,
        "blake3:" + "0" * 64,
    ),
]


@pytest.mark.parametrize("text", WRONG)
def test_what_is_none(text: str) -> None:
    with pytest.raises(InvalidContent) as caught:
        Digest.parse(text)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 300


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_content_is_held_against_it(algorithm: str) -> None:
    wanted = Digest.of(b"content", algorithm)
    wanted.check(b"content", "blob")
    with pytest.raises(InvalidContent, match=f"blob is damaged: it should be {wanted} and is {algorithm}:"):
        wanted.check(b"contents", "blob")
    hasher = wanted.hasher()
    hasher.update(b"con")
    hasher.update(b"tent")
    assert hasher.hexdigest() == wanted.encoded


@given(st.binary(max_size=50), st.sampled_from(sorted(ALGORITHMS)))
@settings(deadline=None)
def test_written_and_read(content: bytes, algorithm: str) -> None:
    found = Digest.of(content, algorithm)
    assert Digest.parse(str(found)) == found
    assert len(found.encoded) == ALGORITHMS[algorithm]
