"""Runs a Python cell inside a container: gives it the variables that go in, and keeps those that come out.

In its folder are also `formats.py`, `task.json`, the source `cell` and a file for each variable. Plain Python 3.6.
"""
# ruff: noqa: UP006, UP035, UP045
# What these rules ask for came after Python 3.6.

import importlib
import json
import linecache
import os
import sys
import traceback
import types
from pathlib import Path
from typing import Any, List, Optional

CELL = "<cell>"
"""What tracebacks call the cell."""


def load_formats(here: Path) -> Any:
    """The module beside this file, leaving no trace of it: a cell may have a `formats` of its own."""
    sys.path.insert(0, str(here))
    try:
        return importlib.import_module("formats")
    finally:
        sys.path.pop(0)
        sys.modules.pop("formats", None)


HERE = Path(os.path.abspath(__file__)).parent  # resolve() would follow links
formats = load_formats(HERE)


def main() -> int:
    """Run the task beside this file. Returns the exit status that a Python has which reads the cell as its input."""
    task = json.loads((HERE / "task.json").read_text(encoding="utf-8"))
    source = (HERE / "cell").read_text(encoding="utf-8")
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    sys.argv[0] = task["program"]
    if sys.path and sys.path[0] == str(HERE):
        sys.path[0] = ""
    for name, suffix in task["inputs"]:
        setattr(module, name, formats.decode(suffix, (HERE / (name + suffix)).read_bytes()))
    return run(source, module, task["outputs"], Path(task["folder"]))


def run(source: str, module: types.ModuleType, outputs: List[str], folder: Path) -> int:
    linecache.cache[CELL] = (len(source), None, source.splitlines(True), CELL)
    try:
        exec(compile(source, CELL, "exec", dont_inherit=True), module.__dict__)
        keep(module, outputs, folder)
    except SystemExit:
        keep(module, outputs, folder)
        raise
    except BaseException as error:
        report(error)
        keep(module, outputs, folder, after=error)
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    return 0


def keep(module: types.ModuleType, outputs: List[str], folder: Path, after: Optional[BaseException] = None) -> None:
    """Write each variable that exists into `folder`, whole or not at all.

    `after` an error, what is no data is left out: the error is what matters then."""
    for name in outputs:
        if name not in module.__dict__:
            continue
        try:
            suffix, data = formats.encode(module.__dict__[name])
        except TypeError as error:
            if after is None:
                raise TypeError(f"{name} cannot be brought out of the container: {error}") from None
            continue
        unfinished = folder / f".{name}{suffix}"
        unfinished.write_bytes(data)
        unfinished.replace(folder / f"{name}{suffix}")


def report(error: BaseException) -> None:
    """Print a traceback that begins in the cell."""
    frames = error.__traceback__
    while frames and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    if sys.excepthook is sys.__excepthook__:
        traceback.print_exception(type(error), error, frames)
    else:
        sys.excepthook(type(error), error, frames)


if __name__ == "__main__":
    sys.exit(main())
