"""`%container volume`, and cells that have volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pytest
from IPython.core.error import UsageError

from kernelbox.errors import InvalidOption, VolumeNotFound

if TYPE_CHECKING:
    from .conftest import Notebook

pytestmark = [pytest.mark.kernel, pytest.mark.root]

Capture = pytest.CaptureFixture[str]


def test_a_volume_from_cell_to_cell(real_notebook: Notebook, capsys: Capture) -> None:
    real_notebook.run("%%container -q -v work:/work -v /own host sh\necho well > /work/file; touch /own/x\n")
    real_notebook.run("%%container -q -v work:/work:ro host sh\ncat /work/file\n")
    assert capsys.readouterr().out == "well\n"
    frame = real_notebook.value("%container volume ls")
    assert list(frame.columns) == ["name", "driver", "created", "containers", "labels", "mountpoint"]
    assert frame[["name", "driver", "containers"]].values.tolist() == [["work", "local", 0]]
    document = real_notebook.value("%container volume inspect work")
    assert document["Mountpoint"] == frame["mountpoint"][0]
    assert real_notebook.value("%container inspect work") == document
    capsys.readouterr()
    real_notebook.run("%container volume rm work")
    assert capsys.readouterr().out == "work\n"


def test_an_empty_list_has_its_columns(real_notebook: Notebook) -> None:
    frame = real_notebook.value("%container volume ls --filter dangling=true")
    assert isinstance(frame, pd.DataFrame)
    assert len(frame) == 0
    assert str(frame["created"].dtype) == "datetime64[s, UTC]"


def test_made_pruned_and_printed(real_notebook: Notebook, capsys: Capture) -> None:
    real_notebook.run("%container volume create --label a=b one")
    real_notebook.run("%container volume ls -q")
    real_notebook.run("%container volume ls --format '{{.Name}} {{.Labels}}'")
    assert capsys.readouterr().out == "one\none\none a=b\n"
    assert isinstance(real_notebook.error("%container volume prune"), UsageError)
    real_notebook.run("%container volume prune -af")
    assert "Deleted Volumes:\none\n" in capsys.readouterr().out


def test_what_cannot_be(real_notebook: Notebook, capsys: Capture) -> None:
    assert isinstance(real_notebook.error("%container volume rm nonesuch"), VolumeNotFound)
    assert isinstance(real_notebook.error("%container volume ls --filter frob=1"), InvalidOption)
    assert "did you mean prune?" in str(real_notebook.error("%container volume prun"))
    real_notebook.run("%container volume")
    assert "%container volume ls " in capsys.readouterr().out
    real_notebook.run("%container volume create --help")
    assert "Usage: %container volume create" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:.*provisional:PendingDeprecationWarning")
@pytest.mark.filterwarnings("ignore::IPython.core.completer.ProvisionalCompleterWarning")
def test_completion(real_notebook: Notebook) -> None:
    def offered(text: str) -> list[str]:
        return [text[: each.start] + each.text for each in real_notebook.shell.Completer.completions(text, len(text))]

    real_notebook.run("%container volume create one")
    assert offered("%container vol") == ["%container volume"]
    assert offered("%container volume i") == ["%container volume inspect"]
    assert offered("%container volume rm ") == ["%container volume rm one"]
    assert offered("%container volume rm --f") == ["%container volume rm --force"]
    real_notebook.run("%container volume rm one")
