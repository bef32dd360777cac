"""The launch as text."""

from __future__ import annotations

from kernelbox.cli.launch_table import PlanRow, plan_text, trace_text
from kernelbox.runtime.trace import TraceRow

ID = "4d356396ffefe3f923ce00adea33ca8d88d2daf6faefdd15cdef6b8ebe94d5c4"
TRACE = (
    TraceRow(1, "MakeFolder", "outside", f"make the folder {ID}", "mkdirat", 0.0, 250.0),
    TraceRow(2, "NewNamespaces", "outside", "start a process", "clone3", 250.0, 750.0),
    TraceRow(3, "Exec", "inside", "run true", "execve", 500.0, 500.0),
    TraceRow(4, "ReadCounter", "after", "read cpu.stat", "openat read", 5_001_000.0, 1000.0),
)


def test_a_row_says_number_place_what_calls_start_and_duration() -> None:
    head, titles, first, *_ = trace_text(TRACE, 120).splitlines()
    assert (
        head == "started in 1.00 ms by 3 steps, cleaned up in 1.00 ms by 1; the longest is 4: read cpu.stat (1.00 ms)"
    )
    assert titles.split() == ["where", "what", "system", "calls", "start", "took"]
    assert first.split() == [
        "1",
        "outside",
        "make",
        "the",
        "folder",
        ID[:12],
        "mkdirat",
        "0.0",
        "µs",
        "250",
        "µs",
        "██",
    ]


def test_bars_leave_out_the_time_the_command_ran() -> None:
    lines = trace_text(TRACE, 120).splitlines()
    assert lines[-2].strip() == "the command runs for 5.00 s"
    bars = {line.split()[0]: line[-line[::-1].index("s") :] for line in (*lines[2:5], lines[-1])}
    assert bars["1"].rstrip() == "  ██"
    assert bars["4"].rstrip() == "  " + " " * 8 + "████████"


def test_a_step_that_lasts_until_others_are_done_is_not_the_longest() -> None:
    assert "the longest is 3: run true" in trace_text(TRACE[:3], 120)


def test_the_step_that_failed_says_why() -> None:
    failed = TraceRow(2, "BindMount", "inside", "bind /a on /b", "move_mount", 250.0, 5.0, errno=2)
    assert trace_text((TRACE[0], failed), 120).splitlines()[-1].endswith("failed: no such file or directory")


def test_no_steps() -> None:
    assert trace_text(()) == "no step was done\n"


def test_long_texts_are_cut_to_the_width() -> None:
    row = TraceRow(1, "MakeCgroup", "outside", "make " + "a" * 300, "mkdirat " * 20, 0.0, 1.0)
    assert max(map(len, trace_text((row,), 110).splitlines()[1:])) <= 110
    assert "…" in trace_text((row,), 110)


def test_a_plan_has_no_times() -> None:
    rows = (
        PlanRow(1, "MakeFolder", "outside", f"make the folder {ID}", "mkdirat"),
        PlanRow(2, "Exec", "inside", "run true", "execve"),
    )
    assert plan_text(rows, 120).splitlines() == [
        "    where   what                         system calls",
        "  1 outside make the folder 4d356396ffef mkdirat",
        "  2 inside  run true                     execve",
    ]
