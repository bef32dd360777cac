"""What `kernelbox --help` and the help of its verbs say, and that a verb costs nothing until it is called."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from kernelbox import __version__
from kernelbox.cli import image_table, registry_table, system_table, volume_table
from kernelbox.cli.app import VERBS, app
from kernelbox.cli.verb_names import GROUPS, IN_CONTAINER, LAUNCHING, SHORT_IMAGES
from kernelbox.cli.verb_table import VERBS as VERBS_OF_TABLE
from kernelbox.cli.verbs import Verb
from kernelbox.engine.option_table import OPTIONS


def help_of(*words: str) -> str:
    done = CliRunner().invoke(app, [*words, "--help"], prog_name="kernelbox")
    assert done.exit_code == 0, done.output
    return done.output


def modules_after(code: str) -> set[str]:
    command = [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_help_lists_every_verb_with_two_examples() -> None:
    text = help_of()
    for section, verbs in VERBS.items():
        assert f"{section}:" in text
        assert all(f"  {name} " in text for name in verbs)
    assert text.count("\n  kernelbox ") == 2


def test_without_arguments_there_is_help() -> None:
    done = CliRunner().invoke(app, [])
    assert done.exit_code == 0
    assert "Usage: kernelbox COMMAND" in done.output


def test_version() -> None:
    assert CliRunner().invoke(app, ["--version"]).output == f"kernelbox {__version__}\n"
    text = CliRunner().invoke(app, ["version"]).output
    assert text.splitlines()[0] == f"kernelbox  {__version__}"
    assert "Linux" in text


@pytest.mark.parametrize(
    "verb",
    [
        *VERBS_OF_TABLE.values(),
        *volume_table.VERBS.values(),
        *image_table.VERBS.values(),
        *registry_table.VERBS.values(),
        *system_table.VERBS.values(),
    ],
    ids=lambda verb: verb.usage,
)
def test_every_verb_has_help_with_its_options(verb: Verb) -> None:
    text = help_of(*filter(None, (verb.below, verb.name)))
    words = text.replace(",", " ").split()
    assert " ".join(text.split()).startswith(f"Usage: {verb.usage} ")
    assert all(flag in words for option in verb.options for flag in option.flags)


def test_help_names_the_verbs_that_there_are() -> None:
    named = {name for section in VERBS.values() for name in section} | {"prune"}
    assert set(VERBS_OF_TABLE) == named - {*LAUNCHING, *GROUPS, "container", "doctor", "version"}
    assert set(IN_CONTAINER) == named - {*SHORT_IMAGES, *GROUPS, "explain", "events", "container", "doctor", "version"}
    text = help_of("container")
    assert all(f"  {name} " in text for name in IN_CONTAINER)


@pytest.mark.parametrize(
    ("group", "table"),
    [
        ("volume", volume_table.VERBS),
        ("image", image_table.VERBS),
        ("registry", registry_table.VERBS),
        ("system", system_table.VERBS),
    ],
)
def test_help_of_a_group_names_its_verbs(group: str, table: dict[str, Verb]) -> None:
    assert set(table) == set(GROUPS[group])
    assert all(f"  {name} " in help_of(group) for name in GROUPS[group])


@pytest.mark.parametrize("verb", ["run", "explain"])
def test_every_option_of_the_table_is_in_the_help(verb: str) -> None:
    text = help_of(verb)
    words = text.replace(",", " ").split()
    for option in OPTIONS:
        assert all(flag in words for flag in option.flags), option.name
        assert f" {option.metavar}" in text, option.name
        assert option.help.split()[0] in text, option.name


def test_the_doctor_says_what_stays_changed() -> None:
    text = " ".join(help_of("doctor").split())
    assert "Two switches of the kernel may stay on" in text
    assert "Nothing is changed" not in text


def test_options_of_run_stand_in_their_groups() -> None:
    text = help_of("run")
    headings = [line.rstrip(":") for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == ["Examples", *dict.fromkeys(option.group.capitalize() for option in OPTIONS)]


def test_help_fits_the_terminal() -> None:
    assert max(map(len, help_of("run").splitlines())) <= 80


def test_completion_knows_the_options_and_their_words() -> None:
    def complete(line: str) -> list[str]:
        words = line.split(" ")
        asked = {"_KERNELBOX_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
        done = subprocess.run(
            [sys.executable, "-c", "from kernelbox.cli import main; main([])"],
            env={**os.environ, **asked},
            capture_output=True,
            text=True,
        )
        return [each.partition(",")[2] for each in done.stdout.split()]

    assert complete("kernelbox exp") == ["explain", "export"]
    assert complete("kernelbox container pr") == ["prune"]
    assert complete("kernelbox stop --t") == ["--time", "--timeout"]
    assert complete("kernelbox run --memory-") == ["--memory-swap", "--memory-reservation"]
    assert complete("kernelbox run --network ") == ["none", "host", "pasta", "slirp4netns"]


def test_version_loads_neither_the_engine_nor_pandas() -> None:
    loaded = modules_after("import kernelbox.cli\nkernelbox.cli.main(['--version'])")
    assert not loaded & {"kernelbox.engine", "kernelbox.native", "pandas", "numpy", "IPython", "rich"}


def test_run_needs_no_click() -> None:
    before = modules_after("")
    loaded = modules_after("import kernelbox.cli\nkernelbox.cli.main(['run', '--memory', '1', 'host'])") - before
    assert not loaded & {"click", "pandas", "numpy", "IPython", "rich", "kernelbox.metrics"}
    assert "kernelbox.engine.engine" in loaded


@pytest.mark.parametrize("words", [["ps"], ["stop", "nosuch"], ["create", "--bogus"], ["container", "ls"]])
def test_verbs_of_containers_need_no_click(words: list[str], tmp_path: Path) -> None:
    before = modules_after("")
    prepared = f"import os\nos.environ['KERNELBOX_ROOT'] = {str(tmp_path)!r}\nimport kernelbox.cli\n"
    loaded = modules_after(f"{prepared}kernelbox.cli.main({words})") - before
    assert not loaded & {"click", "pandas", "numpy", "IPython", "rich", "kernelbox.metrics"}
    assert "kernelbox.cli" in loaded
