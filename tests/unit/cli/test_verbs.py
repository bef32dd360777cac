"""The words of the verbs of a container's life, by Docker's rules, and how several are done."""

from __future__ import annotations

import threading

import pytest

from kernelbox.cli import main
from kernelbox.cli.verb_table import VERBS
from kernelbox.cli.verbs import Given, for_each, read
from kernelbox.errors import ContainerNotFound, InvalidOption


def given(verb: str, *words: str) -> Given:
    found = read(VERBS[verb], words)
    assert found is not None
    return found


def test_options_may_stand_anywhere() -> None:
    found = given("stop", "one", "-t", "-1", "two", "--signal=INT")
    assert (found.words, found.number("time"), found.text("signal")) == (("one", "two"), -1, "INT")


def test_short_options_stand_together_and_take_values() -> None:
    found = given("ps", "-aqn5", "-fstatus=exited", "-f", "label=a")
    assert (found.flag("all"), found.flag("quiet"), found.number("last")) == (True, True, 5)
    assert found.texts("filter") == ("status=exited", "label=a")


def test_what_follows_the_container_of_top_belongs_to_ps() -> None:
    found = given("top", "web", "-o", "pid,cmd", "--help")
    assert found.words == ("web", "-o", "pid,cmd", "--help")


def test_after_two_dashes_nothing_is_an_option() -> None:
    assert given("rm", "-f", "--", "-x", "--force").words == ("-x", "--force")


def test_one_dash_is_a_word() -> None:
    assert given("cp", "-", "web:/tmp", "-q").words == ("-", "web:/tmp")


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["web", "--help"], ["-t", "3", "--help"]])
def test_help_comes_before_everything(words: list[str]) -> None:
    assert read(VERBS["stop"], words) is None


@pytest.mark.parametrize(
    ("verb", "words", "message", "code"),
    [
        ("stop", [], "stop takes at least 1 argument, not 0", 1),
        ("logs", ["a", "b"], "logs takes 1 argument, not 2", 1),
        ("rename", ["a"], "rename takes 2 arguments, not 1", 1),
        ("ps", ["a"], "ps takes no arguments, not 1", 1),
        ("ps", ["--bogus"], "unknown option '--bogus'", 125),
        ("ps", ["-az"], "unknown option '-z' in '-az'", 125),
        ("ps", ["--filter"], "the option --filter needs a value", 125),
    ],
)
def test_mistakes_are_sentences_with_dockers_codes(verb: str, words: list[str], message: str, code: int) -> None:
    with pytest.raises(InvalidOption) as caught:
        read(VERBS[verb], words)
    assert (caught.value.message, caught.value.exit_code) == (message, code)


def test_a_number_that_is_none_names_its_option() -> None:
    with pytest.raises(InvalidOption, match="--time: expected a whole number, got 'soon'"):
        given("stop", "-t", "soon", "web").number("time")


@pytest.mark.parametrize("at_once", [False, True])
def test_a_failure_keeps_nobody_from_the_rest(at_once: bool, capsys: pytest.CaptureFixture[str]) -> None:
    def act(word: str) -> str | None:
        if word == "bad":
            raise ContainerNotFound("no such container: bad", hint="look")
        if word == "late":
            raise TimeoutError("late has not ended")
        return None if word == "quiet" else word.upper()

    assert for_each(["one", "bad", "quiet", "late", "two"], act, at_once=at_once) == 1
    out, err = capsys.readouterr()
    assert out == "ONE\nTWO\n"
    assert err == "kernelbox: no such container: bad\n  hint: look\nkernelbox: late has not ended\n"
    assert for_each(["one", "two"], act, at_once=at_once) == 0


def test_several_wait_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    both = threading.Barrier(2, timeout=10)

    def meet(word: str) -> str:
        both.wait()
        return word

    assert for_each(["one", "two"], meet, at_once=True) == 0
    assert capsys.readouterr().out == "one\ntwo\n"


@pytest.mark.parametrize("at_once", [False, True])
def test_a_fault_is_not_taken_for_a_failure(at_once: bool) -> None:
    def act(_: str) -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        for_each(["one", "two"], act, at_once=at_once)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("start -x web", "kernelbox start --help lists the options"),
        ("volume ls --nonsense", "kernelbox volume ls --help lists the options"),
        ("exec --nonsense web true", "kernelbox exec --help lists the options"),
        ("start --atach web", "did you mean '--attach'?"),
    ],
)
def test_the_way_to_the_options_that_there_are(words: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 125
    assert capsys.readouterr().err.splitlines()[1] == f"  hint: {hint}"


@pytest.mark.parametrize("verb", ["exec", "attach", "ps"])
def test_help_has_a_short_name_where_no_host_name_has_it(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "-h"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: kernelbox {verb} ")
