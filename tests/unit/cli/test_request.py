"""The words of `run` and `explain`, by Docker's rules."""

from __future__ import annotations

import pytest

from kernelbox.cli.request import EXPLAIN_OPTIONS, RUN_OPTIONS, Request, flags_named, read
from kernelbox.errors import InvalidOption, NotSupported


def run(*words: str) -> Request:
    request = read("run", words, RUN_OPTIONS)
    assert request is not None
    return request


def test_what_follows_the_image_belongs_to_the_command() -> None:
    request = run("-i", "--memory=64m", "host", "ls", "--memory", "-i", "--help")
    assert (request.image, request.command) == ("host", ("ls", "--memory", "-i", "--help"))
    assert request.options.memory == 64 << 20
    assert request.options.interactive


def test_without_a_command_it_is_the_images_own() -> None:
    assert run("host").command == ()


def test_short_options_stand_together() -> None:
    options = run("-it", "-eA=b", "host").options
    assert (options.interactive, options.tty, options.env) == (True, True, ("A=b",))


def test_a_flag_may_have_a_value() -> None:
    assert not run("--read-only=false", "host").options.read_only


def test_a_variable_by_name_is_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERNELBOX_TEST_MINE", "mine")
    assert run("-e", "KERNELBOX_TEST_MINE", "-e", "KERNELBOX_TEST_NONE", "host").options.env == (
        "KERNELBOX_TEST_MINE=mine",
    )


def test_own_flags() -> None:
    assert run("--rm", "--explain", "host").own == {"rm", "explain"}
    request = read("explain", ["--plan", "--json", "host", "true"], EXPLAIN_OPTIONS)
    assert request is not None
    assert request.own == {"plan", "json"}


@pytest.mark.parametrize("words", [["--help"], ["--memory", "1g", "--help"], ["--help", "host"]])
def test_help_comes_before_everything(words: list[str]) -> None:
    assert read("run", words, RUN_OPTIONS) is None


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        ([], "run needs an image", "kernelbox run [OPTIONS] IMAGE"),
        (["--memroy", "1g", "host"], "unknown option '--memroy'", "did you mean '--memory'?"),
        (["-iz", "host"], "unknown option '-z' in '-iz'", ""),
        (["--memory"], "the option --memory needs a value", ""),
        (["--memory", "much", "host"], "--memory: ", ""),
        (["--cpus", "-1", "host"], "--cpus: ", ""),
        (["--timeout", "soon", "host"], "--timeout: ", ""),
        (["-e", "=x", "host"], "--env: ", ""),
        (["--network", "bridge", "host"], "--network: ", ""),
    ],
)
def test_mistakes_are_named(words: list[str], message: str, hint: str) -> None:
    with pytest.raises((InvalidOption, NotSupported)) as caught, flags_named():
        run(*words)
    assert caught.value.message.startswith(message)
    assert hint in (caught.value.hint or "")
