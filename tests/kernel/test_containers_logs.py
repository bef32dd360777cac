"""What a container that is kept has written: every byte of it, over rotations, while it runs and after its end."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from waiting import wait_until

from kernelbox import Engine
from kernelbox.engine.container import Container
from kernelbox.engine.containers import Containers
from kernelbox.errors import InvalidOption, NotSupported

pytestmark = [pytest.mark.kernel, pytest.mark.root]

COUNT = 'i=0; while [ $i -lt {} ]; do echo "line $i"; i=$((i+1)); done'


def content(container: Container, **options: bool) -> bytes:
    return b"".join(chunk for _, chunk in container.log_chunks(**options))


def ended(containers: Containers, image: str, script: str, **options: object) -> Container:
    container = containers.run(image, ["sh", "-c", script], **options)
    container.wait(30)
    return container


@pytest.mark.parametrize("size", [1, 3, 4096, 16384, 16385, 65536, 65537, 1_000_003])
def test_every_byte(containers: Containers, busybox_image: str, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "data").write_bytes(data)
    container = containers.run(busybox_image, ["cat", "/data"], volumes=[f"{tmp_path / 'data'}:/data:ro"])
    container.wait(30)
    assert content(container) == data


@pytest.mark.parametrize(
    "data",
    [b"\xff\xfe", b"\xc3", b"\xc3\n\xa9", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\0\n\r\t\x07\x1b[31m", b'"\\u0041"\n',
     "ä€😀\u2028\n".encode(), b"\n" * 5, b'{"log":"","stream":"stdout"}\n'],
)  # fmt: skip
def test_bytes_that_are_hard_to_write(containers: Containers, busybox_image: str, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "data").write_bytes(data)
    container = containers.run(busybox_image, ["cat", "/data"], volumes=[f"{tmp_path / 'data'}:/data:ro"])
    container.wait(10)
    assert content(container) == data
    for line in container.folder.log.read_bytes().splitlines():
        assert set(json.loads(line)) == {"log", "stream", "time"}, "anybody can read it"


def test_a_character_in_two_pieces(containers: Containers, busybox_image: str) -> None:
    script = r"printf '\303'; sleep 0.1; printf '\251\n'"
    assert content(ended(containers, busybox_image, script)) == "é\n".encode()


def test_both_streams(containers: Containers, busybox_image: str) -> None:
    container = ended(containers, busybox_image, "for i in 1 2 3; do echo out $i; echo err $i >&2; done")
    assert content(container, stderr=False) == b"out 1\nout 2\nout 3\n"
    assert content(container, stdout=False) == b"err 1\nerr 2\nerr 3\n"
    assert {stream for stream, _ in container.log_chunks()} == {1, 2}


def test_terminal(containers: Containers, busybox_image: str) -> None:
    assert ended(containers, busybox_image, "tty; echo err >&2", tty=True).logs() == "/dev/pts/0\r\nerr\r\n"


def test_the_last_words(containers: Containers, busybox_image: str) -> None:
    """What is in its pipe when it ends is read, also of a process that it leaves behind for a moment."""
    many = ended(containers, busybox_image, COUNT.format(3000))
    assert many.logs() == "".join(f"line {number}\n" for number in range(3000))
    assert ended(containers, busybox_image, "printf 'no newline'").logs() == "no newline"


def test_a_program_that_writes_faster_than_anybody_reads(containers: Containers, busybox_image: str) -> None:
    container = ended(containers, busybox_image, "head -c 8000000 /dev/zero | tr '\\0' x; echo end")
    assert container.logs() == "x" * 8_000_000 + "end\n"


def test_runs_are_one_behind_the_other(containers: Containers, busybox_image: str) -> None:
    container = ended(containers, busybox_image, "echo run")
    container.start().wait(10)
    assert container.logs() == "run\nrun\n"


def test_tail_and_times(containers: Containers, busybox_image: str) -> None:
    container = ended(containers, busybox_image, "echo one; sleep 0.05; echo two; sleep 0.05; echo three")
    stamps = [line.split(" ")[0] for line in container.logs(timestamps=True).splitlines()]
    assert stamps == sorted(stamps)
    assert container.logs(tail=2) == "two\nthree\n"
    assert container.logs(tail=0) == ""
    assert container.logs(since=stamps[1]) == "two\nthree\n"
    assert container.logs(until=stamps[1]) == "one\ntwo\n"
    assert container.logs(until="10m") == ""
    for wrong in ({"tail": "few"}, {"tail": -1}, {"since": "yesterday"}):
        with pytest.raises(InvalidOption):
            container.logs(**wrong)


def test_rotation(containers: Containers, busybox_image: str) -> None:
    options = {"log_opt": {"max-size": "2k", "max-file": "3"}}
    container = ended(containers, busybox_image, COUNT.format(200).replace("; i=", "; sleep 0.001; i="), **options)
    lines = container.logs().splitlines()
    assert lines == [f"line {number}" for number in range(200 - len(lines), 200)], "the last ones, without a gap"
    files = sorted(path.name for path in container.folder.path.glob("log.json*"))
    assert set(files) <= {"log.json", "log.json.1", "log.json.2"}
    assert len(files) == 3
    sizes = [(container.folder.path / name).stat().st_size for name in files]
    assert max(sizes) < 4096 + 65536


def test_one_file_that_begins_anew(containers: Containers, busybox_image: str) -> None:
    container = ended(
        containers, busybox_image, COUNT.format(100).replace("; i=", "; sleep 0.001; i="), log_opt={"max-size": "1k"}
    )
    lines = container.logs().splitlines()
    assert 0 < len(lines) < 100
    assert [path.name for path in container.folder.path.glob("log.json*")] == ["log.json"]


def test_none(containers: Containers, busybox_image: str) -> None:
    container = ended(containers, busybox_image, COUNT.format(3000), log_driver="none")
    assert container.exit_code == 0
    assert not list(container.folder.path.glob("log.json*"))
    with pytest.raises(NotSupported, match="keeps no log"):
        container.logs()


def test_followed_while_it_runs(containers: Containers, store: Path, busybox_image: str) -> None:
    """By somebody in another engine, from the first line to the end."""
    script = COUNT.format(300).replace("; i=", "; [ $((i % 30)) = 0 ] && sleep 0.01; i=")
    options = {"log_opt": {"max-size": "4k", "max-file": "100"}}
    container = containers.create(busybox_image, ["sh", "-c", script], **options)
    seen: list[bytes] = []

    def follow() -> None:
        with Engine(root=store) as second:
            seen.extend(chunk for _, chunk in second.containers.get(container.id).log_chunks(follow=True))

    container.start()
    thread = threading.Thread(target=follow)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    assert b"".join(seen) == b"".join(f"line {number}\n".encode() for number in range(300))


def test_followed_from_now_on(containers: Containers, busybox_image: str) -> None:
    container = containers.run(busybox_image, ["sh", "-c", "echo old; until [ -e /go ]; do sleep 0.01; done; echo new"])
    wait_until(lambda: "old" in container.logs())
    chunks = container.log_chunks(follow=True, tail=0)
    container.exec(["touch", "/go"])
    assert b"".join(chunk for _, chunk in chunks) == b"new\n"


def test_a_follower_of_one_that_is_removed(containers: Containers, busybox_image: str) -> None:
    container = containers.run(busybox_image, ["sh", "-c", "echo words; sleep 0.2"], auto_remove=True)
    assert b"".join(chunk for _, chunk in container.log_chunks(follow=True)) == b"words\n"


def test_a_log_that_is_damaged(containers: Containers, busybox_image: str) -> None:
    container = ended(containers, busybox_image, "echo one; echo two")
    log = container.folder.log
    whole = log.read_bytes()
    log.write_bytes(whole[:30] + b"\n" + b"\xff\0{{{\n" + whole.splitlines(keepends=True)[1])
    assert container.logs() == "two\n"
    container.start().wait(10)
    assert container.logs() == "two\none\ntwo\n"
    log.unlink()
    assert container.logs() == ""


def test_a_link_in_the_place_of_the_log(containers: Containers, busybox_image: str, tmp_path: Path) -> None:
    container = ended(containers, busybox_image, "true")
    (tmp_path / "elsewhere").write_text("untouched")
    container.folder.log.unlink(missing_ok=True)
    container.folder.log.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Exception, match="could not be started"):
        container.start()
    assert (tmp_path / "elsewhere").read_text() == "untouched"
