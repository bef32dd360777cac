"""A command that fails: one sentence, a hint, Docker's exit code, and never a traceback."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from kernelbox.cli import main
from kernelbox.cli.failures import exit_code_of
from kernelbox.errors import CommandNotExecutable, CommandNotFound, KernelBoxError, KernelError, RunInterrupted


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (KernelBoxError("it failed"), 125, "kernelbox: it failed\n"),
        (KernelBoxError("it failed", hint="do this"), 125, "kernelbox: it failed\n  hint: do this\n"),
        (KernelError(errno.EPERM, "mount", "/x"), 125, "kernelbox: could not mount /x: operation not permitted\n"),
        (CommandNotExecutable("could not run x"), 126, "kernelbox: could not run x\n"),
        (CommandNotFound("could not run x"), 127, "kernelbox: could not run x\n"),
        (RunInterrupted("interrupted"), 130, "kernelbox: interrupted\n"),
        (KeyboardInterrupt(), 130, ""),
        (
            OSError(errno.ENOSPC, "No space left on device", "/f"),
            125,
            "kernelbox: could not use /f: no space left on device\n",
        ),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), 125, "kernelbox: could not go on: cannot allocate memory\n"),
    ],
)
def test_errors_become_a_sentence_and_a_code(
    error: BaseException, code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> int:
        raise error

    assert exit_code_of(fail) == code
    assert capsys.readouterr().err == text


def test_a_fault_of_ours_is_called_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code_of(lambda: 1 // 0) == 125
    first, hint = capsys.readouterr().err.splitlines()
    assert first.startswith("kernelbox: this is a fault of kernelbox itself: ZeroDivisionError: ")
    assert hint == "  hint: run it again with KERNELBOX_DEBUG=1, and report what that prints"


def test_where_a_fault_is_can_be_seen(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("KERNELBOX_DEBUG", "1")
    assert exit_code_of(lambda: 1 // 0) == 125
    said = capsys.readouterr().err
    assert said.startswith("kernelbox: Traceback (most recent call last):\n")
    assert "1 // 0" in said
    assert said.endswith("  hint: please report it with the lines above\n")


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["rum"], "there is no command 'rum'", "did you mean rm or run?"),
        (["container", "strat"], "there is no command 'strat'", "did you mean stats or start?"),
        (["xyzzy"], "there is no command 'xyzzy'", "kernelbox --help lists them"),
        (["--bogus"], "no such option", "kernelbox --help says what there is"),
        (["doctor", "--bogus"], "no such option", "kernelbox --help says what there is"),
        (["doctor", "more"], "got unexpected extra argument", "kernelbox --help says what there is"),
        (["run"], "run needs an image", "kernelbox run [OPTIONS] IMAGE"),
        (["explain", "--nope", "host"], "unknown option '--nope'", ""),
    ],
)
def test_words_that_mean_nothing(words: list[str], message: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 125
    first, *rest = capsys.readouterr().err.splitlines()
    assert first.startswith(f"kernelbox: {message}")
    assert not hint or rest[0].startswith(f"  hint: {hint}")


def test_help_is_a_word_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "run"]) == 0
    assert "kernelbox run [OPTIONS] IMAGE" in capsys.readouterr().out


def test_a_reader_that_went_away_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as broken:
        done = subprocess.run(
            [sys.executable, "-m", "kernelbox.cli", "run", "--help"], stdout=broken, stderr=subprocess.PIPE
        )
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize(
    ("redirected", "words", "code", "said"),
    [
        ("2>/dev/full", "rum", 125, ""),
        ("2>&-", "rum", 125, ""),
        (">/dev/full", "version", 125, "kernelbox: could not go on: no space left on device\n"),
        (">/dev/full", "--help", 125, "kernelbox: could not go on: no space left on device\n"),
        (">&-", "version", 0, ""),
        (">&- 2>&-", "run --help", 0, ""),
    ],
)
def test_streams_that_take_nothing(redirected: str, words: str, code: int, said: str) -> None:
    line = f"exec {sys.executable} -m kernelbox.cli {words} {redirected}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", said)


def test_a_text_that_the_terminal_cannot_show_is_shown_in_part() -> None:
    code = "from kernelbox.cli.failures import exit_code_of; exit_code_of(lambda: print('✔ works') or 0)"
    variables = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True)
    assert done.stdout == "? works\n"


def test_not_linux_is_a_sentence_everywhere() -> None:
    code = """
import sys; sys.platform = "darwin"
import kernelbox
from kernelbox.cli import main
from kernelbox.errors import NotSupported
lines = (["--version"], ["run", "host", "true"], ["explain", "host"], ["doctor"])
assert [main(words) for words in lines] == [0, 125, 125, 125]
try:
    kernelbox.Engine()
except NotSupported as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "a facility of the Linux kernel, and this is darwin" in done.stdout
    assert done.stderr.count("kernelbox: containers are a facility of the Linux kernel") == 3
    assert "Traceback" not in done.stderr
