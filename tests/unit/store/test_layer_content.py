"""Compressed content: whole and right, or refused; never more of it at once than was asked for."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelbox.errors import InvalidContent, StoreError
from kernelbox.oci.digest import Digest
from kernelbox.store.layer_content import (
    GZIP,
    PLAIN,
    ZSTD,
    Bounded,
    Bounds,
    Hashing,
    Readable,
    compression_of,
    decompressed,
)

CONTENT = os.urandom(100_000) + b"long and dull" * 200_000
SKIPPED = b"\x5a\x2a\x4d\x18\x03\0\0\0abc"


def with_checksum(content: bytes) -> bytes:
    compressor = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    return compressor.compress(content) + compressor.flush()


def raw_blocks(content: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=-5, write_content_size=False).compress(content)


COMPRESSORS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "plain": (PLAIN, bytes),
    "gzip": (GZIP, gzip.compress),
    "gzip in members": (GZIP, lambda content: gzip.compress(content[:9]) + gzip.compress(content[9:])),
    "gzip and zeros": (GZIP, lambda content: gzip.compress(content) + bytes(6_000)),
    "zstd": (ZSTD, lambda content: zstandard.ZstdCompressor().compress(content)),
    "zstd with a checksum": (ZSTD, with_checksum),
    "zstd without a size": (ZSTD, raw_blocks),
    "zstd in frames": (ZSTD, lambda content: SKIPPED + with_checksum(content[:9]) + SKIPPED + raw_blocks(content[9:])),
    "zstd and a table": (ZSTD, lambda content: with_checksum(content) + SKIPPED),
}
every_kind = pytest.mark.parametrize("kind", COMPRESSORS)


class Dribble:
    """A stream that gives little at a time."""

    def __init__(self, content: bytes, size: int) -> None:
        self._file = io.BytesIO(content)
        self._size = size

    def read(self, size: int = -1, /) -> bytes:
        return self._file.read(min(size, self._size) if size >= 0 else self._size)


def all_of(file: Readable, size: int = 65536) -> bytes:
    pieces = []
    while piece := file.read(size):
        assert len(piece) <= size
        pieces.append(piece)
    assert file.read(size) == b"", "its end stays its end"
    return b"".join(pieces)


@every_kind
@pytest.mark.parametrize("known", [True, False])
def test_it_comes_out_as_it_went_in(kind: str, known: bool) -> None:
    compression, compress = COMPRESSORS[kind]
    packed = compress(CONTENT)
    assert compression_of(packed[:4]) == compression
    assert all_of(decompressed(io.BytesIO(packed), compression if known else None)) == CONTENT


@settings(deadline=None)
@given(content=st.binary(max_size=300), size=st.integers(1, 50), asked=st.integers(1, 50))
@every_kind
def test_however_it_is_read(kind: str, content: bytes, size: int, asked: int) -> None:
    packed = COMPRESSORS[kind][1](b"tar:" + content)
    assert all_of(decompressed(Dribble(packed, size)), asked) == b"tar:" + content


@pytest.mark.parametrize("kind", [kind for kind in COMPRESSORS if kind not in ("plain", "gzip and zeros")])
def test_what_is_cut_short_is_refused(kind: str) -> None:
    # Where one member ends and the next begins nobody can tell: a digest has to.
    content = b"tar:" + os.urandom(90) + b"a" * 900
    packed = COMPRESSORS[kind][1](content)
    ends = {len(COMPRESSORS[kind][1](content[:9]))} if "in " in kind else set()
    whole = [cut for cut in range(4, len(packed)) if not refused(packed[:cut])]
    if "in " in kind or "table" in kind:
        assert len(whole) <= 3, "at the ends of frames and members alone"
        assert all(content.startswith(all_of(decompressed(io.BytesIO(packed[:cut])))) for cut in whole)
    else:
        assert not whole, ends


def refused(packed: bytes) -> bool:
    try:
        all_of(decompressed(io.BytesIO(packed)))
    except InvalidContent:
        return True
    return False


@pytest.mark.parametrize("kind", ["gzip", "gzip in members", "zstd with a checksum"])
def test_flipped_bits_are_seen(kind: str) -> None:
    content = b"tar:" + os.urandom(60) + b"a" * 200
    packed = COMPRESSORS[kind][1](content)
    for at in range(4, len(packed)):
        flipped = bytearray(packed)
        flipped[at] ^= 0x10
        # What is changed in a header (a time, a name) may change nothing of the content.
        assert refused(bytes(flipped)) or all_of(decompressed(io.BytesIO(flipped))) == content


@pytest.mark.parametrize("packed", [gzip.compress(b"x") + b"rubbish", with_checksum(b"x") + b"rubbish"])
def test_what_follows_is_refused(packed: bytes) -> None:
    assert refused(packed)


@pytest.mark.parametrize("said", [GZIP, ZSTD, PLAIN])
@every_kind
def test_what_is_not_what_its_type_says(kind: str, said: str) -> None:
    compression, compress = COMPRESSORS[kind]
    packed = compress(b"content")
    if said == compression:
        assert all_of(decompressed(io.BytesIO(packed), said)) == b"content"
    else:
        with pytest.raises(InvalidContent, match="a layer that should be"):
            decompressed(io.BytesIO(packed), said)


@given(st.binary(max_size=200), st.sampled_from([b"\x1f\x8b\x08\0", b"\x28\xb5\x2f\xfd", SKIPPED]))
def test_rubbish_is_refused_or_read(content: bytes, beginning: bytes) -> None:
    refused(beginning + content)  # whatever comes of it, it comes to an end and raises nothing else


def test_a_window_that_takes_all_memory_is_refused() -> None:
    window = (28 - 10) << 3  # 2 to the power of 28 bytes
    frame = b"\x28\xb5\x2f\xfd\0" + bytes([window]) + b"\x01\0\0"
    with pytest.raises(InvalidContent, match=r"zstd is damaged: .*memory"):
        all_of(decompressed(io.BytesIO(frame)))
    frame = b"\x28\xb5\x2f\xfd\0" + bytes([window - 8]) + b"\x01\0\0"
    assert all_of(decompressed(io.BytesIO(frame))) == b""


def test_hashed_while_it_is_read() -> None:
    file = Hashing(io.BytesIO(CONTENT), "sha512")
    assert all_of(file) == CONTENT
    assert (file.size, file.digest) == (len(CONTENT), Digest.of(CONTENT, "sha512"))
    file.check(Digest.of(CONTENT, "sha512"), "it", len(CONTENT))
    for size, sentence in ((7, "it has more than the 7 bytes"), (1 << 40, "it has 2700000 bytes and not the 10995")):
        with pytest.raises(InvalidContent, match=sentence):
            file.check(Digest.of(CONTENT, "sha512"), "it", size)
    with pytest.raises(InvalidContent, match=r"it is damaged: it should be sha256:.* and is sha256:"):
        Hashing(io.BytesIO(CONTENT)).check(Digest.of(b""), "it")


def bounded(packed: bytes, bounds: Bounds, folder: Path) -> Bounded:
    source = Hashing(io.BytesIO(packed))
    return Bounded(decompressed(source), source, bounds, folder)


@pytest.mark.parametrize("compress", [gzip.compress, with_checksum])
def test_a_bomb_is_refused_before_it_has_burst(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    bomb = compress(bytes(50_000_000))
    file = bounded(bomb, Bounds(ratio=100, always=1_000_000), tmp_path)
    with pytest.raises(InvalidContent, match="becomes more than 100 times as large as it is compressed"):
        all_of(file)
    assert file.size < 100 * len(bomb) + 1_000_000
    assert len(all_of(bounded(bomb, Bounds(ratio=100, always=50_000_000), tmp_path))) == 50_000_000


def test_a_disk_that_would_be_full(tmp_path: Path) -> None:
    room = os.statvfs(tmp_path)
    file = bounded(b"tar:", Bounds(), tmp_path)
    assert all_of(file) == b"tar:"
    if room.f_bavail < room.f_blocks // 100:
        pytest.skip("the disk of the tests is full")
    with pytest.raises(StoreError, match=r"could not look at the disk of .*/nowhere"):
        all_of(bounded(b"tar:", Bounds(), tmp_path / "nowhere"))
