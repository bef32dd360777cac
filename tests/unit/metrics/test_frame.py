"""Frames of runs and of launches: their columns, their types, and the pictures that a launch draws of itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from IPython.core.formatters import DisplayFormatter

from kernelbox.metrics import USAGE_COLUMNS
from kernelbox.metrics.frame import COLOURS, VEGA_LITE, LaunchFrame, trace_frame, usage_frame


@dataclass(frozen=True)
class Row:
    number: int
    step: str
    where: str
    what: str
    syscall: str
    start_us: float
    duration_us: float
    errno: int = 0


ROWS = [
    Row(1, "CloneChild", "outside", "new namespaces", "clone3", 0.0, 310.5),
    Row(2, "JoinCgroup", "outside", "join cgroup x", "write", 310.5, 40.0),
    Row(3, "MountOverlay", "inside", "mount <overlay>", "fsmount", 400.0, 900.0),
    Row(4, "Exec", "inside", "exec", "execve", 1300.0, 2.2),
]


@pytest.fixture
def launch() -> LaunchFrame:
    return trace_frame(ROWS, "host")


def run(**changes: Any) -> SimpleNamespace:
    usage = dict.fromkeys(
        ("cpu_usage_seconds", "cpu_user_seconds", "cpu_system_seconds", "wall_seconds"), 0.5
    ) | dict.fromkeys(("io_read_bytes", "io_write_bytes", "net_rx_bytes", "net_tx_bytes"), 7)
    facts = {
        "started_at": 1767323045.5,
        "container": SimpleNamespace(id="abc", name="calm_cat"), "image": "host", "command": ["sh", "-c", "exit"],
        "exit_code": 0, "signal": None, "oom_killed": False, "timed_out": False,
        "usage": SimpleNamespace(memory_peak_bytes=4096, pids_peak=None, **usage),
    }  # fmt: skip
    return SimpleNamespace(**(facts | changes))


def test_a_row_for_each_run() -> None:
    frame = usage_frame([run(), run(exit_code=137, signal=9, oom_killed=True)])
    assert list(frame) == list(USAGE_COLUMNS)
    assert frame.exit_code.tolist() == [0, 137]
    assert frame.signal.tolist() == [pd.NA, 9]
    assert frame.command[0] == "sh -c exit"
    assert frame.memory_peak_bytes.sum() == 8192
    assert frame.pids_peak.isna().all()
    assert frame.time[0] == pd.Timestamp("2026-01-02 03:04:05.5", tz="UTC")


@pytest.mark.parametrize("runs", [[], [run()]])
def test_types_do_not_depend_on_what_is_there(runs: list[SimpleNamespace]) -> None:
    frame = usage_frame(runs)
    assert str(frame.time.dtype) == "datetime64[ns, UTC]"
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == USAGE_COLUMNS


def test_attributes_are_plain_json() -> None:
    frame = usage_frame([run()])
    units = json.loads(json.dumps(frame.attrs))["units"]
    assert units["wall_seconds"] == units["cpu_usage_seconds_total"] == "seconds"
    assert units["memory_peak_bytes"] == "bytes"
    assert "exit_code" not in units


def test_the_steps_of_a_launch(launch: LaunchFrame) -> None:
    assert list(launch) == ["number", "step", "where", "what", "syscall", "start_us", "duration_us", "errno"]
    assert launch.number.tolist() == [1, 2, 3, 4]
    assert launch["where"].dtype == "category"
    assert launch.groupby("where", observed=True).duration_us.sum().to_dict() == {"inside": 902.2, "outside": 350.5}


def test_what_is_made_of_it_is_an_ordinary_frame(launch: LaunchFrame) -> None:
    for frame in (launch.head(2), launch[launch.number > 2], launch.sort_values("duration_us"), launch.copy()):
        assert type(frame) is pd.DataFrame
    assert "duration_us" in repr(launch)


def test_a_notebook_gets_a_chart_and_text_but_no_html(launch: LaunchFrame) -> None:
    bundle, _ = DisplayFormatter().format(launch)
    assert set(bundle) == {VEGA_LITE, "text/plain"}
    chart = json.loads(json.dumps(bundle[VEGA_LITE]))
    assert chart["description"] == "host: 4 steps in 1.30 ms, the longest is mount <overlay> with 900 µs"
    assert [value["start"] for value in chart["data"]["values"]] == [row.start_us for row in ROWS]
    assert chart["encoding"]["color"]["scale"] == {"domain": ["outside", "inside"], "range": list(COLOURS[:2])}


def test_short_steps_can_be_seen(launch: LaunchFrame) -> None:
    last = launch.timeline().vega_lite()["data"]["values"][-1]
    assert last["end"] - last["start"] > 2.2
    assert last["took"] == "2.2 µs"


def test_the_text_is_an_aligned_chart(launch: LaunchFrame) -> None:
    head, *bars, legend = str(launch.timeline()).split("\n")
    assert head.startswith("host: 4 steps in 1.30 ms")
    assert bars[0] == "  1  new namespaces     310 µs  ██████████"
    assert bars[2].index("▒") > bars[1].index("█") > bars[0].index("█")
    assert len({bar.index("µs") for bar in bars}) == 1
    assert legend == "█ outside   ▒ inside"


def test_the_table_survives_an_untrusted_notebook(launch: LaunchFrame) -> None:
    bundle, _ = DisplayFormatter().format(launch.timeline().table())
    assert set(bundle) == {"text/html", "text/plain"}
    assert "mount &lt;overlay&gt;" in bundle["text/html"]
    assert "<svg" not in bundle["text/html"]
    assert "<style" not in bundle["text/html"]
    assert bundle["text/html"].count("<tr>") == 5


def test_steps_of_one_kind_share_a_bar() -> None:
    masks = [
        Row(number, "MaskPath", "inside", f"mask /proc/{number}", "mount", number * 10.0, 5.0) for number in range(9)
    ]
    launch = trace_frame([*masks, Row(9, "Exec", "inside", "run true", "execve", 90.0, 1.0)])
    timeline = launch.timeline()
    assert [row["what"] for row in timeline.rows] == ["mask /proc/0 and 8 more", "run true"]
    assert timeline.rows[0]["duration_us"] == 45
    assert timeline.sentence().startswith("launch: 10 steps in 91 µs")
    assert len(launch) == 10


def test_long_texts_are_cut_in_pictures_and_kept_in_the_frame() -> None:
    launch = trace_frame([Row(1, "BindMount", "inside", "bind " + "x" * 300, "mount", 0, 1)])
    assert len(launch.what[0]) == 305
    assert max(map(len, str(launch.timeline()).split("\n")[1:])) < 110


def test_ids_are_short_in_pictures_and_whole_in_the_frame() -> None:
    identity = "4d356396ffef" + "0" * 52
    launch = trace_frame([Row(1, "MakeFolder", "outside", f"make the folder {identity}", "mkdirat", 0, 1)])
    assert launch.what[0].endswith(identity)
    assert launch.timeline().vega_lite()["data"]["values"][0]["label"] == "1 make the folder 4d356396ffef"
    assert "make the folder 4d356396ffef with" in launch.timeline().sentence()


def test_a_launch_without_steps() -> None:
    launch = trace_frame([])
    assert str(launch.timeline()) == "launch: no steps were recorded\n"
    assert launch.timeline().vega_lite()["data"]["values"] == []


def test_the_commands_own_time_is_no_part_of_the_picture() -> None:
    launch = trace_frame([*ROWS, Row(5, "ReadCounter", "after", "read cpu.stat", "read", 2_001_302.2, 100.0)])
    timeline = launch.timeline()
    assert timeline.sentence().startswith("launch: 5 steps in 1.40 ms (the command itself, 2.00 s, is left out)")
    last = timeline.vega_lite()["data"]["values"][-1]
    assert last["start"] == pytest.approx(1302.2)
    assert launch.start_us.max() == 2_001_302.2


def test_a_step_that_lasts_until_others_are_done_is_not_the_longest() -> None:
    launch = trace_frame([Row(1, "NewNamespaces", "outside", "clone", "clone3", 0.0, 2000.0), *ROWS[2:]])
    assert "the longest is mount <overlay>" in launch.timeline().sentence()
