"""The C of layers built with ASan and UBSan: hostile archives, cut and mutilated ones, read, unpacked, made into images
and written again. Whatever comes, it ends with a result, and another archive is read after it as if nothing had
been."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from hostile_layers import GROUPS, TAKEN, corpus
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from layer_archives import BLOCK, CHECKSUM, Archive
from unit.native.conftest import SANITIZED

from kernelbox.native import build

BOUNDED = settings(
    max_examples=300, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
OF_THE_ARCHIVE = ("0", f"-{errno.EBADMSG}")
NOWHERE = Path("/nowhere/at/all")
SMALL = 1 << 15
PLAIN = bytes(Archive().folder("d").add("d/f", b"content", xattrs={"user.x": b"y"}).symlink("l", "d/f"))
SEEDS = [case.archive for group in GROUPS for case in corpus(NOWHERE, group).values() if len(case.archive) < SMALL]


class Driver:
    """The program, and a file to show archives to it in."""

    def __init__(self, process: subprocess.Popen[str], folder: Path, log: Path) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._input: IO[str] = process.stdin
        self._output: IO[str] = process.stdout
        self._folder, self._log = folder, log

    def ask(self, archive: bytes, *, unpack: bool = False) -> list[str]:
        file, root = self._folder / "archive", self._folder / "root"
        file.write_bytes(archive)
        if unpack:
            root.mkdir()
        self._input.write(f"{file}\t{root}\n" if unpack else f"{file}\n")
        self._input.flush()
        lines: list[str] = []
        while not lines or not lines[-1].startswith("end "):
            line = self._output.readline()
            assert line, self._log.read_text()
            lines.append(line)
        shutil.rmtree(root, ignore_errors=True)
        if unpack:
            self._compare(*lines[-2:])
        return lines

    @staticmethod
    def _compare(image: str, folder: str) -> None:
        """Both forms end alike, but for what only the disk of the folder cannot hold."""
        assert image.startswith("image ")
        if folder.split()[1] in OF_THE_ARCHIVE:
            assert image.removeprefix("image ") == folder.removeprefix("end ")


@pytest.fixture(scope="module")
def program(sanitizing: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    product = tmp_path_factory.mktemp("layers") / "driver"
    sources = [Path(__file__).with_name("layers_driver.c"), *sorted((build.HERE / "layers").glob("*.c"))]
    options = [*build.COMMON, *build.WARNINGS, *SANITIZED, f"-I{build.HERE}"]
    subprocess.run([*sanitizing, *options, *map(str, sources), "-o", str(product)], check=True)
    return product


@pytest.fixture
def driver(program: Path, tmp_path: Path) -> Iterator[Driver]:
    log = tmp_path / "log"
    environment = {"ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "print_stacktrace=1", "TZ": "UTC"}
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
        ) as process,
    ):
        yield Driver(process, tmp_path, log)
    assert process.returncode == 0, log.read_text()
    assert not log.read_text()


def test_a_plain_archive(driver: Driver) -> None:
    *entries, end = driver.ask(PLAIN)
    assert [line.split("=")[1].strip() for line in entries] == [name.encode().hex() for name in ("d", "d/f", "l")]
    assert end == "end 0 0 3 =\n"


@pytest.mark.parametrize("group", GROUPS)
def test_hostile_archives(driver: Driver, group: str) -> None:
    for name, case in corpus(NOWHERE, group).items():
        whole = driver.ask(case.archive, unpack=True)
        assert (whole[-1].split()[1] == "0") == (case.verdict == TAKEN), name
        assert whole[0].startswith("back 0 0 "), name
        driver.ask(case.archive)
    assert driver.ask(PLAIN)[-1] == "end 0 0 3 =\n"


def test_archives_that_end_anywhere(driver: Driver) -> None:
    for archive in SEEDS:
        for size in range(0, len(archive), max(BLOCK, len(archive) // 16 // BLOCK * BLOCK)):
            driver.ask(archive[:size])
            driver.ask(archive[: size + 77])


def sealed(archive: bytes) -> bytes:
    """With right checksums, so that what was changed in headers is read."""
    found = bytearray(archive)
    at, length = CHECKSUM
    for start in range(0, len(found) - BLOCK + 1, BLOCK):
        block = found[start : start + BLOCK]
        if block[257:262] == b"ustar":
            block[at : at + length] = b" " * length
            found[start + at : start + at + length] = b"%06o\0 " % sum(block)
    return bytes(found)


@st.composite
def mutilated(draw: st.DrawFn) -> bytes:
    archive = bytearray(draw(st.sampled_from(SEEDS)) + draw(st.sampled_from([b"", PLAIN])))
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, max(len(archive) // BLOCK - 1, 0))) * BLOCK
        at = start + draw(st.one_of(st.integers(0, BLOCK - 1), st.sampled_from([0, 124, 135, 156, 345, 386, 482, 483])))
        piece = draw(
            st.one_of(st.binary(min_size=1, max_size=12), st.sampled_from([b"\x80", b"\xff" * 12, b"S", b"x", b"1"]))
        )
        kind = draw(st.sampled_from(["set", "set", "set", "cut", "twice"]))
        if kind == "set":
            archive[at : at + len(piece)] = piece
        elif kind == "cut":
            del archive[start : start + BLOCK]
        else:
            archive[start:start] = archive[start : start + BLOCK]
    return sealed(bytes(archive))


@BOUNDED
@given(archive=mutilated())
def test_mutilated_archives(driver: Driver, archive: bytes) -> None:
    driver.ask(archive)
    assert driver.ask(archive, unpack=True)[0].startswith("back ")
    assert driver.ask(PLAIN)[-1] == "end 0 0 3 =\n"


@BOUNDED
@given(
    text=st.one_of(st.binary(max_size=300), st.text("0123456789 =\n.,-aGNUsparseoffxt", max_size=200).map(str.encode))
)
def test_records_of_any_kind(driver: Driver, text: bytes) -> None:
    driver.ask(bytes(Archive().extended(text).add("x", b"1" * 600)))
    values = [pair.partition(b"=")[::2] for pair in text.split(b"\n") if b"=" in pair[1:] and b"\0" not in pair]
    driver.ask(bytes(Archive().pax(*((key.decode("latin-1"), value) for key, value in values)).add("x")))


def test_nothing_is_left_open(driver: Driver, tmp_path: Path) -> None:
    """One descriptor that a failing archive kept would be in the way after a thousand of them."""
    archives = [case.archive for case in corpus(NOWHERE, "links").values()]
    for number in range(1200):
        driver.ask(archives[number % len(archives)], unpack=number % 3 == 0)
    assert driver.ask(PLAIN, unpack=True)[-1] == "end 0 0 3 =\n"
    assert set(os.listdir(tmp_path)) == {"archive", "log"}
