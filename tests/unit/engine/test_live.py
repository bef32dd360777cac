"""The table of processes: from a /proc that is made here, and from what a ps prints."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from kernelbox.engine.live import TITLES, processes_below, shown, top
from kernelbox.errors import InvalidOption, NotSupported

TICKS = os.sysconf("SC_CLK_TCK")


class Proc:
    """A /proc of a machine that has been up for three years."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "uptime").write_text("100000000.00 5.0\n")

    def add(
        self,
        pid: int,
        parent: int = 1,
        *,
        name: str = "sh",
        command: bytes = b"sh\0-c\0true\0",
        state: str = "S",
        age: int = 10,
        cpu: int = 0,
        terminal: int = 0,
        numbers: str = "",
        namespace: str = "pid:[1]",
    ) -> None:
        own = self.folder / str(pid)
        (own / "ns").mkdir(parents=True)
        zeros = " ".join(["0"] * 6)
        started = (100_000_000 - age) * TICKS
        (own / "stat").write_text(
            f"{pid} ({name}) {state} {parent} 0 0 {terminal} {zeros} {cpu * TICKS} 0 0 0 20 0 1 0 {started} 0 0\n"
        )
        (own / "cmdline").write_bytes(command)
        (own / "status").write_text(f"Name:\tx\nUid:\t5\t{4_000_000_000}\t5\t5\nNSpid:\t{numbers or pid}\n")
        (own / "ns/pid").symlink_to(namespace)


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


def test_the_default_columns(proc: Proc) -> None:
    proc.add(7, 3, cpu=5, terminal=os.makedev(136, 4))
    titles, rows = top([7], proc=proc.folder)
    assert titles == TITLES
    assert len(rows) == 1
    uid, pid, parent, share, _, terminal, used, command = rows[0]
    assert (uid, pid, parent, share) == ("4000000000", "7", "3", "50")
    assert (terminal, used, command) == ("pts/4", "00:00:05", "sh -c true")
    assert top([7], "", proc.folder)[1] == top([7], " -ef ", proc.folder)[1] == rows


def test_rows_are_in_the_order_of_ids_and_who_has_ended_has_none(proc: Proc) -> None:
    for pid in (30, 4):
        proc.add(pid)
    assert [row[1] for row in top([30, 9, 4], proc=proc.folder)[1]] == ["4", "30"]
    assert top([], proc=proc.folder)[1] == []


def test_start_times_as_ps_writes_them(proc: Proc) -> None:
    proc.add(1, age=0)
    proc.add(2, age=90_000)
    proc.add(3, age=400 * 86_400)
    now, rows = time.time(), top([1, 2, 3], proc=proc.folder)[1]
    assert rows[0][4] in {time.strftime("%H:%M", time.localtime(now - late)) for late in (0, 60)}
    yesterday = time.localtime(now - 90_000)
    assert rows[1][4] == time.strftime("%b%d" if yesterday.tm_year == time.localtime().tm_year else "%Y", yesterday)
    assert rows[2][4] == str(time.localtime(now - 400 * 86_400).tm_year)


@pytest.mark.parametrize(("seconds", "written"), [(59, "00:00:59"), (86_399, "23:59:59"), (90_061, "1-01:01:01")])
def test_cpu_time(proc: Proc, seconds: int, written: str) -> None:
    proc.add(7, cpu=seconds)
    (row,) = top([7], proc=proc.folder)[1]
    assert row[6] == written
    assert row[3] == "99"


@pytest.mark.parametrize(
    ("major", "minor", "name"), [(0, 0, "?"), (4, 1, "tty1"), (4, 64, "ttyS0"), (137, 1, "pts/257"), (9, 9, "?")]
)
def test_terminals(proc: Proc, major: int, minor: int, name: str) -> None:
    proc.add(7, terminal=os.makedev(major, minor))
    assert top([7], proc=proc.folder)[1][0][5] == name


HOSTILE = b"sh\n0 1 1 fake\0\x1b[2J\x1b]0;x\x07\0\xff\0\xe2\x80\xae\0\xc3\xa9\0"


def test_hostile_names_stay_on_their_line(proc: Proc) -> None:
    proc.add(7, command=HOSTILE)
    proc.add(8, name="a) S 1 (b\n\x1b[1m", command=b"")
    proc.add(9, name="c)", command=b"", state="Z")
    commands = [row[7] for row in top([7, 8, 9], proc=proc.folder)[1]]
    assert commands == ["sh?0 1 1 fake ?[2J?]0;x? \ufffd ? é", "[a) S 1 (b??[1m]", "[c)] <defunct>"]
    assert shown("plain é") == "plain é"


def test_a_very_long_command_is_cut(proc: Proc) -> None:
    proc.add(7, command=b"x" * (1 << 20))
    assert len(top([7], proc=proc.folder)[1][0][7]) == 16 << 10


def test_processes_of_a_container_without_groups(proc: Proc) -> None:
    proc.add(1, 0)
    proc.add(10, 1)
    proc.add(20, 10, numbers="20 1", namespace="pid:[2]")
    proc.add(21, 20, numbers="21 5", namespace="pid:[2]")
    proc.add(22, 21, numbers="22 6 1", namespace="pid:[3]")
    proc.add(23, 10, numbers="23 7", namespace="pid:[2]")  # started into it from outside
    proc.add(24, 23, numbers="24 8", namespace="pid:[2]")
    proc.add(30, 10)
    assert processes_below(20, proc.folder) == [20, 21, 22, 23, 24]
    assert processes_below(10, proc.folder) == [10, 20, 21, 22, 23, 24, 30]
    assert processes_below(99, proc.folder) == []


@pytest.fixture
def ps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program ps, to be written: what it is called with stands in `asked` beside it."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path / "ps"


def write(ps: Path, script: str) -> None:
    ps.write_text(f'#!/bin/sh\necho "$@" >> {ps.parent}/asked\n{script}\n')
    ps.chmod(0o755)


TABLE = "PID USER\tCOMMAND\\n 7 root a  b   c\\n 70 root other\\n8 root d\\n - - thread\\n9 root e\\n - - not ours\\n"


def test_lines_of_others_are_left_out_and_the_rest_is_the_last_column(ps: Path) -> None:
    write(ps, f"printf '{TABLE}'")
    titles, rows = top([7, 8], "-o  pid,user")
    assert titles == ("PID", "USER", "COMMAND")
    assert rows == [("7", "root", "a  b   c"), ("8", "root", "d"), ("-", "-", "thread")]
    assert (ps.parent / "asked").read_text() == "-o pid,user -q 7,8\n"


def test_asked_again_without_ids_where_ps_takes_none(ps: Path) -> None:
    write(ps, f'case "$*" in *-q*) echo "no -q" >&2; exit 1;; esac; printf \'{TABLE}\'')
    assert len(top([7], "f")[1]) == 1
    assert (ps.parent / "asked").read_text() == "f -q 7\nf\n"


def test_escapes_that_ps_lets_through_are_harmless(ps: Path) -> None:
    write(ps, r"printf 'PID C\033MD\n7 \033[2J\n'")
    assert top([7], "x") == (("PID", "C?MD"), [("7", "?[2J")])


def test_what_ps_refuses(ps: Path) -> None:
    write(ps, "printf 'error: \\033bad\\nusage\\n' >&2; exit 1")
    with pytest.raises(InvalidOption, match=r"ps does not take '--bad': error: \?bad \(hint"):
        top([7], "--bad")
    write(ps, "echo CMD; echo 7")
    with pytest.raises(InvalidOption, match="no column PID"):
        top([7], "-o cmd")
    write(ps, "printf 'CMD PID\\n7 7\\nmy name 7\\n'")
    with pytest.raises(InvalidOption, match=r"prints 'name 7' where the column PID should be"):
        top([7], "-o cmd,pid")


@pytest.mark.parametrize("args", ["-o comm=PID", "-o pid,args= PIDS", "-o user=PID,pid"])
def test_no_other_column_passes_for_the_ids(args: str) -> None:
    with pytest.raises(InvalidOption, match="may not be called PID"):
        top([7], args)


@pytest.mark.parametrize("args", ["-o\0pid", "x" * 5000])
def test_arguments_that_are_none(args: str) -> None:
    with pytest.raises(InvalidOption, match="arguments of ps"):
        top([7], args)


def test_a_machine_without_ps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotSupported, match="no program ps"):
        top([7], "aux")
