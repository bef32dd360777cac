"""Content under its digest: whole, right and durable, or not there; by several at once, and after a kill in between."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelbox.errors import BlobNotFound, InvalidContent, StoreError
from kernelbox.oci.digest import Digest
from kernelbox.store.blob_writer import BlobWriter
from kernelbox.store.blobs import PARTIAL_KEPT_S, Blobs


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


def files(blobs: Blobs) -> list[str]:
    return sorted(str(path.relative_to(blobs.folder)) for path in blobs.folder.rglob("*") if not path.is_dir())


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_put_found_read_and_removed(blobs: Blobs, algorithm: str) -> None:
    digest = Digest.of(b"content", algorithm)
    assert not blobs.has(digest)
    assert list(blobs.every()) == []
    assert not blobs.folder.exists(), "asking makes nothing"
    assert blobs.put(b"content", digest) == digest
    before = blobs.path(digest).stat()
    assert blobs.put(b"content", digest) == digest, "the same once more"
    assert blobs.path(digest).stat() == before
    with pytest.raises(InvalidContent):
        blobs.put(b"other", digest)
    assert blobs.has(digest)
    assert blobs.size(digest) == 7
    assert blobs.read(digest, 7) == b"content"
    with blobs.open(digest) as file:
        assert file.read() == b"content"
    assert list(blobs.every()) == [digest]
    assert files(blobs) == [f"{algorithm}/{hashlib.new(algorithm, b'content').hexdigest()}"]
    assert blobs.path(digest).stat().st_mode & 0o777 == 0o600
    blobs.remove(digest)
    blobs.remove(digest)
    assert files(blobs) == []
    for question in (blobs.size, blobs.open, lambda each: blobs.read(each, 7)):
        with pytest.raises(BlobNotFound, match=f"no such content in the store: {digest}"):
            question(digest)


def test_without_a_digest_it_gets_one(blobs: Blobs) -> None:
    assert blobs.put(b"") == Digest.of(b"")
    with blobs.writer() as writer:
        for number in range(1000):
            assert writer.write(b"%d," % number) == len(b"%d," % number)
        digest = writer.commit()
    assert digest == Digest.of(b"".join(b"%d," % number for number in range(1000)))
    assert blobs.has(digest)


def test_nothing_shows_before_it_is_committed(blobs: Blobs) -> None:
    digest = Digest.of(b"content")
    with blobs.writer(digest, 7) as writer:
        writer.write(b"content")
        assert not blobs.has(digest)
        assert list(blobs.every()) == []
    assert files(blobs) == [], "and is gone when it is not"
    with pytest.raises(InvalidContent, match="longer"), blobs.writer(digest, 3) as writer:
        writer.write(b"content")
    assert files(blobs) == []


@pytest.mark.parametrize(
    ("content", "size", "sentence"),
    [
        (b"c0ntent", 7, "what should be sha256:ed7002b4.* is sha256:"),
        (b"conte", 7, "has 5 bytes and should have 7"),
        (b"content!", 7, "is longer than the 7 bytes that it should have"),
        (b"conte", None, "what should be sha256:.* is sha256:"),
        (b"", 7, "has 0 bytes and should have 7"),
    ],
)
@pytest.mark.parametrize("partial", [False, True])
def test_what_is_wrong_is_refused(blobs: Blobs, content: bytes, size: int | None, sentence: str, partial: bool) -> None:
    digest = Digest.of(b"content")

    def bring(writer: BlobWriter) -> None:
        with writer:
            writer.write(content)
            writer.commit()

    with pytest.raises(InvalidContent, match=sentence):
        bring(blobs.partial(digest, size) if partial else blobs.writer(digest, size))
    assert files(blobs) == [], "nothing of it is kept"


def test_what_has_changed_on_the_disk_is_seen(blobs: Blobs) -> None:
    digest = blobs.put(b"content")
    blobs.path(digest).write_bytes(b"c0ntent")
    with pytest.raises(InvalidContent, match=r"is damaged: it should be sha256:.*bring them again"):
        blobs.read(digest, 100)
    blobs.put(b"content")
    assert blobs.read(digest, 100) == b"content", "what is put there again is right again"


def test_what_is_too_long_to_read_is_not_read(blobs: Blobs) -> None:
    digest = blobs.put(bytes(1001))
    with pytest.raises(InvalidContent, match="is longer than the 1000 bytes that it may have"):
        blobs.read(digest, 1000)


@settings(deadline=None)
@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=4), st.binary(max_size=3))
def test_a_download_that_breaks_is_gone_on_with(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, cuts: list[int], rubbish: bytes
) -> None:
    blobs = Blobs(tmp_path_factory.mktemp("store") / "blobs")
    digest = Digest.of(content)
    at = 0
    for cut in sorted(cuts):
        with blobs.partial(digest, len(content)) as writer:
            assert (writer.offset, writer.found) == (at, False)
            writer.write(content[at:cut])
            at = min(max(at, cut), len(content))
    with blobs.partial(digest, len(content)) as writer:
        assert writer.offset == at
        if rubbish:
            writer.restart()
            at = 0
        writer.write(content[at:])
        assert writer.commit() == digest
    assert blobs.read(digest, 400) == content
    assert files(blobs) == [f"sha256/{digest.encoded}"]


def test_what_was_begun_too_long_is_begun_anew(blobs: Blobs) -> None:
    digest = Digest.of(b"content")
    with blobs.partial(digest) as writer:
        writer.write(b"more than it can have")
    with blobs.partial(digest, 7) as writer:
        assert writer.offset == 0
        writer.write(b"content")
        writer.commit()
    assert blobs.has(digest)


def test_two_who_bring_the_same_wait_for_each_other(blobs: Blobs) -> None:
    digest, order = Digest.of(b"content"), []

    def second() -> None:
        with blobs.partial(digest, 7) as writer:
            order.append("second")
            assert (writer.offset, writer.found) == (0, True)
            assert writer.commit() == digest

    with blobs.partial(digest, 7) as writer:
        other = threading.Thread(target=second)
        other.start()
        writer.write(b"content")
        order.append("first")
        writer.commit()
    other.join()
    assert order == ["first", "second"]
    assert files(blobs) == [f"sha256/{digest.encoded}"]


def test_waiting_for_somebody_can_be_ended(blobs: Blobs) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    digest = Digest.of(b"content")
    with blobs.partial(digest, 7) as writer:
        with pytest.raises(KeyboardInterrupt):
            blobs.partial(digest, 7, interrupt)
        writer.write(b"content")
        writer.commit()
    assert blobs.has(digest)


def test_many_write_at_once(blobs: Blobs) -> None:
    def write(number: int) -> None:
        own = Blobs(blobs.folder)
        for each in range(20):
            with own.writer() as writer:
                writer.write(b"%d" % (each % 7))
                writer.commit()
            if number % 2:
                own.clean()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(blobs.every()) == {Digest.of(b"%d" % number) for number in range(7)}
    assert len(files(blobs)) == 7


def test_what_somebody_who_was_killed_left_goes_and_what_is_written_stays(blobs: Blobs) -> None:
    killed = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os, signal, sys\n"
            "from pathlib import Path\n"
            "from kernelbox.oci.digest import Digest\n"
            "from kernelbox.store.blobs import Blobs\n"
            "blobs = Blobs(Path(sys.argv[1]))\n"
            "one, two = blobs.writer(), blobs.partial(Digest.of(b'content'))\n"
            "one.write(b'x'); two.write(b'con')\n"
            "os.kill(os.getpid(), signal.SIGKILL)",
            blobs.folder,
        ],
        check=False,
    )
    assert killed.returncode == -9
    assert len(files(blobs)) == 2
    with blobs.writer() as living:
        living.write(b"y")
        Blobs(blobs.folder).clean()
        assert len(files(blobs)) == 2, "the half of a download, and what is just being written"
        digest = living.commit()
    (partial,) = (blobs.folder / "partial").iterdir()
    old = time.time() - PARTIAL_KEPT_S - 1
    os.utime(partial, (old, old))
    blobs.clean()
    assert files(blobs) == [f"sha256/{digest.encoded}"]


def test_a_download_that_goes_on_is_never_cleaned_away(blobs: Blobs) -> None:
    with blobs.partial(Digest.of(b"content"), 7) as writer:
        writer.write(b"con")
        blobs.clean(float("inf"))
        writer.write(b"tent")
        writer.commit()
    with blobs.partial(Digest.of(b"other")) as writer:
        writer.write(b"oth")
    blobs.clean(float("inf"))
    assert files(blobs) == [f"sha256/{Digest.of(b'content').encoded}"]


def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "blobs").touch()
    with pytest.raises(StoreError, match=r"could not write to .*: file exists"):
        Blobs(tmp_path / "blobs").put(b"content")
