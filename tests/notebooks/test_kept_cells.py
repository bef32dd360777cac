"""Containers that stay, from a notebook: `%container VERB`, `--keep`, `%%container exec`. With the real engine."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from IPython.core.error import UsageError

import kernelbox
from kernelbox.errors import (
    CommandNotFound,
    Conflict,
    ContainerNotFound,
    InvalidOption,
    NameInUse,
    RunFailed,
    RunTimeout,
)

if TYPE_CHECKING:
    from .conftest import Notebook

pytestmark = pytest.mark.kernel
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def lab(real_notebook: Notebook) -> Iterator[Notebook]:
    """A notebook with a container called lab, which runs; at the end all of its containers are removed."""
    real_notebook.run("%container run -d --name lab host")
    yield real_notebook
    clean(real_notebook)


@pytest.fixture
def kept(real_notebook: Notebook) -> Iterator[Notebook]:
    """A notebook whose containers are removed at the end."""
    yield real_notebook
    clean(real_notebook)


def clean(notebook: Notebook) -> None:
    for container in notebook.magics.engine.containers.list(all=True):
        container.remove(force=True)
    notebook.run("get_ipython().displayhook.flush()")
    gc.collect()


def status_of(notebook: Notebook, name: str) -> str:
    return str(notebook.magics.engine.containers.get(name).status)


class TestExec:
    def test_many_cells_in_one_container(self, lab: Notebook, capsys: Capture) -> None:
        lab.run("%%container exec -q lab\ncd /tmp; echo 42 > answer; echo oops >&2")
        lab.run("%%container exec -q lab python3\nprint(open('/tmp/answer').read())")
        assert capsys.readouterr() == ("42\n\n", "oops\n")

    def test_its_value(self, lab: Notebook) -> None:
        result = lab.value("%%container exec --out o --err e --result r lab sh\necho a; echo b >&2")
        assert (result.exit_code, result.stdout, result.stderr) == (0, "a\n", "b\n")
        assert lab.variables["r"] is result
        assert (lab.variables["o"], lab.variables["e"]) == ("a\n", "b\n")
        assert repr(result).startswith("<ExecResult exit 0, ")

    def test_options_and_variables(self, lab: Notebook, capsys: Capture) -> None:
        lab.variables.update(who="lab", n=7)
        lab.run("%%container exec -q --expand -i -e A=b -w /tmp {who}\necho $A $PWD {{n}}")
        lab.run("%container exec -q -w /usr {who} pwd")
        assert capsys.readouterr().out == "b /tmp 7\n/usr\n"

    def test_a_failure_is_a_sentence(self, lab: Notebook, capsys: Capture) -> None:
        error = lab.error("%%container exec --out o lab sh\necho until then; exit 3")
        assert isinstance(error, RunFailed)
        assert (error.exit_code, error.result.exit_code, lab.variables["o"]) == (3, 3, "until then\n")
        assert capsys.readouterr().out == "RunFailed: sh in lab ended with exit code 3\n"
        lab.run("%%container exec --no-raise-error lab sh\nexit 3")

    def test_what_is_not_there(self, lab: Notebook) -> None:
        missing = lab.error("%container exec lab pyhton3")
        assert isinstance(missing, CommandNotFound)
        assert "python3" in missing.hint
        assert "python3" in lab.error("%%container exec lab sh\npyhton3").hint
        assert isinstance(lab.error("%%container exec nobody\ntrue"), ContainerNotFound)

    def test_its_time(self, lab: Notebook) -> None:
        assert isinstance(lab.error("%container exec --timeout 0.2 lab sleep 1000"), RunTimeout)
        assert status_of(lab, "lab") == "running"

    def test_in_the_background(self, lab: Notebook, capsys: Capture) -> None:
        assert lab.value("%%container exec -d lab sh\nmkfifo /tmp/go; echo here > /tmp/go; sleep 1000") is None
        lab.run("%%container exec -q lab\nuntil test -p /tmp/go; do sleep 0.01; done; cat /tmp/go")
        assert capsys.readouterr().out == "here\n"

    def test_a_flood_is_cut(self, lab: Notebook, capsys: Capture) -> None:
        result = lab.value("%%container exec lab python3\nfor i in range(200_000): print('line', i)")
        shown = capsys.readouterr().out
        assert len(shown) < 1_000_000
        assert "lines hidden" in shown
        assert result.stdout.count("\n") == 200_000

    def test_one_that_does_not_run(self, lab: Notebook, capsys: Capture) -> None:
        lab.run("%container stop lab")
        assert isinstance(lab.error("%%container exec lab\ntrue"), Conflict)
        assert capsys.readouterr().out.endswith("it is exited\nhint: %container start lab\n")


class TestKeep:
    def test_it_stays_with_what_it_wrote(self, kept: Notebook, capsys: Capture, tmp_path: Path) -> None:
        body = "echo hello; echo oops >&2; echo 42 > /tmp/answer"
        result = kept.value(f"%%container --keep --name job --out o --metrics m host sh\n{body}")
        assert (result.exit_code, result.stderr, result.container.name) == (0, "oops\n", "job")
        assert kept.variables["o"] == "hello\n"
        assert kept.variables["m"].memory_peak_bytes[0] > 0
        assert kernelbox.last is result
        shown = capsys.readouterr()
        assert "hello" not in shown.out
        assert shown.err == "oops\n"
        kept.run("%container logs job")
        assert capsys.readouterr() == ("hello\n", "oops\n")
        assert "/tmp/answer" in set(kept.value("%container diff job").path)
        kept.run(f"%container cp job:/tmp/answer {tmp_path}")
        assert (tmp_path / "answer").read_text() == "42\n"
        assert len(kept.value("%container explain job")) == len(result.explain()) > 20

    def test_a_name_that_is_taken(self, kept: Notebook, capsys: Capture) -> None:
        kept.run("%%container --keep -q --name job host\necho one")
        assert isinstance(kept.error("%%container --keep --name job host\necho two"), NameInUse)
        assert "hint: --replace removes it first" in capsys.readouterr().out
        kept.run("%%container --keep --replace -q --name job host\necho two")
        assert capsys.readouterr().out == "two\n"
        assert len(kept.value("%container ps -a")) == 1

    def test_without_a_name_it_is_said(self, kept: Notebook, capsys: Capture) -> None:
        error = kept.error("%%container --keep host\nexit 4")
        assert isinstance(error, RunFailed)
        name = error.result.container.name
        assert capsys.readouterr().err == f"note: the container is kept as {name}\n"
        assert kept.value("%container ps -a").exit_code.tolist() == [4]

    def test_what_could_not_be_started_is_in_nobodys_way(self, kept: Notebook) -> None:
        assert "python3" in kept.error("%%container --keep --name job host pyhton3\n1").hint
        kept.run("%%container --keep -q --name job host python3\n1")

    def test_its_time(self, kept: Notebook) -> None:
        error = kept.error("%%container --keep --name job --timeout 0.2 host\necho begun; sleep 1000")
        assert isinstance(error, RunTimeout)
        assert (error.result.stdout, status_of(kept, "job")) == ("begun\n", "exited")

    def test_in_the_background(self, kept: Notebook, capsys: Capture) -> None:
        container = kept.value("%%container --keep --bg --name web host\necho up; sleep 1000")
        assert container.name == "web"
        kept.run("%%container exec -q web\nuntil pidof sleep > /dev/null; do :; done")
        assert container.reload().status == "running"
        capsys.readouterr()
        kept.run("%container logs web")
        assert capsys.readouterr().out == "up\n"
        assert isinstance(kept.value("%%container --bg host\ntrue").wait(), kernelbox.RunResult)
        assert len(kept.value("%container ps -a")) == 1

    def test_one_that_removes_itself(self, kept: Notebook) -> None:
        container = kept.value("%container run -d --rm host true")
        container.wait(condition="removed")
        assert kept.value("%container ps -a").empty


class TestVerbs:
    def test_ps(self, lab: Notebook) -> None:
        lab.run("%container create --name later -m 64m host echo hello")
        frame = lab.value("%container ps")
        assert (frame.name.tolist(), frame.state.tolist()) == (["lab"], ["running"])
        assert isinstance(frame.created.dtype, pd.DatetimeTZDtype)
        lab.run("df = %container ps -a")
        assert lab.variables["df"].name.tolist() == ["later", "lab"]
        assert lab.variables["df"].status[0] == "Created"
        assert lab.value("%container ps -a -f name=later").command.tolist() == ["echo hello"]
        assert list(lab.value("%container ps -f name=nobody")) == list(frame)
        assert {"changed_bytes", "root_bytes"} <= set(lab.value("%container ps -s"))

    def test_a_template_or_ids_are_text(self, lab: Notebook, capsys: Capture) -> None:
        lab.variables["end"] = "not this"
        lab.run("%container ps --format '{{.Names}}{{if .Ports}}!{{end}}'")
        lab.run("%container ps -q --no-trunc")
        assert capsys.readouterr().out == f"lab\n{lab.magics.engine.containers.get('lab').id}\n"
        lab.run("%container stats --format '{{.Name}}'")
        lab.run("%container events --format '{{.Action}}'")
        assert capsys.readouterr().out == "lab\ncreate\nstart\n"

    def test_frames(self, lab: Notebook) -> None:
        lab.run("%container exec lab touch /tmp/new")
        stats = lab.value("%container stats")
        assert stats.name.tolist() == ["lab"]
        assert stats.cpu_percent[0] >= 0
        assert lab.value("%container top lab").PID.dtype == "int64"
        assert lab.value("%container top lab -o pid,comm").columns.tolist() == ["PID", "COMMAND"]
        diff = lab.value("%container diff lab")
        assert diff[diff.path == "/tmp/new"].change.tolist() == ["added"]
        assert lab.value("%container events").action.tolist() == ["create", "start"]
        assert lab.value("%container events -f event=start").name.tolist() == ["lab"]
        assert lab.value("%container events --until 1h").empty

    def test_inspect(self, lab: Notebook, capsys: Capture) -> None:
        one: Any = lab.value("%container inspect lab")
        assert (one["Name"], one["State"]["Status"]) == ("/lab", "running")
        assert lab.value("%container inspect lab lab") == [one, one]
        capsys.readouterr()
        lab.run("%container inspect -f '{{.State.Status}}' lab")
        assert capsys.readouterr().out == "running\n"
        assert isinstance(lab.error("%container inspect nobody"), ContainerNotFound)

    def test_a_life(self, lab: Notebook, capsys: Capture) -> None:
        lab.run("%container pause lab")
        lab.run("%container unpause lab")
        lab.run("%container rename lab work")
        lab.run("%container update --pids-limit 64 work")
        lab.run("%container stop work")
        lab.run("%container wait work")
        lab.run("%container start work")
        lab.run("%container restart work")
        lab.run("%container kill work")
        lab.run("%container remove -f work")
        printed = ["lab", "lab", "work", "work", "137", "work", "work", "work", "work"]
        assert capsys.readouterr().out.split() == printed
        assert lab.value("%container ls -a").empty

    def test_what_cannot_be_done_to_some(self, lab: Notebook, capsys: Capture) -> None:
        error = lab.error("%container stop nobody lab nothing")
        assert isinstance(error, ContainerNotFound)
        shown = capsys.readouterr()
        assert shown.out.startswith("lab\n")
        assert shown.out.endswith("no such container: nothing\nhint: %container ps -a lists them\n")
        assert shown.err.startswith("ContainerNotFound: no such container: nobody\n")
        assert status_of(lab, "lab") == "exited"

    def test_start_attached(self, kept: Notebook, capsys: Capture) -> None:
        made = kept.value("%container create --name later host sh -c 'echo hello; exit 3'")
        assert made.status == "created"
        assert isinstance(kept.error("%container start -a later"), RunFailed)
        assert "\nhello\nRunFailed: sh ended with exit code 3\n" in capsys.readouterr().out

    def test_what_needs_a_terminal_or_streams(self, lab: Notebook) -> None:
        cells = {
            "attach lab": "needs a terminal (hint: %container logs -f lab",
            "start -ai lab": "start -i needs a terminal",
            "exec -it lab sh": "a notebook is no terminal",
            "export lab": "%container export -o FILE NAME",
            "cp lab:/etc/passwd -": "no standard streams",
            "prune": "%container prune -f",
            "attach": "needs a terminal",
        }
        for cell, message in cells.items():
            error = lab.error(f"%container {cell}")
            assert isinstance(error, UsageError)
            assert message in str(error)

    def test_export(self, kept: Notebook, busybox_rootfs: Path, tmp_path: Path) -> None:
        kept.run(f"%container create --name small dir:{busybox_rootfs} true")
        kept.run(f"%container export -o {tmp_path}/small.tar small")
        assert (tmp_path / "small.tar").stat().st_size > 0

    def test_prune(self, lab: Notebook, capsys: Capture) -> None:
        lab.run("%container prune -f")
        assert capsys.readouterr().out.endswith("Total reclaimed space: 0B\n")
        lab.run("%container stop lab")
        lab.run("%container prune -f")
        assert "Deleted Containers:" in capsys.readouterr().out
        assert lab.value("%container ps -a").empty

    def test_mistakes(self, lab: Notebook, capsys: Capture) -> None:
        assert isinstance(lab.error("%container logs --tial 3 lab"), InvalidOption)
        assert "did you mean '--tail'?" in capsys.readouterr().out
        assert isinstance(lab.error("%container logs"), InvalidOption)
        assert "hint: %container logs [OPTIONS] CONTAINER" in capsys.readouterr().out

    def test_help(self, lab: Notebook, capsys: Capture) -> None:
        lab.run("%container rm --help")
        lab.run("%container create --help")
        lab.run("%container exec --help")
        shown = capsys.readouterr().out
        assert "Usage: %container rm [OPTIONS] CONTAINER" in shown
        assert "Usage: %container create [OPTIONS] IMAGE" in shown
        assert "%%container exec [OPTIONS] NAME [COMMAND" in shown
        assert "kernelbox" not in shown
        assert "$(" not in shown
        for verb in ("ps", "logs", "prune", "exec", "costs"):
            assert f"\n  {verb} " in lab.shell.find_cell_magic("container").__doc__


class TestShown:
    def test_a_container(self, lab: Notebook) -> None:
        lab.cell("c = get_ipython().magics_manager.registry['KernelBox'].engine.containers.get('lab')")
        data, _ = lab.shell.display_formatter.format(lab.variables["c"])
        assert data["text/plain"].split("\n")[1].split()[:3] == ["lab", "host", "/bin/bash"]
        assert '<td style="text-align:left">lab</td>' in data["text/html"]
        assert len(lab.value("c.explain()")) > 20

    def test_it_is_shown_as_it_is_now(self, lab: Notebook) -> None:
        box = lab.magics.engine
        seen = box.containers.get("lab")
        box.containers.get("lab").stop()
        assert seen.status == "running"
        assert "Exited (137)" in lab.shell.display_formatter.format(seen)[0]["text/html"]
        box.containers.get("lab").remove()
        assert "Removed" in lab.shell.display_formatter.format(seen)[0]["text/plain"]

    def test_a_list(self, lab: Notebook) -> None:
        box = lab.magics.engine
        box.containers.create("host", ["echo", "<b>"], name="other")
        found = box.containers.list(all=True)
        data, _ = lab.shell.display_formatter.format(found)
        assert [line.split()[0] for line in data["text/plain"].split("\n")] == ["name", "other", "lab"]
        assert "echo &lt;b&gt;" in data["text/html"]
        assert str(found).startswith("name")
        assert repr(found).startswith("[<Container other ")
        assert data["text/html"].count("<tr>") == 3
