"""Cells in real containers, in a real IPython shell."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from waiting import wait_until

import kernelbox
from kernelbox.errors import (
    CommandNotExecutable,
    CommandNotFound,
    ImageNotFound,
    InvalidOption,
    OutOfMemory,
    RunFailed,
    RunTimeout,
)

if TYPE_CHECKING:
    from .conftest import Notebook

pytestmark = pytest.mark.kernel
Capture = pytest.CaptureFixture[str]

FRAME = pd.DataFrame({"n": [3, 1, 2], "name": ["c", "a", "b"], "day": pd.to_datetime(["2026-01-01"] * 3, utc=True)})


def test_forty_two(real_notebook: Notebook, capsys: Capture) -> None:
    real_notebook.run("%%container -q host python3\nprint(6*7)")
    assert capsys.readouterr().out == "42\n"
    assert kernelbox.last.usage.memory_peak_bytes > 0
    assert kernelbox.last.usage.cpu_usage_seconds > 0


def test_the_result_is_the_value(real_notebook: Notebook) -> None:
    run = real_notebook.value("%%container --result r --metrics m --out o host sh\necho hi; exit 0")
    assert run is real_notebook.variables["r"] is kernelbox.last
    assert (run.exit_code, run.stdout, real_notebook.variables["o"]) == (0, "hi\n", "hi\n")
    assert len(real_notebook.variables["m"]) == 1
    assert real_notebook.variables["m"].memory_peak_bytes[0] > 0


def test_without_a_command_the_images_shell_reads_the_cell(real_notebook: Notebook, capsys: Capture) -> None:
    real_notebook.run("%%container -q host\nfor i in 1 2; do echo $i; done;\necho ${HOME:-x} {a,b} >&2\n")
    shown = capsys.readouterr()
    assert shown.out == "1\n2\n"
    assert shown.err.startswith("/root ")


def test_a_command_of_a_dir_image(real_notebook: Notebook, busybox_rootfs: Path, capsys: Capture) -> None:
    real_notebook.variables["rootfs"] = busybox_rootfs
    real_notebook.run("%%container -q dir:{rootfs} wc -l  # the cell is its input\none\ntwo\n")
    assert capsys.readouterr().out == "2\n"


def test_options_reach_the_container(real_notebook: Notebook, capsys: Capture) -> None:
    real_notebook.run("%%container -q -e 'A=b c' -h lab -w /tmp --read-only host sh\necho $A $(hostname) $PWD")
    assert capsys.readouterr().out == "b c lab /tmp\n"


def test_split_characters_and_colours(real_notebook: Notebook, capsys: Capture) -> None:
    body = r"printf '\342'; sleep 0.2; printf '\202\254 \033]0;title\007\033[31mred\033[0m\n'"
    real_notebook.run(f"%%container -q host sh\n{body}")
    assert capsys.readouterr().out == "€ \x1b[31mred\x1b[0m\n"


def test_a_flood_is_cut_and_all_of_it_is_in_the_result(real_notebook: Notebook, capsys: Capture) -> None:
    real_notebook.run("%%container -q --result r host python3\nfor i in range(200_000): print('line', i)")
    shown = capsys.readouterr().out
    assert len(shown) < 1_000_000
    assert shown.startswith("line 0\nline 1\n")
    assert shown.endswith("line 199999\n")
    assert "lines hidden, all in result.stdout" in shown
    assert real_notebook.variables["r"].stdout.count("\n") == 200_000


def test_a_variable_is_there_under_its_name(real_notebook: Notebook, capsys: Capture) -> None:
    real_notebook.variables.update(df=FRAME, grid=np.eye(2), text="t", data=b"\x00", config={"a": [1]})
    cell = "-q -i df -i grid -i text -i data -i config -o back -o total host python3"
    body = "print(text, data, config, type(df).__name__)\nback = df\ntotal = {'n': sum(df['n'])}\n"
    real_notebook.run(f"%%container {cell}\n{body}")
    assert capsys.readouterr().out == "t b'\\x00' {'a': [1]} DataFrame\n"
    pd.testing.assert_frame_equal(real_notebook.variables["back"], FRAME)
    assert real_notebook.variables["total"] == {"n": 6}


@pytest.mark.skipif(not Path("/usr/bin/python3").exists(), reason="needs a second Python, without pandas")
def test_a_python_without_pandas_has_columns(real_notebook: Notebook) -> None:
    real_notebook.variables["df"] = FRAME
    real_notebook.run(
        "%%container -q -i df -o kind -o rows host /usr/bin/python3 -I -\nkind = type(df).__name__\nrows = df['name']\n"
        "if kind != 'dict': rows = list(rows)"
    )
    assert real_notebook.variables["kind"] in ("dict", "DataFrame")
    assert real_notebook.variables["rows"] == ["c", "a", "b"]


def test_a_shell_has_files_and_text(real_notebook: Notebook) -> None:
    real_notebook.variables.update(table=FRAME[["n", "name"]], who="wörld")
    real_notebook.run(
        "%%container -q -i table -i who -o hello -o sorted -o n host sh\n"
        'echo "hello $who" > $KB_OUT/hello\n'
        'echo n,name > $KB_OUT/sorted.csv; tail -n +2 "$table_FILE" | sort >> $KB_OUT/sorted.csv\n'
        "echo '[1, 2]' > $KB_OUT/n.json\n"
    )
    assert real_notebook.variables["hello"] == "hello wörld\n"
    assert real_notebook.variables["sorted"].name.tolist() == ["a", "b", "c"]
    assert real_notebook.variables["n"] == [1, 2]


def test_variables_reach_a_user_and_a_read_only_container(real_notebook: Notebook) -> None:
    real_notebook.variables["n"] = 20
    real_notebook.run("%%container -q -u 1000:1000 --read-only -i n -o m host python3\nm = n + 1")
    assert real_notebook.variables["m"] == 21


def test_what_goes_in_cannot_be_changed(real_notebook: Notebook) -> None:
    real_notebook.variables["n"] = 1
    run = real_notebook.value("%%container --no-raise-error --err e -i n host sh\necho 2 > $n_FILE")
    assert run.exit_code != 0
    assert "Read-only" in real_notebook.variables["e"]


def test_a_link_out_of_the_container_is_not_followed(real_notebook: Notebook) -> None:
    error = real_notebook.error("%%container -q -o stolen host sh\nln -s /etc/shadow $KB_OUT/stolen")
    assert isinstance(error, InvalidOption)
    assert "stolen" not in real_notebook.variables


def test_a_failing_cell_says_so_in_a_line(real_notebook: Notebook, capsys: Capture) -> None:
    error = real_notebook.error("%%container --out o --result r host sh\necho until here\nexit 3")
    assert isinstance(error, RunFailed)
    assert real_notebook.variables["o"] == "until here\n"
    assert real_notebook.variables["r"].exit_code == 3
    assert capsys.readouterr().out.count("\n") == 1


def test_tracebacks_have_the_cells_lines(real_notebook: Notebook, capsys: Capture) -> None:
    real_notebook.variables["n"] = 0
    real_notebook.error("%%container -i n host python3\nx = 1\nx / n\n")
    assert 'File "<cell>", line 2, in <module>\n    x / n\n' in capsys.readouterr().err


def test_a_missing_program(real_notebook: Notebook, capsys: Capture) -> None:
    error = real_notebook.error("%%container host pyhton3\nprint()")
    assert isinstance(error, CommandNotFound)
    assert "python3" in str(error)
    error = real_notebook.error("%%container host sh\npyhton3 -V")
    assert isinstance(error, RunFailed)
    assert error.exit_code == 127
    assert "python3" in str(error.hint)
    assert "Traceback" not in capsys.readouterr().out


def test_a_program_that_cannot_be_executed(real_notebook: Notebook) -> None:
    assert isinstance(real_notebook.error("%%container host /etc/passwd\nx"), CommandNotExecutable)


def test_an_unknown_image(real_notebook: Notebook) -> None:
    assert isinstance(real_notebook.error("%%container hots true\nx"), ImageNotFound)


def test_the_memory_limit_is_named(real_notebook: Notebook, capsys: Capture, memory_is_limited: bool) -> None:
    if not memory_is_limited:
        pytest.skip("this user's containers have no memory limit: no control group is theirs")
    hog = "x = []\nfor _ in range(300): x.append('x' * 1_000_000)\n"
    error = real_notebook.error(f"%%container -m 64m host python3\n{hog}")
    assert isinstance(error, OutOfMemory)
    shown = capsys.readouterr().out
    assert "64" in shown
    assert "peak" in shown
    assert "hint: give it more with --memory" in shown


def test_a_time_limit_ends_the_tree(real_notebook: Notebook, capsys: Capture) -> None:
    body = "trap '' TERM INT HUP\nsleep 1000 &\nsleep 1000\n"
    assert isinstance(real_notebook.error(f"%%container --timeout 0.3 host sh\n{body}"), RunTimeout)
    assert "hint: give it more with --timeout" in capsys.readouterr().out


def test_in_the_background(real_notebook: Notebook, capsys: Capture) -> None:
    cell = real_notebook.value("%%container --bg --result r -o n host python3\nprint('behind')\nn = 1")
    assert cell.wait(30).exit_code == 0
    wait_until(lambda: cell.done)
    assert real_notebook.variables["r"].stdout == "behind\n"
    assert real_notebook.variables["n"] == 1
    assert "behind\n" in capsys.readouterr().out


def test_a_background_cell_is_killed(real_notebook: Notebook) -> None:
    cell = real_notebook.value("%%container --detach --no-raise-error host sh\ntrap '' TERM\nsleep 1000 & sleep 1000")
    assert not cell.done
    cell.kill()
    assert cell.wait(30).signal == 9


def test_explain_draws_the_launch(real_notebook: Notebook) -> None:
    real_notebook.run("%%container -q --explain host true\n-")
    (bundle,) = real_notebook.displayed
    assert set(bundle) == {"application/vnd.vegalite.v5+json", "text/plain"}
    assert len(bundle["application/vnd.vegalite.v5+json"]["data"]["values"]) > 10


def test_line_magics(real_notebook: Notebook) -> None:
    real_notebook.run("%container run -q host true")
    assert len(real_notebook.value("%container explain")) > 10
    assert real_notebook.value("%container last") is kernelbox.last
    costs = real_notebook.value("%container costs")
    assert costs.image.tolist() == ["host"]
    assert costs.time.dt.tz is not None
    assert costs.wall_seconds[0] > 0


def test_doctor(real_notebook: Notebook) -> None:
    report = real_notebook.value("%container doctor")
    assert report.rows
    assert all(state in ("works", "degraded", "missing") for _, state, _, _ in report.rows)
    assert "<table>" in report._repr_html_()
    assert report.rows[0][0] in repr(report)


def test_reload(real_notebook: Notebook) -> None:
    real_notebook.run("%reload_ext kernelbox")
    assert real_notebook.value("%container run host true").exit_code == 0


def test_this_python_is_the_hosts(real_notebook: Notebook, capsys: Capture) -> None:
    real_notebook.run("%%container -q host python3\nimport sys; print(sys.version_info[:2])")
    assert capsys.readouterr().out == f"{sys.version_info[:2]}\n"
