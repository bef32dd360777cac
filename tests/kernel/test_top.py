"""Processes of this machine as the table shows them, beside what its own ps says; a sample of a real group."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from kernelbox.engine.live import processes_below, top
from kernelbox.engine.stats import cpu_percent, interfaces_of, row, take
from kernelbox.linux import cgroups

pytestmark = pytest.mark.kernel

NAME = "kb\n\x1b[2Jx"
CODE = "import os, sys; open('/proc/self/comm', 'w').write(sys.argv[1]); print(flush=True); sys.stdin.read()"


@pytest.fixture
def hostile() -> Iterator[subprocess.Popen[bytes]]:
    """A process whose name and arguments have line ends and escapes in them."""
    command = [sys.executable, "-Ic", CODE, NAME, "7\n8 root fake"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process


def test_one_line_each_whatever_its_name(hostile: subprocess.Popen[bytes]) -> None:
    titles, (line,) = top([hostile.pid])
    assert len(line) == len(titles)
    assert line[1:3] == (str(hostile.pid), str(os.getpid()))
    assert line[7].endswith(f"{CODE} kb??[2Jx 7?8 root fake")


@pytest.mark.skipif(shutil.which("ps") is None, reason="there is no ps here")
def test_ps_says_the_same(hostile: subprocess.Popen[bytes]) -> None:
    titles, rows = top([hostile.pid])
    same_titles, same = top([hostile.pid], "-e -f")
    assert same_titles == titles
    assert len(same) == 1
    assert [same[0][at] for at in (1, 2, 5)] == [rows[0][at] for at in (1, 2, 5)]
    assert top([hostile.pid], "-o pid,comm") == (("PID", "COMMAND"), [(str(hostile.pid), "kb??[2Jx")])


def test_processes_that_came_from_one(hostile: subprocess.Popen[bytes]) -> None:
    assert processes_below(hostile.pid) == [hostile.pid]
    assert hostile.pid in processes_below(os.getpid())
    hostile.communicate()
    assert processes_below(hostile.pid) == []
    assert top([hostile.pid])[1] == []
    assert interfaces_of(hostile.pid) == ()


@pytest.mark.root
def test_samples_of_a_group(hostile: subprocess.Popen[bytes]) -> None:
    with cgroups.create(f"kernelbox-test-{os.getpid()}") as group:
        counters = group.hierarchy.counters(group.groups)
        busy = [
            sys.executable,
            "-Ic",
            "import sys; sys.stdin.read(1); sum(range(3_000_000)); print(flush=True); sys.stdin.read()",
        ]
        with subprocess.Popen(busy, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            group.attach(process.pid)
            before = take(group.groups, counters, process.pid)
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b"x")
            process.stdin.flush()
            process.stdout.readline()
            after = take(group.groups, counters, process.pid)
            assert take(group.groups, counters, hostile.pid).interfaces == ()  # a number that is another's by now
            assert [each.name for each in after.interfaces] == [each.name for each in interfaces_of(os.getpid())]
    assert cpu_percent(after, before) > 0
    assert after.pids == 1
    assert after.memory_bytes is not None
    assert after.memory_limit_bytes is not None
    assert 0 < after.memory_bytes < after.memory_limit_bytes
    assert "--" not in row(after, before).values()
