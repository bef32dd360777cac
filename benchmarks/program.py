"""What the benchmarks have in common as programs: their numbers, their root file system, how they begin and end."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, Protocol, TypeVar

import machine
import surroundings
from measuring import progress

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
sys.path.insert(0, str(HERE.parent / "tests"))  # the tests' root file system is measured

import busybox  # noqa: E402


class Found(Protocol):
    """What a benchmark has found so far."""

    notes: list[str]

    def refuse(self, who: str, attempt: str, reason: object) -> None: ...

    def write(self, folder: Path) -> str: ...


R = TypeVar("R", bound=Found)


def whole(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError
    return number


def natural(text: str) -> int:
    number = whole(text)
    if not number:
        raise ValueError
    return number


def rootfs(scratch: Path) -> Path:
    """One busybox for all contenders."""
    folder: Path = busybox.build(scratch / "rootfs")
    return folder


def keep_compiled(folder: Path) -> None:
    """Python's compiled files are kept, as where a program is installed, whatever this user may write and whatever the
    environment says."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder)


def measure(options: argparse.Namespace, results: R, run: Callable[[argparse.Namespace, Path, R], None]) -> NoReturn:
    """Calls `run`, which fills `results`, with a folder for what it makes; writes them into `options.output` however
    that ends, and ends the program. As root it starts the program over in its own mount namespace first."""
    machine.complete_path()
    surroundings.own_mount_namespace()
    try:
        options.output.mkdir(parents=True, exist_ok=True)  # before an hour is spent
    except OSError as error:
        sys.exit(f"{options.output}: {error.strerror}; choose another folder with --output")
    interrupted = False
    try:
        with tempfile.TemporaryDirectory(prefix="kernelbox-benchmark-", ignore_cleanup_errors=True) as scratch:
            run(options, Path(scratch), results)
    except KeyboardInterrupt:
        interrupted = True
        results.notes.append("interrupted: not everything was measured")
    except busybox.Missing as reason:
        results.refuse("everything", "all", reason)
    finally:
        progress("")
        print(f"{results.write(options.output)}\n\nRaw samples, table and picture: {options.output}")
    sys.exit(128 + signal.SIGINT if interrupted else 0)
