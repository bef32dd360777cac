"""Linters as tests: what they print is the failure. A tool that is not installed is skipped."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sources import SOURCES, files

TOOLS = {
    "ruff check": ["ruff", "check", "."],
    "ruff format": ["ruff", "format", "--check", "."],
    "mypy": ["mypy"],
    "codespell": ["codespell", *map(str, files("*.py", "*.c", "*.h", "*.md", "*.toml", "*.ipynb", "Makefile"))],
    "clang-format": ["clang-format", "--dry-run", "--Werror", *map(str, files("*.c", "*.h"))],
}


@pytest.mark.parametrize("name", TOOLS)
def test_tool_has_nothing_to_say(name: str) -> None:
    command = TOOLS[name]
    program = shutil.which(command[0], path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if not program:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run([program, *command[1:]], cwd=SOURCES, capture_output=True, text=True)
    if done.returncode:
        pytest.fail(done.stdout + done.stderr, pytrace=False)
