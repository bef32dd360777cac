"""How the line of a cell is read: words as a shell has them, options, image and command, the notebook's variables."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from IPython.core.error import UsageError
from kernelbox_magics.arguments import parse, parser, split
from kernelbox_magics.exec_cell import parse_exec
from kernelbox_magics.expansion import expand_cell, expand_words

from kernelbox.engine.executing import ExecOptions
from kernelbox.engine.options import OPTIONS

VARIABLES = {
    "size": 64,
    "path": "/my data",
    "config": SimpleNamespace(cpus=1.5, words={"a": "b"}),
    "pi": 3.14159,
}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("host python3", ["host", "python3"]),
        ("-e 'A=b c' host", ["-e", "A=b c", "host"]),
        ('-e A="b c" host', ["-e", "A=b c", "host"]),
        (r"host echo a\ b", ["host", "echo", "a b"]),
        ("host  # a comment, isn't it", ["host"]),
        ("-e COLOUR=#fff host", ["-e", "COLOUR=#fff", "host"]),
        ("host echo '# no comment' \"#\" \\# # one", ["host", "echo", "# no comment", "#", "#"]),
        ("# all of it", []),
        ("", []),
    ],
)
def test_words(line: str, words: list[str]) -> None:
    assert split(line) == words


def test_an_open_quote() -> None:
    with pytest.raises(UsageError, match="No closing quotation in: host 'x"):
        split("host 'x")


def test_what_follows_the_image_is_the_commands() -> None:
    request = parse("-m 256m --cpus 1.5 host python3 -u -m http.server -m x --name y", {})
    assert request.image == "host"
    assert request.command == ("python3", "-u", "-m", "http.server", "-m", "x", "--name", "y")
    assert request.options == {"memory": "256m", "cpus": "1.5"}


def test_without_a_command() -> None:
    assert parse("host", {}).command is None


def test_only_options_that_were_given_are_passed_on() -> None:
    request = parse("-v /a:/a -v /b:/b:ro --read-only --memory-swap -1 --timeout 1m30s host", {})
    assert request.options == {
        "volumes": ["/a:/a", "/b:/b:ro"],
        "read_only": True,
        "memory_swap": "-1",
        "timeout": 90.0,
    }


def test_every_run_option_is_an_option_of_a_cell() -> None:
    flags = set(parser().flags())
    assert all(flags.issuperset(option.flags) for option in OPTIONS if option.name not in ("interactive", "tty"))


def test_cell_options() -> None:
    request = parse(
        "-i a --input b -o c --out d --err e --result f --metrics g --no-raise-error -d -q --explain --expand host",
        {},
    )
    assert (request.inputs, request.outputs) == (("a", "b"), ("c",))
    assert (request.out, request.err, request.result, request.metrics) == ("d", "e", "f", "g")
    assert not request.raise_error
    assert request.detach
    assert request.quiet
    assert request.explain
    assert request.expand
    assert not request.options
    assert parse("--bg host", {}).detach
    assert parse("--detach host", {}).detach


def test_an_environment_variable_by_name_alone_is_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LESSON", "one")
    monkeypatch.delenv("ABSENT", raising=False)
    assert parse("-e LESSON -e ABSENT -e A=b host", {}).options == {"env": ["LESSON=one", "A=b"]}


def test_an_entry_point_is_one_word() -> None:
    assert parse("--entrypoint 'my program' host", {}).options == {"entrypoint": ["my program"]}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "no image is named"),
        ("--memroy 5m host", r"unknown option --memroy \(hint: did you mean --memory\?\)"),
        ("--mem 5m host", "unknown option --mem "),
        ("-i 1a host", "'1a' is not the name of a variable"),
        ("-o ../x host", "is not the name of a variable"),
        ("-o class host", "is not the name of a variable"),
        ("--memory", "expected one argument"),
        ("-t host", "unknown option -t"),
        ("--timeout soon host", "--timeout: "),
    ],
)
def test_mistakes(line: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse(line, {})


@pytest.mark.parametrize(
    ("word", "expanded"),
    [
        ("{size}m", "64m"),
        ("{path}:/data", "/my data:/data"),
        ("{config.cpus}", "1.5"),
        ("{config.words[a]}", "b"),
        ("{pi:.2f}", "3.14"),
        ("{path!r}", "'/my data'"),
        ("{{size}}", "{size}"),
        ("${size}", "${size}"),
        ("${HOME:-x}", "${HOME:-x}"),
        ("{} {a,b} {1..3} {print $1} $size", "{} {a,b} {1..3} {print $1} $size"),
        ('{"key": 1}', '{"key": 1}'),
    ],
)
def test_variables_in_the_line(word: str, expanded: str) -> None:
    assert expand_words([word], VARIABLES) == [expanded]


def test_a_value_stays_one_word() -> None:
    assert parse("-v {path}:/data host", VARIABLES).options == {"volumes": ["/my data:/data"]}


def test_a_missing_variable_is_named() -> None:
    with pytest.raises(NameError, match="name 'nothing' is not defined"):
        parse("-m {size}m -e A={nothing} host", VARIABLES)


@pytest.mark.parametrize("word", ["{config.absent}", "{config.words[z]}", "{path:d}"])
def test_a_reference_that_leads_nowhere_is_shown(word: str) -> None:
    with pytest.raises(UsageError, match="Error"):
        expand_words([word], VARIABLES)


def test_variables_in_the_cell() -> None:
    assert expand_cell("n = {{size}} + {{ config.cpus }}; d = {1: {2}}; f'{n}'", VARIABLES) == (
        "n = 64 + 1.5; d = {1: {2}}; f'{n}'"
    )
    with pytest.raises(NameError, match="'nothing'"):
        expand_cell("{{nothing}}", VARIABLES)


def test_a_container_that_stays() -> None:
    assert not parse("host", {}).keep
    request = parse("--keep --replace --name lab -m 64m host sh", {})
    assert (request.keep, request.replace, request.detach) == (True, True, False)
    assert request.options == {"name": "lab", "memory": "64m"}


def test_detached_in_a_line_is_kept_and_in_a_cell_is_not() -> None:
    line, cell = parse("-d --rm host", {}, cell=False), parse("-d host", {})
    assert (line.detach, line.keep, line.remove) == (True, True, True)
    assert (cell.detach, cell.keep) == (True, False)
    background = parse("--bg host", {}, cell=False)
    assert (background.detach, background.keep) == (True, False)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--replace --name lab host", "--replace: a container that goes"),
        ("--keep --replace host", "--replace: which one"),
        ("--keep -i x host", "-i and -o: variables need"),
        ("--keep -o x host", "-i and -o: variables need"),
        ("--keep --rm host", "contradict each other"),
        ("--keep --bg --out x host", "--out: nobody waits"),
        ("--keep --bg --timeout 3 host", "--timeout: nobody waits"),
        ("--keep --restart always host", "--restart: a cell waits for one end"),
    ],
)
def test_what_a_container_that_stays_cannot_do(line: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse(line, {})


def test_exec() -> None:
    request = parse_exec("-u me -e A=b -w /x --timeout 1m --out o {name} python3 -u -e", {"name": "lab"}, cell=True)
    assert (request.container, request.command) == ("lab", ("python3", "-u", "-e"))
    assert request.options == ExecOptions(user="me", workdir="/x", env=("A=b",))
    assert (request.timeout, request.out, request.raise_error, request.detach) == (60.0, "o", True, False)
    assert parse_exec("-i lab", {}, cell=True).command == ()
    assert parse_exec("-d lab sleep 1", {}, cell=False).detach


@pytest.mark.parametrize(
    ("line", "cell", "message"),
    [
        ("", True, "no container is named"),
        ("-t lab", True, "a notebook is no terminal"),
        ("-it lab bash", False, "a notebook is no terminal"),
        ("-i lab cat", False, "there is no input in one line"),
        ("lab", False, "no command is named"),
        ("-d --err e lab", True, "--err: nobody waits"),
        ("--usr me lab", True, "did you mean --user"),
    ],
)
def test_what_exec_refuses(line: str, cell: bool, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_exec(line, {}, cell=cell)
