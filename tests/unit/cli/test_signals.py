"""Which signals a process has something to do for."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from kernelbox.cli.signals import handles


def status(tmp_path: Path, caught: int, ignored: int) -> Path:
    (tmp_path / "7").mkdir()
    (tmp_path / "7/status").write_text(f"Name:\tx\nSigIgn:\t{ignored:016x}\nSigCgt:\t{caught:016x}\n")
    return tmp_path


def test_a_handler_counts(tmp_path: Path) -> None:
    proc = status(tmp_path, 1 << (signal.SIGTERM - 1), 0)
    assert handles(7, signal.SIGTERM, proc)
    assert not handles(7, signal.SIGINT, proc)


def test_to_ignore_it_is_a_decision_too(tmp_path: Path) -> None:
    assert handles(7, signal.SIGHUP, status(tmp_path, 0, 1))


def test_a_process_that_has_gone_handles_nothing(tmp_path: Path) -> None:
    assert not handles(7, signal.SIGINT, tmp_path)


def test_this_process() -> None:
    assert handles(os.getpid(), signal.SIGINT)
    assert not handles(os.getpid(), signal.SIGKILL)
