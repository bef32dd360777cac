"""What goes into a container, how a Python cell is run there, and how little is believed of what comes out."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kernelbox_magics.variables import INSIDE, Exchange, PythonCommand, python_command

from kernelbox.errors import InvalidOption, NotFound

LIMIT = 1 << 20


class Folders:
    """An exchange whose container is an ordinary process: the paths inside are replaced by those outside."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.into, self.out = (Path(volume.split(":")[0]) for volume in exchange.volumes)

    def python(self, cell: str, outputs: tuple[str, ...] = (), **inputs: Any) -> subprocess.CompletedProcess[str]:
        python = PythonCommand((sys.executable,), "-", ("an", "argument"))
        command = self.exchange.put_cell(python, cell, list(inputs.items()), outputs)
        task = self.into / "task.json"
        task.write_text(task.read_text().replace(f"{INSIDE}/out", str(self.out)))
        real = [word.replace(f"{INSIDE}/in", str(self.into)) for word in command]
        return subprocess.run(real, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def unexpected(volume: str) -> None:
    pytest.fail(f"{volume} could not be emptied")


@pytest.fixture
def folders() -> Iterator[Folders]:
    with Exchange(limit=LIMIT, sweep=unexpected) as exchange:
        yield Folders(exchange)


@pytest.mark.parametrize(
    ("command", "taken"),
    [
        (["python3"], PythonCommand(("python3",), "", ())),
        (["/usr/bin/python3.11", "-u", "-X", "dev", "-W", "error"],
         PythonCommand(("/usr/bin/python3.11", "-u", "-X", "dev", "-W", "error"), "", ())),
        (["python", "-I", "-", "a", "-b"], PythonCommand(("python", "-I"), "-", ("a", "-b"))),
        (["python3", "script.py"], None),
        (["python3", "-c", "print()"], None),
        (["python3", "-m", "http.server"], None),
        (["python3", "-uc", "print()"], None),
        (["python3", "--version"], None),
        (["python3-config"], None),
        (["sh"], None),
        ([], None),
        (None, None),
    ],
)  # fmt: skip
def test_which_commands_read_the_cell_as_python(command: list[str] | None, taken: PythonCommand | None) -> None:
    assert python_command(command) == taken


def test_values_are_there_under_their_names(folders: Folders) -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    done = folders.python(
        "print(df.a.sum(), arr.mean(), text, data, config['k'])",
        df=frame, arr=np.arange(3), text="t", data=b"d", config={"k": [1]},
    )  # fmt: skip
    assert (done.stdout, done.stderr, done.returncode) == ("3 1.0 t b'd' [1]\n", "", 0)


def test_without_pandas_a_frame_is_its_columns(folders: Folders) -> None:
    hide = "import sys; sys.modules['pandas'] = sys.modules['numpy'] = None\n"
    folders.exchange.put_cell(PythonCommand((sys.executable,), "", ()), "", [("df", pd.DataFrame({"a": [1, 2]}))], ())
    script = f"{hide}sys.path.insert(0, {str(folders.into)!r})\nimport formats\n"
    script += f"print(formats.decode('.frame', open({str(folders.into / 'df.frame')!r}, 'rb').read()))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "{'a': [1, 2]}\n"


def test_values_come_out(folders: Folders) -> None:
    cell = """
import pandas as pd, numpy as np
a = pd.DataFrame({"t": pd.to_datetime(["2020-01-01"], utc=True)})
b, c, d, e = np.eye(2), "text", b"bytes", {"n": (1, 2)}
"""
    done = folders.python(cell, ("a", "b", "c", "d", "e"))
    assert (done.stdout, done.stderr) == ("", "")
    take = folders.exchange.take
    assert str(take("a").t.dtype).startswith("datetime64")
    assert take("b").tolist() == [[1, 0], [0, 1]]
    assert (take("c"), take("d"), take("e")) == ("text", b"bytes", {"n": [1, 2]})


def test_tracebacks_have_the_cells_lines(folders: Folders) -> None:
    done = folders.python("def f():\n    return 1 / 0\n\nf()\n")
    assert done.returncode == 1
    assert done.stderr.splitlines()[:5] == [
        "Traceback (most recent call last):",
        '  File "<cell>", line 4, in <module>',
        "    f()",
        '  File "<cell>", line 2, in f',
        "    return 1 / 0",
    ]


def test_a_syntax_error_has_the_cells_line(folders: Folders) -> None:
    done = folders.python("x = 1\ny = = 2\n")
    assert 'File "<cell>", line 2\n    y = = 2\n' in done.stderr
    assert "cell.py" not in done.stderr


def test_a_cell_is_the_main_module(folders: Folders) -> None:
    cell = """
import sys, pickle
class Thing: pass
assert type(pickle.loads(pickle.dumps(Thing()))) is Thing
print(__name__, sys.argv, sys.path[0] == "", sorted(set(globals()) - {"Thing", "sys", "pickle"}))
assert "formats" not in sys.modules
"""
    done = folders.python(cell)
    assert done.stderr == ""
    assert done.stdout.startswith("__main__ ['-', 'an', 'argument'] True ['__builtins__', '__doc__'")


@pytest.mark.parametrize(("cell", "status"), [("raise SystemExit(7)", 7), ("import sys; sys.exit()", 0), ("exit()", 0)])
def test_exit_statuses(folders: Folders, cell: str, status: int) -> None:
    done = folders.python(f"kept = 'before'\n{cell}", ("kept",))
    assert done.returncode == status
    assert folders.exchange.take("kept") == "before"


def test_what_was_set_before_an_error_comes_out(folders: Folders) -> None:
    done = folders.python("kept = 1\nbad = object()\nraise ValueError('no')", ("kept", "bad", "never"))
    assert done.stderr.splitlines()[-1] == "ValueError: no"
    assert folders.exchange.take("kept") == 1
    with pytest.raises(NotFound):
        folders.exchange.take("bad")


def test_what_is_no_data_fails_the_cell(folders: Folders) -> None:
    done = folders.python("bad = {1, 2}", ("bad",))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "TypeError: bad cannot be brought out of the container: a set is not data"
    )


def test_for_other_programs_values_are_files_and_text(folders: Folders) -> None:
    put = folders.exchange.put_for_program
    put("text", "two\nlines")
    put("number", 1.5)
    put("table", pd.DataFrame({"a": [1, 2]}))
    put("matrix", np.array([[1, 2], [3, 4]]))
    put("data", b"\x00\x01")
    put("config", {"k": [True, None]})
    put("nothing", None)
    put("long", "x" * 100_000)
    env = folders.exchange.env
    texts = {name: env.get(name) for name in ("text", "number", "table", "matrix", "data", "config", "nothing", "long")}
    assert texts == {
        "text": "two\nlines", "number": "1.5", "table": "a\n1\n2\n", "matrix": "1,2\n3,4\n", "data": None,
        "config": '{"k": [true, null]}', "nothing": "", "long": None,
    }  # fmt: skip
    files = {name: Path(env[f"{name}_FILE"]) for name in texts}
    assert files["table"] == Path(INSIDE, "in", "table.csv")
    assert (folders.into / files["data"].name).read_bytes() == b"\x00\x01"
    assert (folders.into / files["long"].name).stat().st_mode & 0o777 == 0o644


def test_files_come_back_by_their_suffix(folders: Folders) -> None:
    np.save(folders.out / "d.npy", np.arange(3))
    for name, data in {"a": b"text\n", "b.json": b'{"k": 1}', "c.csv": b"x,y\n1,2\n", "e.bin": b"\xff"}.items():
        (folders.out / name).write_bytes(data)
    take = folders.exchange.take
    assert (take("a"), take("b"), take("e")) == ("text\n", {"k": 1}, b"\xff")
    assert take("c").to_dict("records") == [{"x": 1, "y": 2}]
    assert take("d").tolist() == [0, 1, 2]


def test_what_did_not_come(folders: Folders) -> None:
    with pytest.raises(NotFound, match=r"the cell ended without a 'result'.*KB_OUT/result"):
        folders.exchange.take("result")


def test_what_came_twice(folders: Folders) -> None:
    (folders.out / "r").touch()
    (folders.out / "r.json").touch()
    with pytest.raises(InvalidOption, match=r"wrote r and r.json; which"):
        folders.exchange.take("r")


def test_links_are_not_followed(folders: Folders, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (folders.out / "r").symlink_to(secret)
    (folders.out / "dangling").symlink_to("/nowhere")
    for name in ("r", "dangling"):
        with pytest.raises(InvalidOption, match="not a regular file"):
            folders.exchange.take(name)


def test_only_regular_files_are_read(folders: Folders) -> None:
    (folders.out / "folder").mkdir()
    os.mkfifo(folders.out / "pipe")
    for name in ("folder", "pipe"):
        with pytest.raises(InvalidOption, match="not a regular file"):
            folders.exchange.take(name)


def test_sizes_are_bounded(folders: Folders) -> None:
    with open(folders.out / "sparse", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InvalidOption, match=r"sparse is too large .*KernelBox.variable_limit"):
        folders.exchange.take("sparse")
    with pytest.raises(InvalidOption, match=r"'big' has 2,097,152 bytes"):
        folders.exchange.put_for_program("big", "x" * (2 << 20))


@pytest.mark.parametrize(
    ("file", "data", "message"),
    [
        ("r", b"\xff", "r is not text .*r.bin"),
        ("r.json", b"[" * 100_000, "r.json cannot be read"),
        ("r.csv", b"", "r.csv cannot be read"),
        ("r.npy", b"\x80\x04\x95pickle", "r.npy cannot be read"),
        ("r.frame", b"PK", "r.frame cannot be read"),
    ],
)
def test_what_cannot_be_read_is_said(folders: Folders, file: str, data: bytes, message: str) -> None:
    (folders.out / file).write_bytes(data)
    with pytest.raises(InvalidOption, match=message):
        folders.exchange.take("r")


def test_what_cannot_go_in_is_named(folders: Folders) -> None:
    with pytest.raises(InvalidOption, match="the variable 'thing' cannot go into a container: a object is not data"):
        folders.exchange.put_for_program("thing", object())


def test_only_the_container_passes_the_outer_folder(folders: Folders) -> None:
    assert folders.into.parent.stat().st_mode & 0o777 == 0o700
    assert folders.out.stat().st_mode & 0o777 == 0o777
    assert [volume.rpartition(":")[2] for volume in folders.exchange.volumes] == ["ro", "rw"]


def test_nothing_is_left_of_the_folders() -> None:
    with Exchange(limit=LIMIT, sweep=unexpected) as exchange:
        folder = Path(exchange.volumes[0].split(":")[0]).parent
        assert folder.exists()
    assert not folder.exists()
