"""Running commands: what goes in, what comes out, how it ends."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

import kernelbox as kb
from kernelbox import Engine, RunResult
from kernelbox.errors import (
    CommandNotExecutable,
    CommandNotFound,
    InvalidOption,
    KernelBoxError,
    NameInUse,
    OutOfMemory,
    RunFailed,
    RunTimeout,
)

pytestmark = [pytest.mark.kernel, pytest.mark.root]

MEGABYTE = 1 << 20


def test_streams_are_kept_apart(sh: Callable[..., RunResult]) -> None:
    run = sh("echo out; echo err >&2; printf 'no end'")
    assert (run.stdout, run.stderr) == ("out\nno end", "err\n")
    assert (run.exit_code, run.signal, run.oom_killed, run.timed_out, run.truncated) == (0, None, False, False, False)
    assert run.check() is run
    assert kb.last is run


def test_the_result_says_what_ran(box: Engine, busybox_image: str) -> None:
    run = box.run(busybox_image, ["hostname"], name="my-run")
    assert run.command == ("hostname",)
    assert run.image == busybox_image
    assert run.container.name == "my-run"
    assert run.stdout.strip() == run.container.hostname == run.container.id[:12]
    assert "exit 0" in repr(run)
    assert run.duration > 0


@pytest.mark.parametrize(
    ("command", "stdout"),
    [
        ("echo 'one two'  three", "one two three\n"),
        (["echo", "one two", ""], "one two \n"),
        (["/bin/echo", "path"], "path\n"),
        (["printf", "%s", "ä\udcff"], "ä\ufffd"),
    ],
    ids=["text", "list", "path", "not UTF-8"],
)
def test_commands(box: Engine, busybox_image: str, command: str | list[str], stdout: str) -> None:
    assert box.run(busybox_image, command).stdout == stdout


def test_without_a_command_the_shell_reads_its_input(box: Engine, busybox_image: str) -> None:
    assert box.run(busybox_image, input="echo $((6 * 7))").stdout == "42\n"


@pytest.mark.parametrize("status", [1, 2, 125, 126, 127, 128, 255])
def test_exit_codes(box: Engine, busybox_image: str, status: int) -> None:
    run = box.run(busybox_image, ["sh", "-c", f"exit {status}"])
    assert (run.exit_code, run.signal) == (status, None)
    with pytest.raises(RunFailed, match=f"exit code {status}") as caught:
        run.check()
    assert caught.value.exit_code == status
    assert caught.value.result is run


@pytest.mark.parametrize("number", [1, 2, 6, 9, 11, 15, 24, 40, 64])
def test_signals(box: Engine, busybox_image: str, number: int) -> None:
    # To the first process of a pid namespace only signals from outside, or fatal ones of its own, are delivered: its
    # child ends by the signal, and the shell tells.
    run = box.run(busybox_image, ["sh", "-c", f"sh -c 'kill -{number} $$'; exit $?"])
    assert run.exit_code == 128 + number
    assert run.signal is None


@pytest.mark.parametrize(("number", "name"), [(9, "SIGKILL"), (15, "SIGTERM"), (40, "40")])
def test_the_first_process_is_ended_by_a_signal(engine: Engine, busybox_image: str, number: int, name: str) -> None:
    script = f"trap 'exit 5' USR1; echo ready; {'trap - 15 40;' if number != 9 else ''} while :; do sleep 0.01; done"
    ready = threading.Event()
    job = engine.start(busybox_image, ["sh", "-c", script], on_output=lambda *_: ready.set())
    assert ready.wait(10)
    if number != 9:  # what the first process does not handle, the kernel does not deliver
        job.kill(number)
        job.kill(10)
        assert job.wait(10).exit_code == 5
        return
    job.kill(number)
    run = job.wait(10)
    assert (run.exit_code, run.signal) == (137, 9)
    with pytest.raises(RunFailed, match=name):
        run.check()


@pytest.mark.parametrize(
    ("given", "seen"),
    [(b"bytes \x00\xff", b"bytes \x00\xff"), ("text ä", "text ä".encode()), (b"", b""), (None, b"")],
    ids=["bytes", "text", "empty", "none"],
)
def test_input(box: Engine, busybox_image: str, given: bytes | str | None, seen: bytes) -> None:
    assert box.run(busybox_image, ["cat"], input=given).stdout_bytes == seen


def test_input_from_files(box: Engine, busybox_image: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"in a file")
    with (tmp_path / "file").open("rb") as file:
        file.seek(5)
        file.read(1)
        assert box.run(busybox_image, ["cat"], input=io.BytesIO(b"in memory")).stdout == "in memory"
        assert box.run(busybox_image, ["cat"], input=io.StringIO("text")).stdout == "text"
    with (tmp_path / "file").open("rb", buffering=0) as file:
        file.seek(5)
        assert box.run(busybox_image, ["cat"], input=file).stdout == "file"
    with (tmp_path / "file").open() as text:
        assert box.run(busybox_image, ["cat"], input=text).stdout == "in a file"


def test_a_pipe_as_input_streams(box: Engine, busybox_image: str) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as input_file, os.fdopen(writing, "wb", buffering=0) as feed:
        seen: list[bytes] = []

        def answer(_: int, chunk: bytes) -> None:
            seen.append(chunk)
            feed.write(b"go on\n") if len(seen) == 1 else feed.close()

        script = "echo first; read line; echo $line; cat"
        run = box.run(busybox_image, ["sh", "-c", script], input=input_file, on_output=answer)
    assert run.stdout == "first\ngo on\n"


def test_large_input_and_output(box: Engine, busybox_image: str) -> None:
    given = os.urandom(5 * MEGABYTE)
    run = box.run(busybox_image, ["cat"], input=given)
    assert run.stdout_bytes == given


def test_input_that_nobody_reads(box: Engine, busybox_image: str) -> None:
    assert box.run(busybox_image, ["true"], input=bytes(5 * MEGABYTE)).exit_code == 0


def test_thirty_megabytes_on_both_streams(box: Engine, busybox_image: str) -> None:
    seen = {1: 0, 2: 0}

    def count(stream: int, chunk: bytes) -> None:
        seen[stream] += len(chunk)

    script = "dd if=/dev/zero bs=1M count=20 2>/dev/null & dd if=/dev/zero bs=1M count=10 >&2 2>/dev/null; wait"
    run = box.run(busybox_image, ["sh", "-c", script], on_output=count)
    assert seen == {1: 20 * MEGABYTE, 2: 10 * MEGABYTE}
    assert (len(run.stdout_bytes), len(run.stderr_bytes)) == (20 * MEGABYTE, 10 * MEGABYTE)
    assert not run.truncated


def test_output_arrives_while_the_program_runs(engine: Engine, busybox_image: str, tmp_path: Path) -> None:
    """The program goes on only when its first words have been seen: a file appears in a folder that it has."""
    seen: list[tuple[int, bytes]] = []

    def see(stream: int, chunk: bytes) -> None:
        seen.append((stream, chunk))
        (tmp_path / "go").touch()

    script = "echo first >&2; until [ -e /here/go ]; do sleep 0.01; done; echo last"
    run = engine.run(busybox_image, ["sh", "-c", script], on_output=see, volumes=[f"{tmp_path}:/here"], timeout=60)
    assert seen == [(2, b"first\n"), (1, b"last\n")]
    assert (run.exit_code, run.stdout) == (0, "last\n")


def test_an_error_in_on_output_ends_the_container(engine: Engine, busybox_image: str) -> None:
    def fail(_: int, __: bytes) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        engine.run(busybox_image, ["sh", "-c", "echo; sleep infinity"], on_output=fail)


def test_check(box: Engine, busybox_image: str) -> None:
    assert box.run(busybox_image, ["true"], check=True).exit_code == 0
    with pytest.raises(RunFailed, match="false ended with exit code 1"):
        box.run(busybox_image, ["false"], check=True)
    with pytest.raises(RunTimeout, match="sleep was killed: its timeout passed"):
        box.run(busybox_image, ["sleep", "infinity"], timeout=0.05, check=True)
    with pytest.raises(OutOfMemory, match="memory limit of 16 MiB"):
        box.run(busybox_image, ["tail", "/dev/zero"], memory="16m", check=True)


def test_a_program_that_is_missing_or_none(box: Engine, busybox_image: str) -> None:
    with pytest.raises(CommandNotFound, match=r"could not run nonesuch: not found in .*/bin") as missing:
        box.run(busybox_image, ["nonesuch"])
    assert missing.value.exit_code == 127
    with pytest.raises(CommandNotExecutable, match="could not run /etc/passwd: permission denied") as refused:
        box.run(busybox_image, ["/etc/passwd"])
    assert refused.value.exit_code == 126


def test_several_threads_use_one_engine(engine: Engine, busybox_image: str) -> None:
    def run(number: int) -> RunResult:
        return engine.run(busybox_image, ["sh", "-c", f"cat; exit {number}"], input=f"input {number}")

    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(run, range(24)))
    assert [(each.exit_code, each.stdout) for each in results] == [(n, f"input {n}") for n in range(24)]
    assert len({each.container.id for each in results}) == 24


def test_two_engines_share_a_store(store: Path, busybox_image: str) -> None:
    with Engine(root=store) as one, Engine(root=store) as other:
        meeting = threading.Event()
        job = one.start(
            busybox_image, ["sh", "-c", "echo; sleep infinity"], on_output=lambda *_: meeting.set(), name="x1"
        )
        assert meeting.wait(10)
        assert other.run(busybox_image, ["echo", "beside"]).stdout == "beside\n"
        with pytest.raises(NameInUse, match="'x1' is in use"):
            other.run(busybox_image, ["true"], name="x1")
        other.close()
        assert not job.done
        job.kill()
        assert job.wait(10).signal == 9
        assert one.run(busybox_image, ["true"], name="x1").exit_code == 0


def test_closing(store: Path, busybox_image: str) -> None:
    box = Engine(root=store)
    box.close()
    box.close()
    with pytest.raises(KernelBoxError, match=r"closed.*hint"):
        box.run(busybox_image, ["true"])
    with Engine(root=store) as again:
        again.run(busybox_image, ["true"])
        again.close()
        with pytest.raises(KernelBoxError, match="closed"):
            again.start(busybox_image, ["true"])


def test_terminal(engine: Engine, busybox_image: str) -> None:
    script = "tty; test -t 0 && test -t 1 && test -t 2 && echo $TERM; cat /dev/console & exit 3"
    run = engine.run(busybox_image, ["sh", "-c", script], tty=True)
    assert run.stdout == "/dev/pts/0\r\nxterm\r\n"
    assert run.exit_code == 3
    with pytest.raises(InvalidOption, match="input cannot go to a terminal"):
        engine.run(busybox_image, ["cat"], tty=True, input=b"x")


def chunks_of(terminal: int) -> Iterator[bytes]:
    """What comes from a terminal until it says EIO, which is how its end looks."""
    with suppress(OSError):
        while True:
            yield os.read(terminal, 4096)


def test_a_terminal_of_ones_own(engine: Engine, busybox_image: str) -> None:
    terminal = engine.open_terminal(busybox_image, ["sh", "-c", "read line; echo got $line; stty size; exit 4"])
    os.write(terminal.descriptor, b"hello\n")
    seen = b"".join(chunks_of(terminal.descriptor))
    assert b"got hello\r\n" in seen
    assert terminal.wait(10).exit_code == 4
