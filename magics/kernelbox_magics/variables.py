"""Variables that go into a container and come out of it.

They travel in two folders: `/run/kernelbox/in`, which the container can only read, and `/run/kernelbox/out`, where it
can do as it likes. What comes out is opened without following links, read only if it is a regular file of bounded size,
and decoded as data (see `inside.formats`): nothing that a container writes is ever run here.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelbox.errors import InvalidOption, NotFound

from .inside import formats

INSIDE = "/run/kernelbox"
SMALL = 32 << 10
"""Bytes up to which a value's text is also an environment variable (all of them together have 2 MB)."""

PYTHON = re.compile(r"python(\d+(\.\d+)*)?\Z")
SUFFIXES = ("", ".txt", ".json", ".csv", ".npy", ".bin", ".frame")
"""What `NAME` may be called in the folder for what comes out; without a suffix it is text."""


@dataclass(frozen=True, slots=True)
class PythonCommand:
    """A command that reads its program from the standard input: `python3 -u - a b`."""

    interpreter: tuple[str, ...]
    program: str
    arguments: tuple[str, ...]


def python_command(command: Sequence[str] | None) -> PythonCommand | None:
    """Take a command apart, if it is a Python that reads the cell as its program; None for every other."""
    if not command or not PYTHON.match(command[0].rpartition("/")[2]):
        return None
    at = 1
    while at < len(command) and command[at].startswith("-") and command[at] != "-":
        option = command[at]
        if option.startswith("--") or set(option) & set("cmihV?"):
            return None
        at += 2 if option in ("-W", "-X") else 1
    if at < len(command) and command[at] != "-":
        return None
    program = "-" if at < len(command) else ""
    return PythonCommand(tuple(command[:at]), program, tuple(command[at + 1 :]))


class Exchange:
    """The two folders of one run, with the variables that go in; a with-block that removes them.

    `limit` is the most bytes that one variable may have, on either way. `sweep` is called with a volume that the caller
    may not empty, because an ordinary user's container left files of its other users in it: a container may."""

    def __init__(self, *, limit: int, sweep: Callable[[str], object]) -> None:
        self._limit = limit
        self._sweep = sweep
        self._folder = Path(tempfile.mkdtemp(prefix="kernelbox-cell-"))
        self._in = self._folder / "in"
        self._out = self._folder / "out"
        self._in.mkdir(mode=0o755)
        self._out.mkdir()
        # The container's users have no id in common with ours. Only through its mount they get past the folder above.
        self._out.chmod(0o777)
        self.env = {"KB_IN": f"{INSIDE}/in", "KB_OUT": f"{INSIDE}/out"}

    def __enter__(self) -> Exchange:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove both folders and what is in them."""
        try:
            shutil.rmtree(self._folder)
        except PermissionError:
            self._sweep(self.volumes[1])
            shutil.rmtree(self._folder)

    @property
    def volumes(self) -> list[str]:
        """For `box.run(volumes=)`."""
        return [f"{self._in}:{INSIDE}/in:ro", f"{self._out}:{INSIDE}/out:rw"]

    def put_for_program(self, name: str, value: Any) -> None:
        """A file, its path in `$NAME_FILE`; what is short and text is also in `$NAME`. Raises InvalidOption."""
        suffix, data = self._encode(name, value, table=True)
        path = self._write(name + suffix, data)
        self.env[f"{name}_FILE"] = path
        if suffix in (".txt", ".json", ".csv") and len(data) <= SMALL and b"\0" not in data:
            self.env[name] = value if isinstance(value, str) else data.decode()

    def put_cell(
        self, python: PythonCommand, cell: str, inputs: Sequence[tuple[str, Any]], outputs: Sequence[str]
    ) -> list[str]:
        """A Python cell with its variables; returns the command that runs it. Raises InvalidOption."""
        files = []
        for name, value in inputs:
            suffix, data = self._encode(name, value)
            self._write(name + suffix, data)
            files.append((name, suffix))
        task = {"program": python.program, "inputs": files, "outputs": list(outputs), "folder": f"{INSIDE}/out"}
        self._write("task.json", json.dumps(task).encode())
        self._write("cell", cell.encode())
        own = Path(formats.__file__).parent
        for file in ("formats.py", "cell.py"):
            self._write(file, (own / file).read_bytes())
        return [*python.interpreter, f"{INSIDE}/in/cell.py", *python.arguments]

    def _encode(self, name: str, value: Any, *, table: bool = False) -> tuple[str, bytes]:
        try:
            suffix, data = _table(value) if table else formats.encode(value)
        except (TypeError, ValueError) as error:
            raise InvalidOption(f"the variable {name!r} cannot go into a container: {error}") from error
        if len(data) > self._limit:
            raise InvalidOption(f"the variable {name!r} has {len(data):,} bytes", hint=_how_to_raise(self._limit))
        return suffix, data

    def _write(self, file: str, data: bytes) -> str:
        path = self._in / file
        path.write_bytes(data)
        path.chmod(0o644)
        return f"{INSIDE}/in/{file}"

    def take(self, name: str) -> Any:
        """The value that came out as `name`. Raises NotFound where none did, InvalidOption where it is not data."""
        folder = os.open(self._out, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            present = [suffix for suffix in SUFFIXES if _exists(name + suffix, folder)]
            if not present:
                raise NotFound(
                    f"the cell ended without a {name!r} (-o {name})",
                    hint=f"a Python cell sets the variable {name}, any other writes the file $KB_OUT/{name}",
                )
            if len(present) > 1:
                files = " and ".join(name + suffix for suffix in present)
                raise InvalidOption(f"-o {name}: the cell wrote {files}; which of them is meant?")
            data = self._read(name + present[0], folder)
        finally:
            os.close(folder)
        return _value(name + present[0], present[0], data)

    def _read(self, file: str, folder: int) -> bytes:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        try:
            descriptor = os.open(file, flags, dir_fd=folder)
        except OSError as error:
            raise InvalidOption(f"what the cell wrote as {file} is not a regular file", hint=str(error)) from error
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise InvalidOption(f"what the cell wrote as {file} is not a regular file")
            with open(descriptor, "rb", closefd=False) as stream:
                data = stream.read(self._limit + 1) if status.st_size <= self._limit else b""
        finally:
            os.close(descriptor)
        if status.st_size > self._limit or len(data) > self._limit:
            raise InvalidOption(f"what the cell wrote as {file} is too large", hint=_how_to_raise(self._limit))
        return data


def _exists(file: str, folder: int) -> bool:
    try:
        os.stat(file, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _how_to_raise(limit: int) -> str:
    return f"the limit is {limit:,} bytes: %config KernelBox.variable_limit = {4 * limit}"


def _table(value: Any) -> tuple[str, bytes]:
    """The encoding for programs that are not Python: what has rows becomes CSV."""
    numpy, pandas = sys.modules.get("numpy"), sys.modules.get("pandas")
    if pandas and isinstance(value, pandas.DataFrame | pandas.Series):
        named = not isinstance(value.index, pandas.RangeIndex)
        return ".csv", str(value.to_csv(index=named)).encode()
    if numpy and isinstance(value, numpy.ndarray) and 1 <= value.ndim <= 2 and value.dtype.kind in "biufU":
        text = io.StringIO()
        rows = value.reshape(len(value), -1) if value.size else []
        csv.writer(text, lineterminator="\n").writerows(row.tolist() for row in rows)
        return ".csv", text.getvalue().encode()
    if value is None:
        return ".txt", b""
    return formats.encode(value)


def _value(file: str, suffix: str, data: bytes) -> Any:
    """Decode; the bytes were written by a container, so whatever goes wrong is its mistake and said so."""
    try:
        if suffix == ".csv":
            import pandas

            return pandas.read_csv(io.BytesIO(data))
        return formats.decode(suffix or ".txt", data)
    except UnicodeDecodeError as error:
        raise InvalidOption(
            f"what the cell wrote as {file} is not text", hint=f"call it {file}.bin for bytes"
        ) from error
    except Exception as error:
        raise InvalidOption(f"what the cell wrote as {file} cannot be read: {error}") from error
