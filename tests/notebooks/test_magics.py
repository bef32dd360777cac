"""What the magics do around a run: variables, errors, background, settings, loading. The engine is scripted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import kernelbox_magics
import pandas as pd
import pytest
from IPython.core.error import UsageError
from waiting import wait_until

from kernelbox.engine import history
from kernelbox.errors import (
    CommandNotFound,
    ImageNotFound,
    InvalidOption,
    NotFound,
    OutOfMemory,
    RunFailed,
    RunInterrupted,
)

if TYPE_CHECKING:
    from .conftest import Notebook, ScriptedEngine

CELL = "%%container {}\nthe cell\n"


def raising(error: BaseException) -> Any:
    def during(call: dict[str, Any]) -> None:
        raise error

    return during


def test_the_cell_is_the_input_and_the_result_the_value(notebook: Notebook, scripted: ScriptedEngine) -> None:
    assert notebook.value("%%container -m 64m host sh -x\necho {braces} $HOME; done;\n") is scripted.outcome
    assert scripted.calls == [
        {
            "image": "host",
            "command": ["sh", "-x"],
            "input": b"echo {braces} $HOME; done;\n",
            "memory": "64m",
        }
    ]


def test_quiet_has_no_value(notebook: Notebook) -> None:
    assert notebook.value(CELL.format("-q host")) is None


def test_output_is_streamed_to_its_stream(
    notebook: Notebook, scripted: ScriptedEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted.chunks = [(1, b"out \xe2"), (2, b"err\n"), (1, b"\x82\xac\x1b]0;title\x07\n")]
    notebook.run(CELL.format("-q host"))
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("out €\n", "err\n")


def test_output_goes_into_variables_instead(
    notebook: Notebook, scripted: ScriptedEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted.chunks = [(1, b"a"), (2, b"b")]
    scripted.outcome.stdout, scripted.outcome.stderr = "a", "b"
    notebook.run(CELL.format("-q --out o --err e --result r --metrics m host"))
    assert [notebook.variables[name] for name in "oerm"] == ["a", "b", scripted.outcome, "the metrics"]
    assert capsys.readouterr() == ("", "")


def test_a_failure_raises_after_variables_are_bound(notebook: Notebook, scripted: ScriptedEngine) -> None:
    scripted.outcome.exit_code, scripted.outcome.stdout = 3, "until then"
    error = notebook.error(CELL.format("--out o --result r host"))
    assert isinstance(error, RunFailed)
    assert error.result is scripted.outcome
    assert (notebook.variables["o"], notebook.variables["r"]) == ("until then", scripted.outcome)


def test_no_raise_error_goes_on(notebook: Notebook, scripted: ScriptedEngine) -> None:
    scripted.outcome.exit_code = 3
    assert notebook.value(CELL.format("--no-raise-error host")) is scripted.outcome


def test_an_error_is_a_sentence_and_tb_has_the_frames(
    notebook: Notebook, scripted: ScriptedEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted.during = raising(ImageNotFound("there is no image 'hots'", hint="did you mean host?"))
    notebook.error(CELL.format("hots"))
    assert capsys.readouterr().out == "ImageNotFound: there is no image 'hots'\nhint: did you mean host?\n"
    notebook.run("%tb")
    assert "scripted" not in (trace := capsys.readouterr().out)
    assert "Traceback (most recent call last)" in trace
    assert "magic.py" in trace


def test_long_errors_are_a_setting(
    notebook: Notebook, scripted: ScriptedEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook.run("%config KernelBox.short_errors = False")
    scripted.during = raising(InvalidOption("cannot be meant"))
    notebook.error(CELL.format("host"))
    assert "Traceback (most recent call last)" in capsys.readouterr().out


def test_a_missing_variable_is_named(notebook: Notebook, capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(notebook.error(CELL.format("-m {size} host")), NameError)
    assert isinstance(notebook.error(CELL.format("-i nothing host")), NameError)
    assert (
        capsys.readouterr().out == "NameError: name 'size' is not defined\nNameError: name 'nothing' is not defined\n"
    )


def test_wrong_usage(notebook: Notebook, scripted: ScriptedEngine) -> None:
    for cell in (CELL.format("--memroy 1g host"), CELL.format(""), "%container nothing", "%container costs now"):
        assert isinstance(notebook.error(cell), UsageError)
    assert not scripted.calls


def test_the_cell_is_expanded_only_when_asked(notebook: Notebook, scripted: ScriptedEngine) -> None:
    notebook.variables["n"] = 7
    notebook.run("%%container -q host\n{{n}} {n} $n")
    notebook.run("%%container -q --expand host\n{{n}} {n} $n")
    assert [call["input"].strip() for call in scripted.calls] == [b"{{n}} {n} $n", b"7 {n} $n"]


def test_variables_for_a_shell(notebook: Notebook, scripted: ScriptedEngine) -> None:
    notebook.variables["who"] = "world"

    def during(call: dict[str, Any]) -> None:
        out = next(volume.split(":")[0] for volume in call["volumes"] if volume.endswith(":rw"))
        Path(out, "answer.json").write_text("[1]")

    scripted.during = during
    notebook.run("%%container -q -e who=me -v /a:/a -i who -o answer host\necho $who")
    (call,) = scripted.calls
    assert call["env"][-1] == "who=me"
    assert "who=world" in call["env"]
    assert "KB_OUT=/run/kernelbox/out" in call["env"]
    assert call["volumes"][0] == "/a:/a"
    assert notebook.variables["answer"] == [1]


def test_variables_for_python(notebook: Notebook, scripted: ScriptedEngine) -> None:
    notebook.variables["df"] = pd.DataFrame({"a": [1]})
    seen: list[str] = []

    def during(call: dict[str, Any]) -> None:
        into, out = (volume.split(":")[0] for volume in call["volumes"])
        seen.extend(sorted(path.name for path in Path(into).iterdir()))
        Path(out, "text.txt").write_text("came out")

    scripted.during = during
    notebook.run("%%container -q -i df -o text host python3 -u\ntext = 1")
    (call,) = scripted.calls
    assert call["command"] == ["python3", "-u", "/run/kernelbox/in/cell.py"]
    assert call["input"] is None
    assert seen == ["cell", "cell.py", "df.frame", "formats.py", "task.json"]
    assert notebook.variables["text"] == "came out"


def test_a_variable_that_did_not_come_out(notebook: Notebook, scripted: ScriptedEngine) -> None:
    assert isinstance(notebook.error(CELL.format("-o answer host")), NotFound)
    scripted.outcome.exit_code = 1
    assert isinstance(notebook.error(CELL.format("-o answer host")), RunFailed)


def test_a_program_that_is_not_there_gets_the_nearest_names(
    notebook: Notebook, scripted: ScriptedEngine, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").touch()
    scripted.during = raising(CommandNotFound("there is no program 'pyhton3'"))
    assert notebook.error(CELL.format(f"dir:{tmp_path} pyhton3")).hint == "did you mean python3?"


@pytest.mark.parametrize(
    ("status", "stderr", "hint"),
    [
        (127, "sh: 1: pyhton3: not found\n", "did you mean python3?"),
        (127, "bash: line 1: pyhton3: command not found\n", "did you mean python3?"),
        (127, "sh: pyhton3: not found\n", "did you mean python3?"),
        (127, "sh: 1: zzzzz: not found\n", "there is no program zzzzz in dir:"),
        (127, "", "127 means that a program was not found"),
        (126, "", "126 means that a program was found but is not executable"),
        (125, "", "125 is what container engines exit with"),
    ],
)
def test_exit_codes_are_explained(
    notebook: Notebook, scripted: ScriptedEngine, tmp_path: Path, status: int, stderr: str, hint: str
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").touch()
    scripted.outcome.exit_code, scripted.outcome.stderr = status, stderr
    scripted.outcome.image = f"dir:{tmp_path}"
    assert notebook.error(CELL.format("host")).hint.startswith(hint)


def test_out_of_memory_needs_no_guess(notebook: Notebook, scripted: ScriptedEngine) -> None:
    scripted.outcome.exit_code, scripted.outcome.oom_killed = 137, True
    error = notebook.error(CELL.format("host"))
    assert isinstance(error, OutOfMemory)
    assert error.hint == "give it more with --memory"


def test_an_interrupt_is_one_line_and_keeps_what_there_was(
    notebook: Notebook, scripted: ScriptedEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted.outcome.stdout = "half"
    scripted.during = raising(RunInterrupted("interrupted after 2.0 s", result=scripted.outcome))
    assert isinstance(notebook.error(CELL.format("--out o host")), KeyboardInterrupt)
    assert capsys.readouterr().out == "RunInterrupted: interrupted after 2.0 s\n"
    assert notebook.variables["o"] == "half"


def test_explain_is_displayed(notebook: Notebook) -> None:
    notebook.run(CELL.format("-q --explain host"))
    assert notebook.displayed == [{"text/plain": "'the steps'"}]


def test_what_was_done_differently_is_said(
    notebook: Notebook, scripted: ScriptedEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted.outcome.limits.notes = ("memory_swap: this kernel does not account swap",)
    notebook.run(CELL.format("host"))
    assert capsys.readouterr().err == "note: memory_swap: this kernel does not account swap\n"
    scripted.outcome.truncated = True
    notebook.run(CELL.format("-q host"))
    assert capsys.readouterr().err == ""


def test_costs_has_a_row_for_every_run(notebook: Notebook, scripted: ScriptedEngine) -> None:
    notebook.run(CELL.format("host"))
    scripted.outcome = type(scripted.outcome)(exit_code=2, command=("sh", "-c", "exit 2"))
    notebook.error(CELL.format("host sh -x"))
    frame = notebook.value("%container costs")
    assert frame.cell.tolist() == [1, 2]
    assert frame.exit_code.tolist() == [0, 2]
    assert frame.command.tolist() == ["true", "sh -x"]
    assert frame.memory_peak_bytes.tolist() == [4096, 4096]
    assert frame.pids_peak.isna().all()


def test_line_magics(
    notebook: Notebook, scripted: ScriptedEngine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(history, "last", None)
    assert isinstance(notebook.error("%container last"), UsageError)
    monkeypatch.setattr(history, "last", scripted.outcome)
    assert notebook.value("%container last") is scripted.outcome
    assert notebook.value("%container explain") == "the steps"
    assert notebook.value("%container run -m 1g host true # comment") is scripted.outcome
    assert scripted.calls == [{"image": "host", "command": ["true"], "input": None, "memory": "1g"}]
    assert "doctor" in repr(notebook.value("%container"))
    error = notebook.error("%container docter")
    assert "did you mean doctor?" in str(error)


def test_in_the_background(notebook: Notebook, scripted: ScriptedEngine, capsys: pytest.CaptureFixture[str]) -> None:
    scripted.chunks = [(1, b"from behind\n")]
    scripted.outcome.stdout = "from behind\n"
    cell = notebook.value(CELL.format("--bg --result r host"))
    assert repr(cell) == "<BackgroundCell calm_cat: running; .wait() for its result, .kill() to end it>"
    assert (cell.done, cell.result, "r" in notebook.variables) == (False, None, False)
    with pytest.raises(TimeoutError):
        cell.wait(0)
    cell._job.go.set()
    assert cell.wait() is scripted.outcome
    wait_until(lambda: cell.done)
    assert cell.result is notebook.variables["r"] is scripted.outcome
    assert repr(cell) == "<BackgroundCell calm_cat: <RunResult 0>>"
    assert capsys.readouterr().out.endswith("from behind\n<RunResult 0>\n")


def test_a_failure_in_the_background_is_said(
    notebook: Notebook, scripted: ScriptedEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted.outcome.exit_code = 4
    cell = notebook.value(CELL.format("-d -o out host"))
    cell.kill(15)
    cell.wait()
    assert cell._job.killed == [15]
    assert capsys.readouterr().err == "RunFailed: the command failed with 4\n"


def test_a_start_that_fails_in_the_background_is_said(
    notebook: Notebook, scripted: ScriptedEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted.during = raising(CommandNotFound("there is no program 'pyhton3'", hint="did you mean python3?"))
    cell = notebook.value(CELL.format("-d -o out host"))
    cell._job.go.set()
    with pytest.raises(CommandNotFound):
        cell.wait()
    assert capsys.readouterr().err == "CommandNotFound: there is no program 'pyhton3'\nhint: did you mean python3?\n"


def test_help_has_one_source(notebook: Notebook, capsys: pytest.CaptureFixture[str]) -> None:
    notebook.run("%%container --help\n\n")
    help_text = capsys.readouterr().out.rstrip()
    assert "--memory" in help_text
    assert help_text in notebook.shell.find_cell_magic("container").__doc__
    assert help_text in notebook.shell.object_inspect_text("%%container")


def test_settings(notebook: Notebook, capsys: pytest.CaptureFixture[str]) -> None:
    notebook.run("%config KernelBox")
    assert "KernelBox.short_errors=<Bool>" in capsys.readouterr().out
    notebook.run("%config KernelBox.variable_limit = 10")
    notebook.variables["text"] = "x" * 11
    assert isinstance(notebook.error(CELL.format("-i text host")), InvalidOption)


def test_it_loads_by_itself_where_ipython_is_told_so(notebook: Notebook) -> None:
    kernelbox_magics.unload_ipython_extension(notebook.shell)
    notebook.shell.magics_manager.lazy_magics = {"container": "kernelbox"}
    assert "doctor" in repr(notebook.value("%container"))
    notebook.run("%unload_ext kernelbox")


def test_unloading_takes_all_of_it_back(notebook: Notebook, scripted: ScriptedEngine) -> None:
    shell = notebook.shell
    kernelbox_magics.unload_ipython_extension(shell)
    assert scripted.closed
    assert shell.find_cell_magic("container") is None
    assert shell.find_line_magic("container") is None
    assert not shell.Completer.custom_matchers
    assert not [each for each in shell.configurables if type(each).__name__ == "KernelBox"]
    kernelbox_magics.load_ipython_extension(shell)
    assert shell.find_cell_magic("container")
    assert len(shell.Completer.custom_matchers) == 1
    kernelbox_magics.unload_ipython_extension(shell)
