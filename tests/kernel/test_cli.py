"""`kernelbox run` as a shell uses it: real processes, streams, exit codes, signals."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = [pytest.mark.kernel, pytest.mark.root, pytest.mark.usefixtures("store")]

COMMAND = [sys.executable, "-m", "kernelbox.cli"]


def kernelbox(*words: str, input: str | None = None, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *words], input=input, capture_output=True, text=True, **options)  # type: ignore[call-overload,no-any-return]


@contextmanager
def started(*words: str, **options: object) -> Iterator[subprocess.Popen[str]]:
    """A command that is left running until the end of the block."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    with subprocess.Popen([*COMMAND, *words], **pipes) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def image(busybox_rootfs: Path) -> str:
    return f"dir:{busybox_rootfs}"


# -- exit codes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "code"), [("true", 0), ("exit 3", 3), ("exit 255", 255), ("kill -9 $$ & wait; exit 4", 4)]
)
def test_the_exit_code_is_the_commands(image: str, script: str, code: int) -> None:
    done = kernelbox("run", "--rm", image, "sh", "-c", script)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


def test_host_is_always_there() -> None:
    done = kernelbox("run", "--rm", "host", "python3", "-c", "print(6*7)")
    assert (done.returncode, done.stdout, done.stderr) == (0, "42\n", "")


@pytest.mark.parametrize(
    ("words", "code", "sentence", "hint"),
    [
        (
            ["nosuch", "true"],
            125,
            "no image is called 'nosuch'",
            "kernelbox pull nosuch fetches it; always there are host, dir:PATH",
        ),
        (["dir:/nosuch", "true"], 125, "image 'dir:/nosuch': /nosuch does not exist", ""),
        (["--bogus", "IMAGE", "true"], 125, "unknown option '--bogus'", ""),
        (["-u", "nobodyx", "IMAGE", "true"], 125, "--user: the container has no user 'nobodyx'", "its /etc/passwd"),
        (
            ["-v", "/nosuch:/x", "IMAGE", "true"],
            125,
            "--volume: the source '/nosuch' cannot be mounted",
            "make it first",
        ),
        (["-m", "1m", "IMAGE", "true"], 125, "--memory: '1m' is less than 6 MiB", ""),
        (["IMAGE", "nosuch"], 127, "could not run nosuch: not found in ", ""),
        (["IMAGE", "/nosuch"], 127, "could not run /nosuch: not found", ""),
        (["IMAGE", "/etc/passwd"], 126, "could not run /etc/passwd: permission denied", ""),
        (["IMAGE", "/etc"], 126, "could not run /etc: ", ""),
    ],
)
def test_a_mistake_is_a_sentence_and_dockers_code(
    image: str, words: list[str], code: int, sentence: str, hint: str
) -> None:
    done = kernelbox("run", "--rm", *(image if word == "IMAGE" else word for word in words))
    lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (code, "")
    assert lines[0].startswith(f"kernelbox: {sentence}")
    assert not hint or lines[1].startswith(f"  hint: {hint}") or hint in lines[1]
    assert len(lines) <= 2


def test_a_name_in_use(image: str) -> None:
    with started("run", "--rm", "--name", "one", image, "sh", "-c", "echo here; sleep 60") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        done = kernelbox("run", "--rm", "--name", "one", image, "true")
    assert done.returncode == 125
    assert done.stderr.startswith("kernelbox: the name 'one' is in use by a running container\n")


def test_the_memory_limit_kills_and_says_so() -> None:
    done = kernelbox("run", "--rm", "--memory", "32m", "host", "python3", "-c", "bytearray(200 << 20)")
    assert done.returncode == 137
    assert "was killed at the memory limit of 32 MiB" in done.stderr
    assert "hint: give it more with --memory" in done.stderr


def test_the_timeout_kills_and_says_so(image: str) -> None:
    done = kernelbox("run", "--rm", "--timeout", "0.1", image, "sh", "-c", "echo begun; sleep 60")
    assert (done.returncode, done.stdout) == (137, "begun\n")
    assert done.stderr.splitlines()[0] == "kernelbox: sh was killed: its timeout passed"


# -- streams ---------------------------------------------------------------------------------------------------------


def test_output_and_errors_stay_apart(image: str) -> None:
    done = kernelbox("run", "--rm", image, "sh", "-c", "echo out; echo err >&2; exit 5")
    assert (done.returncode, done.stdout, done.stderr) == (5, "out\n", "err\n")


def test_output_comes_as_it_is(image: str) -> None:
    done = subprocess.run([*COMMAND, "run", "--rm", image, "printf", r"\377\0\n\r"], capture_output=True)
    assert done.stdout == b"\xff\0\n\r"


def test_output_comes_as_it_is_written(image: str) -> None:
    with started(
        "run", "--rm", "-i", image, "sh", "-c", "echo ready; read x; echo got $x", stdin=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        process.stdin.write("word\n")
        process.stdin.flush()
        assert process.stdout.readline() == "got word\n"
        assert process.wait() == 0


def test_much_output_is_whole(image: str) -> None:
    done = subprocess.run([*COMMAND, "run", "--rm", image, "head", "-c", "20000000", "/dev/zero"], capture_output=True)
    assert (len(done.stdout), done.stdout.strip(b"\0")) == (20_000_000, b"")


def test_input_is_given_with_i_only(image: str) -> None:
    assert kernelbox("run", "--rm", "-i", image, "cat", input="hello").stdout == "hello"
    assert kernelbox("run", "--rm", image, "cat", input="hello").stdout == ""


def test_input_from_a_file(image: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("from a file")
    with (tmp_path / "file").open() as file:
        assert kernelbox("run", "--rm", "-i", image, "cat", stdin=file).stdout == "from a file"


def test_a_device_as_input_is_read_for_the_container(image: str) -> None:
    with open("/dev/zero", "rb") as device:
        script = "readlink /proc/self/fd/0; head -c 4 | od -An -tx1"
        done = kernelbox("run", "--rm", "-i", image, "sh", "-c", script, stdin=device)
    kind, content = done.stdout.splitlines()
    assert kind.startswith("pipe:")
    assert content.split() == ["00"] * 4


def test_closed_streams(image: str) -> None:
    script = f"exec {' '.join(COMMAND)} run --rm -i {image} sh -c 'cat; exit 6' <&- >&- 2>&-"
    assert subprocess.run(["sh", "-c", script]).returncode == 6


def test_a_reader_that_goes_away_ends_the_container(image: str) -> None:
    with started("run", "--rm", image, "yes") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "y\n"
        process.stdout.close()
        assert process.wait() == 141
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_output_that_cannot_be_written(image: str) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*COMMAND, "run", "--rm", image, "yes"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 125
    assert done.stderr == "kernelbox: could not write the output: no space left on device\n"


# -- options ---------------------------------------------------------------------------------------------------------


def test_variables(image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERNELBOX_TEST_MINE", "mine")
    done = kernelbox(
        "run", "--rm", "-e", "A=b c", "-e", "KERNELBOX_TEST_MINE", "-e", "KERNELBOX_TEST_NONE", image, "env"
    )
    lines = done.stdout.splitlines()
    assert {"A=b c", "KERNELBOX_TEST_MINE=mine"} <= set(lines)
    assert not any(line.startswith(("KERNELBOX_TEST_NONE", "KERNELBOX_ROOT")) for line in lines)


def test_a_folder_of_the_machine(image: str, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/file").write_text("content")
    done = kernelbox(
        "run", "--rm", "-v", f"{tmp_path}/shared:/data:ro", image, "sh", "-c", "cat /data/file; touch /data/x"
    )
    assert (done.returncode, done.stdout) == (1, "content")
    assert "Read-only file system" in done.stderr


def test_what_was_done_differently_is_said(image: str) -> None:
    done = kernelbox("run", "--rm", "--ulimit", "nofile=4000000000", image, "true")
    assert done.returncode == 0
    assert done.stderr.startswith("kernelbox: note: nofile=4000000000:4000000000 was asked for")


# -- signals ---------------------------------------------------------------------------------------------------------


def ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_what_has_no_handler_for_it(image: str, number: int) -> None:
    with started("run", "--rm", image, "sh", "-c", "echo ready; sleep 60 & wait") as process:
        ready(process)
        process.send_signal(number)
        assert process.wait() == 128 + number
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_a_handler_decides_how_it_ends(image: str) -> None:
    script = "trap 'echo bye; exit 9' TERM; echo ready; while :; do sleep 0.01; done"
    with started("run", "--rm", image, "sh", "-c", script) as process:
        ready(process)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 9
        assert process.stdout is not None
        assert process.stdout.read() == "bye\n"


def test_three_times_means_it(image: str) -> None:
    script = "trap 'echo no' INT; echo ready; while :; do sleep 0.01; done"
    with started("run", "--rm", image, "sh", "-c", script) as process:
        ready(process)
        assert process.stdout is not None
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            assert process.stdout.readline() == "no\n"
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130


def test_other_signals_are_passed_on(image: str) -> None:
    script = "trap 'echo one; exit 0' USR1; echo ready; while :; do sleep 0.01; done"
    with started("run", "--rm", image, "sh", "-c", script) as process:
        ready(process)
        process.send_signal(signal.SIGUSR1)
        assert process.wait() == 0


def test_a_killed_command_takes_its_container_along(image: str, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir(mode=0o777)
    (tmp_path / "shared").chmod(0o777)
    script = "echo ready; while :; do date > /data/alive; sleep 0.01; done"
    with started("run", "--rm", "-v", f"{tmp_path}/shared:/data", image, "sh", "-c", script) as process:
        ready(process)
        process.kill()
        process.wait()
    # The fixture that looks for leaks sees that nothing of it is left.


def test_the_store_can_be_unwritable(image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERNELBOX_ROOT", "/proc/nowhere")
    done = kernelbox("run", "--rm", image, "true")
    assert done.returncode == 125
    assert done.stderr.startswith("kernelbox: could not prepare the store at /proc/nowhere: ")
    assert "hint: set KERNELBOX_ROOT to a folder that you may write" in done.stderr
