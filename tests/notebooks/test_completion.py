"""Tab after %%container: our options, images and variables, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from IPython.core.completer import CompletionContext

if TYPE_CHECKING:
    from .conftest import Notebook


def complete(notebook: Notebook, text: str, body: str = "") -> list[str]:
    """What is offered at the end of the first line."""
    full = f"{text}\n{body}" if body else text
    found = notebook.shell.Completer.completions(full, len(text))
    return [text[: each.start] + each.text for each in found]


def offered(notebook: Notebook, text: str, body: str = "") -> list[str]:
    """The last words of the completed lines."""
    return [line.rpartition(" ")[2] for line in complete(notebook, text, body)]


@pytest.mark.filterwarnings("ignore:.*provisional:PendingDeprecationWarning")
@pytest.mark.filterwarnings("ignore::IPython.core.completer.ProvisionalCompleterWarning")
class TestCompletion:
    def test_options(self, notebook: Notebook) -> None:
        assert offered(notebook, "%%container --mem") == ["--memory", "--memory-reservation", "--memory-swap"]
        every = offered(notebook, "%%container --")
        assert "--timeout" in every
        assert "--no-raise-error" in every
        assert "--abs" not in every
        assert all(flag.startswith("--") for flag in every)

    def test_short_options(self, notebook: Notebook) -> None:
        assert {"-i", "-o", "-m", "--memory"} <= set(offered(notebook, "%%container -"))

    def test_with_a_cell_below(self, notebook: Notebook) -> None:
        assert offered(notebook, "%%container -m 1g --tim", "import os\nos.getcwd()\n") == ["--timeout"]

    def test_images(self, notebook: Notebook) -> None:
        assert offered(notebook, "%%container --memory 1g ho") == ["host"]
        assert offered(notebook, "%%container ") == ["bundle:", "dir:", "exec", "host"]
        assert offered(notebook, "%%container --read-only ") == ["bundle:", "dir:", "host"]

    def test_words_that_an_option_takes(self, notebook: Notebook) -> None:
        assert offered(notebook, "%%container --userns k") == ["keep-id"]
        assert offered(notebook, "%%container --profile ") == ["grade", "lab"]

    def test_variables(self, notebook: Notebook) -> None:
        notebook.variables["my_table"] = 1
        notebook.variables["_mine"] = 1
        assert offered(notebook, "%%container -i my_") == ["my_table"]
        assert "_mine" not in offered(notebook, "%%container --out ")

    def test_verbs_of_the_line_magic(self, notebook: Notebook) -> None:
        every = offered(notebook, "%container ")
        assert {"costs", "doctor", "exec", "explain", "last", "logs", "ps", "run", "stop"} <= set(every)
        assert "attach" not in every
        assert offered(notebook, "%container do") == ["doctor"]
        assert offered(notebook, "%container run --memory-s") == ["--memory-swap"]

    def test_containers(self, notebook: Notebook) -> None:
        assert offered(notebook, "%container stop ") == ["lab", "web"]
        assert offered(notebook, "%container stop lab w") == ["web"]
        assert offered(notebook, "%container exec -u root l") == ["lab"]
        assert offered(notebook, "%container explain ") == ["lab", "web"]
        assert offered(notebook, "%%container exec ", "ls\n") == ["lab", "web"]
        assert offered(notebook, "%container cp la") == ["lab:"]

    def test_options_of_verbs(self, notebook: Notebook) -> None:
        assert offered(notebook, "%container ps --no") == ["--no-trunc"]
        assert offered(notebook, "%container ls --no") == ["--no-trunc"]
        assert offered(notebook, "%container logs --t") == ["--tail", "--timestamps"]
        assert offered(notebook, "%container logs -n 3 ") == ["lab", "web"]
        assert offered(notebook, "%container create --memory-s") == ["--memory-swap"]
        assert offered(notebook, "%%container exec --work") == ["--workdir"]
        assert offered(notebook, "%container create --name x ho") == ["host"]
        assert offered(notebook, "%container create --userns k") == ["keep-id"]
        assert "--keep" not in offered(notebook, "%container create --")

    def test_what_is_offered_twice_is_the_same(self, notebook: Notebook) -> None:
        """IPython writes into what a matcher answers."""
        for _ in range(2):
            assert offered(notebook, "%container stop w") == ["web"]
            assert notebook.magics.matcher(CompletionContext("x", "x", 1, 0, None)) == {
                "completions": [],
                "suppress": False,
            }

    def test_elsewhere_it_stays_out_of_the_way(self, notebook: Notebook) -> None:
        notebook.variables["zebra"] = 1
        assert offered(notebook, "zeb") == ["zebra"]
        for text, line in (("%%container host sh --mem", 0), ("%%container host\n%%container --mem", 1)):
            column = len(text.split("\n")[line])
            answer = notebook.magics.matcher(CompletionContext("--mem", text, column, line, None))
            assert answer == {"completions": [], "suppress": False}
