"""Which process a record means: that very one, over its end and over reboots."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from kernelbox.store.running import Running, named, read_running


def of(pid: int, restarts: int = 0) -> Running:
    """The process as it is."""
    started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return Running(pid, started, restarts, boot)


def test_an_identity_names_the_process_it_is_of() -> None:
    mine = of(os.getpid())
    assert named(mine.identity) == mine
    assert mine.alive()


def test_restarts_do_not_make_another_process() -> None:
    assert named(of(os.getpid(), restarts=3).identity) == of(os.getpid())


@pytest.mark.parametrize("text", ["", "1 2", "x 1 boot", "1 2 3 4"])
def test_what_is_no_identity_names_nothing(text: str) -> None:
    assert named(text) is None


def test_another_start_and_another_boot_are_other_processes() -> None:
    mine = of(os.getpid())
    assert not Running(mine.pid, str(int(mine.started) + 1), 0, mine.boot).alive()
    assert not Running(mine.pid, mine.started, 0, "another-boot").alive()


def test_one_that_has_ended_is_not_alive_even_where_nobody_was_told() -> None:
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    ended = of(process.pid)
    assert not ended.alive()
    process.wait()
    assert not ended.alive()


def test_the_note_in_a_folder_is_the_same_process(tmp_path: Path) -> None:
    mine = of(os.getpid(), restarts=2)
    (tmp_path / "running").write_text(f"{mine.pid} {mine.started} 2 {mine.boot}\n")
    found = read_running(tmp_path)
    assert found == mine
    assert found.identity == mine.identity
