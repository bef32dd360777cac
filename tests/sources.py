"""The files of this source tree, without what is built, installed or measured."""

from __future__ import annotations

from pathlib import Path

SOURCES = Path(__file__).resolve().parents[1]
FOLDERS = ("kernelbox", "magics", "notebooks", "tests", "benchmarks", ".ci")


def files(*patterns: str) -> list[Path]:
    found = [path for folder in FOLDERS for pattern in patterns for path in (SOURCES / folder).rglob(pattern)]
    found += [path for pattern in patterns for path in SOURCES.glob(pattern)]
    built = {"__pycache__", "results", ".ipynb_checkpoints"}
    return sorted(path for path in found if not built & set(path.parts))
