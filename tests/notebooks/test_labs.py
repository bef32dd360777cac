"""The lessons, executed as root and as an ordinary user: the same each time, nothing left, checks that can say no."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import leaks
import nbformat
import pytest
from ordinary_user import User
from sources import SOURCES

from kernelbox.linux import cgroups

LESSONS = ["01_namespaces", "02_cgroups", "03_layers", "04_images"]

WRONG = {
    "01_namespaces": [
        ("check_1(lambda ranges, number: ranges[0].outside)", "Not yet: for 1 in "),
        ("check_1(lambda ranges, number: number + ranges[9].outside)", "Not yet: the function raised IndexError("),
        ("check_2({'uts'})", "Not yet: it still sees the network of the machine."),
        ("check_2('net')", "Not yet: it may not change its host name."),
        ("check_2({'uts', 'net', 'ipc'})", "Not yet: it works, but with fewer kinds, too."),
        ("check_2({'hostname'})", "Not yet: unknown kind of namespace 'hostname'"),
        ("check_3('SYS_ADMIN')", "Not yet: lo came up without SYS_ADMIN."),
        ("check_3('NET_ADMINISTRATOR')", "Not yet: unknown capability 'NET_ADMINISTRATOR'"),
        ("check_3('all')", "Not yet: one of them is enough."),
    ],
    "02_cgroups": [
        ("check_1(lambda before, after, seconds: after.cpu_usage_seconds)", "Not yet: 0 s used, 4 s used 2 s later"),
        ("check_1(lambda before, after, seconds: after - before)", "Not yet: the function raised TypeError("),
        ("check_2(25)", "Not yet: 25 is not what happens."),
        ("check_3({'pids': 100})", "Not yet: it has to be cgroups.Limits(...)."),
        ("check_3(cgroups.Limits(cpus=2))", "Not yet: the processors should be 1.5"),
        ("check_3(cgroups.Limits(cpus=1.5, memory=256))", "Not yet: the memory, in bytes, should be"),
        (
            "check_3(cgroups.Limits(cpus=1.5, memory=256 * MIB, pids=100))",
            "Not yet: memory and swap together should be",
        ),
        ("check_3(cgroups.Limits(cpu_quota=150_000))", "Not yet: the memory, in bytes, should be"),
    ],
    "03_layers": [
        ("check_1(['app', 'base'])", "Not yet: it has to be a list of the three names"),
        ("check_1(['patch', 'app', 'base'])", 'Not yet: one sees "a broken tool"'),
        ("check_1(['base', 'patch', 'app'])", 'Not yet: one sees "Hello from the base"'),
        ("check_2({'a', 'b', 'c', 'e'})", "Not yet: a is not in upper."),
        ("check_2({'b', 'e'})", "Not yet: there is more in upper."),
        ("check_3(lambda layers: layers[0])", "Not yet: of [{'a': 'top'}"),
        ("check_3(lambda layers: dict(pair for each in layers for pair in each.items()))", "Not yet: of "),
        ("check_3(lambda layers: layers.seen)", "Not yet: the function raised AttributeError("),
    ],
    "04_images": [
        ("check_1(lambda content: hashlib.sha256(content).hexdigest())", "Not yet: of b'' the digest is sha256:e3b0c4"),
        ("check_1(lambda content: content.digest)", "Not yet: the function raised AttributeError("),
        ("check_2('.wh.old')", "Not yet: it has to lie where the file is"),
        ("check_2('etc/old')", "Not yet: old is a file like any other."),
        ("check_3(lambda diff_ids: diff_ids)", "Not yet: with 2 of them the last chain id is sha256:"),
        ("check_3(lambda diff_ids: diff_ids[3])", "Not yet: the function raised IndexError("),
    ],
}
"""Answers that students give, and how the verdict on each begins."""

EXECUTE = r"""
import json, sys, tempfile
import nbformat
from nbclient import NotebookClient
from traitlets.config import Config

path, wrong = sys.argv[1], json.loads(sys.argv[2])
notebook = nbformat.read(path, as_version=4)
cells = []
for cell in notebook.cells:
    cells.append(cell)
    if "check" in cell.metadata.get("tags", []):  # the next cells may take away what it needs
        name = cell.source.rpartition("print(")[2].partition("(")[0]
        for code in (code for code in wrong if code.startswith(name + "(")):
            cells.append(nbformat.v4.new_code_cell(f"print({code})", id=f"wrong-{wrong.index(code)}"))
notebook.cells = cells
with tempfile.TemporaryDirectory() as sockets:
    config = Config({"KernelManager": {"transport": "ipc", "ip": sockets + "/k"}})
    folder = {"metadata": {"path": path.rpartition("/")[0]}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", config=config, resources=folder).execute()


def text(output):
    if output.output_type == "stream":
        return output.text
    return output.evalue if output.output_type == "error" else output.data["text/plain"]


shown = {cell.id: "".join(map(text, cell.outputs)) for cell in notebook.cells if cell.cell_type == "code"}
print(json.dumps(shown))
"""

Run = Callable[[list[str]], "subprocess.CompletedProcess[str]"]
Shown = dict[str, str]
"""What each code cell showed, by its id."""


def read(lesson: str) -> Any:
    return nbformat.read(SOURCES / f"notebooks/{lesson}.ipynb", as_version=4)


def tagged(lesson: str, *tags: str) -> list[str]:
    """The ids of the cells with one of these tags."""
    return [cell.id for cell in read(lesson).cells if set(tags) & set(cell.metadata.get("tags", []))]


def execute(run: Run, lesson: str, *wrong: str) -> Shown:
    """The verdict on `wrong[n]` is shown by the cell "wrong-n"."""
    path = SOURCES / f"notebooks/{lesson}.ipynb"
    done = run([sys.executable, "-c", EXECUTE, str(path), json.dumps(wrong)])
    assert done.returncode == 0, done.stderr
    shown: Shown = json.loads(done.stdout.splitlines()[-1])
    return shown


def execute_with_wrong_answers(run: Run, lesson: str) -> Shown:
    """What the lesson's own cells showed; each wrong answer was rejected, for its reason."""
    shown = execute(run, lesson, *(code for code, _ in WRONG[lesson]))
    for number, (code, begins) in enumerate(WRONG[lesson]):
        verdict = shown.pop(f"wrong-{number}")
        assert verdict.startswith(begins), f"{code}: {verdict}"
    return shown


@pytest.fixture(scope="module")
def run_here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Runs a command as whoever runs the tests, with a store for this file."""
    store = tmp_path_factory.mktemp("labs") / "store"
    environment = {**os.environ, "KERNELBOX_ROOT": str(store)}
    environment.pop("KERNELBOX_HOST", None)
    yield lambda command: subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert leaks.left_in_store(store) == []


@pytest.fixture(scope="module")
def here(run_here: Run) -> Callable[[str], Shown]:
    """The outputs of a lesson that was executed once, as whoever runs the tests."""
    return functools.cache(lambda lesson: execute(run_here, lesson))


def files_of(user: User) -> set[Path]:
    """What lies in their home; the shell's own history and caches come with the first kernel."""
    own = (".ipython", ".cache", ".config", ".jupyter")
    return {path for path in user.home.rglob("*") if path.relative_to(user.home).parts[0] not in own}


@pytest.mark.parametrize("lesson", LESSONS)
def test_kept_without_outputs_and_with_folded_solutions(lesson: str) -> None:
    notebook = read(lesson)
    nbformat.validate(notebook)
    kinds: list[str] = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None
            kind = {"exercise", "check", "solution"} & set(cell.metadata.get("tags", []))
            kinds += kind
            assert bool(kind & {"check", "solution"}) == bool(cell.metadata.get("jupyter", {}).get("source_hidden"))
    assert kinds == ["exercise", "check", "solution"] * 3


@pytest.mark.kernel
@pytest.mark.parametrize("lesson", LESSONS)
def test_the_same_each_time(lesson: str, run_here: Run, here: Callable[[str], Shown]) -> None:
    """Also when wrong answers are given in between. No exercise is answered beforehand, and every solution is right."""
    shown = here(lesson)
    assert execute_with_wrong_answers(run_here, lesson) == shown
    assert {shown[each] for each in tagged(lesson, "check")} == {"Not answered yet.\n"}
    assert {shown[each] for each in tagged(lesson, "solution")} == {"Right.\n"}


@pytest.mark.kernel
@pytest.mark.root
@pytest.mark.parametrize("lesson", LESSONS)
def test_an_ordinary_user_sees_the_same(lesson: str, container_user: User, here: Callable[[str], Shown]) -> None:
    """But for the cells that speak of this machine, and those that need control groups."""
    shown = execute(container_user.run, lesson)
    files = files_of(container_user)
    assert execute_with_wrong_answers(container_user.run, lesson) == shown
    assert files_of(container_user) == files
    assert leaks.left_in_store(container_user.home / ".local/share/kernelbox") == []
    differ = tagged(lesson, "machine", "needs-groups")
    assert {each: text for each, text in shown.items() if each not in differ} == {
        each: text for each, text in here(lesson).items() if each not in differ
    }
    if lesson == "02_cgroups" and not container_user.python(HAS_GROUPS).stdout.strip():
        each_says_what_is_missing([shown[each] for each in tagged(lesson, "needs-groups")])
        assert any("cannot be written by this user" in shown[each] for each in tagged(lesson, "machine"))


HAS_GROUPS = "from kernelbox.linux import cgroups; print(*cgroups.detect().groups('lesson', cgroups.Limits()))"


def each_says_what_is_missing(outputs: list[str]) -> None:
    """In one sentence, after which the lesson went on."""
    assert len(outputs) == 6
    for text in outputs:
        assert text.startswith(("no control group may be made here", "could not limit the control group lesson: ")), (
            text
        )
        assert text.count("\n") == 1


@pytest.mark.kernel
@pytest.mark.root
def test_the_levels_show_what_their_text_says(here: Callable[[str], Shown]) -> None:
    """As root: an ordinary user sees the same, by the test above."""
    names, layers, images = ("".join(here(lesson).values()) for lesson in ("01_namespaces", "03_layers", "04_images"))
    for line in (
        *("in here I am on box", "the machine is called box: False", "PermissionError: [Errno 1]"),
        *("lo is up:   True", "in here: True", "out here: False", "my number in here: 1"),
        *("alone, says a new /proc:   True", "without SYS_ADMIN: refused", "inside  set the host name box"),
        *("in new namespaces: mnt pid ipc uts", "load the system call filter", "not permitted: '/tmp/never'"),
    ):
        assert line in names
    for line in (
        *("greeting  Hello from the app\nprogram   a program\ntool      a tool that works\n", "a device: True 0 0"),
        *("upper has ['greeting', 'new']", "in base:  Hello from the base\n", "two sees: Hello from the base\n"),
        *("I am process 1\nHello from the image\nthere is no /home\n", "['etc/mine']", "Read-only file system"),
        *("outside mount an overlay of ", "inside  enter the root file system: "),
    ):
        assert line in layers
    for line in (
        *("the same blob:  False\nthe same layer: True\n", "digest of the configuration: True\nlayers: 2 "),
        *("greeting: Hello from the top\netc/old:  False\n", "layers: 2 1 2\nkept:   3\nthe lowest is one: True\n"),
        *("lab/hand:1 True\n", "it is the base:    True\n", "it is the same: True\n", "there: False\n"),
    ):
        assert line in images


@pytest.mark.kernel
@pytest.mark.root
def test_groups_hold_what_is_in_them(here: Callable[[str], Shown]) -> None:
    limits = cgroups.Limits(cpus=1, memory=1 << 20, memory_swap=1 << 20, pids=1)
    if reasons := cgroups.detect().unsupported(limits):
        pytest.skip(f"this machine cannot limit all of it: {'; '.join(reasons)}")
    shown = here("02_cgroups")
    assert "".join(shown[each] for each in tagged("02_cgroups", "needs-groups")) == (
        "directories: True\nprocesses in it: ()\nand now: False\n"
        "it printed 4499998500000\nit took processor time: True\n"
        "children: 9\n"
        "ended by signal 9\nkilled for want of memory: 1\never had more than 32 MiB: False\n"
        "done\nit had to wait: True\n"
        "it stood still: True\nand went on\nleft in the group: ()\n"
    )
    machine = "".join(shown[each] for each in tagged("02_cgroups", "machine"))
    assert "pids.max=20" in machine
    assert "remove the v2 group" in machine or "remove the pids group" in machine
