"""The command line's way in: Docker's rules of parsing, and argparse made from the table."""

from __future__ import annotations

import argparse

import pytest

from kernelbox.engine.options import OPTIONS, RunOptions, add_to_argparse, parse_arguments
from kernelbox.errors import InvalidOption


@pytest.mark.parametrize(
    ("line", "values", "rest"),
    [
        ("host true", {}, "host true"),
        ("-m 64m host", {"memory": "64m"}, "host"),
        ("-m64m host", {"memory": "64m"}, "host"),
        ("-m=64m host", {"memory": "64m"}, "host"),
        ("--memory=64m host", {"memory": "64m"}, "host"),
        ("--memory 64m --memory 32m host", {"memory": "32m"}, "host"),
        ("-it host sh -c x", {"interactive": True, "tty": True}, "host sh -c x"),
        ("-itm 1g host", {"interactive": True, "tty": True, "memory": "1g"}, "host"),
        ("-e A=1 -eB=2 --env=C=3 host", {"env": ["A=1", "B=2", "C=3"]}, "host"),
        ("--read-only=false --privileged=true host", {"read_only": False, "privileged": True}, "host"),
        ("-t=false host", {"tty": False}, "host"),
        ("--tty host --tty", {"tty": True}, "host --tty"),
        ("-t -- -weird-image x", {"tty": True}, "-weird-image x"),
        ("-h name -", {"hostname": "name"}, "-"),
        ("--net none --cpus=1.5 host", {"network": "none", "cpus": "1.5"}, "host"),
        ("--entrypoint= host", {"entrypoint": ""}, "host"),
        ("", {}, ""),
    ],
)
def test_dockers_rules(line: str, values: dict[str, object], rest: str) -> None:
    assert parse_arguments(line.split()) == (values, rest.split())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--memroy 1 host", "unknown option '--memroy' (hint: did you mean '--memory'?)"),
        ("--cpuss 1 host", "unknown option '--cpuss' (hint: did you mean '--cpus'?)"),
        ("--gpus all host", "unknown option '--gpus' (hint: the devices of a graphics card are given one by one"),
        ("-p 80:80 host", "unknown option '-p' (hint: ports are not published"),
        ("-tx host", "unknown option '-x' in '-tx'"),
        ("-x", "unknown option '-x'"),
        ("--memory", "the option --memory needs a value"),
        ("-m", "the option -m needs a value"),
        ("--tty=maybe", "--tty: expected true or false, got 'maybe'"),
    ],
)
def test_errors(line: str, message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        parse_arguments(line.split())
    assert str(caught.value).startswith(message)


def test_from_the_line_to_options() -> None:
    values, rest = parse_arguments(
        ["-m", "64m", "-e", "A", "-e", "B=2", "--cap-drop", "ALL", "-u", "1000", "host", "id"]
    )
    options = RunOptions.from_arguments(values, {"A": "1"})
    assert rest == ["host", "id"]
    assert options == RunOptions.make(memory="64m", env=["A=1", "B=2"], cap_drop=["ALL"], user="1000")


def test_argparse_gives_the_same() -> None:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    add_to_argparse(parser)
    line = ["-it", "-m", "64m", "-e", "A=1", "-eB=2", "--cpus=1.5", "--net", "none", "--ulimit", "nofile=1:2"]
    assert vars(parser.parse_args(line)) == parse_arguments(line)[0]
    assert vars(parser.parse_args([])) == {}


def test_argparse_leaves_out_what_is_told() -> None:
    parser = argparse.ArgumentParser()  # has -h itself
    add_to_argparse(parser, without={"interactive", "-h", "-t"})
    assert parser.parse_args(["--hostname", "a"]).hostname == "a"
    text = parser.format_help()
    assert "--interactive" not in text
    assert "-t, --tty" not in text
    assert all(option.help.split()[0] in text for option in OPTIONS if option.name != "interactive")
