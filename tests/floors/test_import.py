"""`import kernelbox` is cheap: it loads none of the big libraries, and nothing that a first call would not need."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {"pandas", "numpy", "IPython", "ipywidgets", "click", "rich", "requests", "aiohttp", "sqlite3", "cffi"}


def loaded_by(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_import_loads_nothing_heavy() -> None:
    # What the interpreter loads by itself (site-packages may hold .pth files) is not ours.
    assert not (loaded_by("import kernelbox") - loaded_by("")) & HEAVY


def test_import_reaches_no_floor_below_the_front() -> None:
    new = loaded_by("import kernelbox") - loaded_by("")
    assert {name for name in new if name.startswith("kernelbox.")} <= {"kernelbox.errors"}
