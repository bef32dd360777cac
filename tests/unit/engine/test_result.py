"""What a result says of how a run ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from kernelbox_magics.failures import failure as failure_in_a_cell

from kernelbox.cli.session import say_what_killed
from kernelbox.engine.executing import ExecResult
from kernelbox.engine.result import ContainerInfo, LimitsReport, RunResult, Usage
from kernelbox.errors import OutOfMemory


def killed(applied: Mapping[str, object], peak: int | None = 3 << 20) -> RunResult:
    return RunResult(
        exit_code=137,
        signal=9,
        oom_killed=True,
        timed_out=False,
        stdout_bytes=b"",
        stderr_bytes=b"",
        duration=0.0123,
        command=("tail", "/dev/zero"),
        image="host",
        image_digest="",
        container=ContainerInfo("c" * 64, "one", "c" * 12),
        limits=LimitsReport(applied),
        usage=Usage(memory_peak_bytes=peak),
        started_at=0.0,
        trace_rows=lambda: (),
    )


@pytest.mark.parametrize(
    "result",
    [
        replace(killed({}), stdout_bytes=b"out \xff", stderr_bytes=b"err \xfe"),
        ExecResult(0, None, b"out \xff", b"err \xfe", 0.1, lambda: ()),
    ],
    ids=["run", "exec"],
)
def test_what_was_written_is_text_too(result: RunResult | ExecResult) -> None:
    assert (result.stdout, result.stderr) == ("out \ufffd", "err \ufffd")
    assert not hasattr(result, "__dict__"), "results are many"


def failure(result: RunResult) -> OutOfMemory:
    with pytest.raises(OutOfMemory) as caught:
        result.check()
    return caught.value


def test_a_limit_is_named() -> None:
    result = killed({"memory": 2 << 20, "pids": 7})
    error = failure(result)
    assert error.message == "tail was killed at the memory limit of 2 MiB, peak 3 MiB"
    assert error.hint == "give it more with memory="
    assert repr(result) == "<RunResult host tail: killed at the memory limit, 12.3 ms, peak 3 MiB>"


@pytest.mark.parametrize("applied", [{}, {"pids": 7}, {"memory": -1}, {"memory": None}])
def test_without_a_limit_it_is_the_machine(applied: Mapping[str, object]) -> None:
    result = killed(applied)
    error = failure(result)
    assert error.message == "tail was killed: the machine ran out of memory, peak 3 MiB"
    assert error.hint == "limit what takes too much of it with memory="
    assert "killed when the machine ran out of memory" in repr(result)
    assert failure(killed(applied, peak=None)).message == "tail was killed: the machine ran out of memory"


@pytest.mark.parametrize(
    ("applied", "hint"),
    [({"memory": 2 << 20}, "give it more with --memory"), ({}, "limit what takes too much of it with --memory")],
)
def test_the_doors_say_it_with_their_own_words(
    applied: Mapping[str, object], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    say_what_killed(killed(applied))
    assert capsys.readouterr().err.endswith(f"\n  hint: {hint}\n")
    error = failure_in_a_cell(killed(applied))
    assert error is not None
    assert error.hint == hint


def test_a_process_of_many_that_was_killed_is_no_failure() -> None:
    result = replace(killed({}), exit_code=0, signal=None)
    assert result.check() is result
