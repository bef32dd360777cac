"""What is reported as done survives a power cut: it was on the disk before, in an order in which nothing half done can
show. strace(1) says what a process asks of the disk."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from faults.image_works import prepare
from faults.test_images import ENVIRONMENT, SCRIPT

SYNCS = ("fsync", "fdatasync", "syncfs")
CALL = re.compile(r"(?:\[pid +\d+\] |\d+ +)?(\w+)\((.*)\) += 0$")
PATH = re.compile(r'<([^<>]+)>|"([^"]+)"')


class Call:
    """One that succeeded: its name, and the paths that it was about. What was said has the name "say"."""

    def __init__(self, name: str, paths: list[str]) -> None:
        self.name = name
        self.paths = paths

    def is_sync_of(self, path: str) -> bool:
        return self.name in SYNCS and bool(self.paths) and self.paths[0] == path


def calls(root: Path, work: str) -> list[Call]:
    program = shutil.which("strace")
    if program is None:
        pytest.skip("strace is not installed")
    log = root.with_name("strace.log")
    trace = "trace=fsync,fdatasync,syncfs,rename,renameat,renameat2,writev"
    command = [program, "-f", "-y", "-s", "200", "-o", log, "-e", trace, sys.executable, SCRIPT, root, work]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if "ptrace" in done.stderr:
        pytest.skip(f"strace cannot be used here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    found = []
    for line in log.read_text().splitlines():
        if "writev(1<" in line:
            found.append(Call("say", re.findall(r'iov_base="([^"\\]*)', line)))
        elif whole := CALL.match(line):
            found.append(Call(whole[1], [one or other for one, other in PATH.findall(whole[2])]))
    return found


def renamed_into(found: list[Call], folder: str) -> list[int]:
    """Where in the list something gets a name in that folder; those of whole paths come last in the call."""
    return [at for at, call in enumerate(found) if "rename" in call.name and f"/{folder}/" in call.paths[-1]]


def next_word(found: list[Call], at: int) -> int:
    return next(later for later in range(at, len(found)) if found[later].name == "say")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.mark.parametrize("work", ["put", "download"])
def test_content(root: Path, work: str) -> None:
    prepare(root, work)
    found = calls(root, work)
    moves = renamed_into(found, "blobs/sha256")
    assert len(moves) == {"put": 2, "download": 1}[work]
    for at in moves:
        before, after = found[at].paths[-2:]
        assert any(call.is_sync_of(before) for call in found[:at]), "its bytes come first"
        folder = str(Path(after).parent)
        assert any(call.is_sync_of(folder) for call in found[at : next_word(found, at)]), "then its name"


def test_layers(root: Path) -> None:
    prepare(root, "ensure")
    found = calls(root, "ensure")
    moves = renamed_into(found, "layers/sha256")
    assert len(moves) == 1, "the other one is there"
    for at in moves:
        before, after = found[at].paths[-2:]
        assert any(call.name == "syncfs" and call.paths[0] == before for call in found[:at]), "all its files come first"
        folder = str(Path(after).parent)
        assert any(call.is_sync_of(folder) for call in found[at : next_word(found, at)]), "then its name"


def test_images(root: Path) -> None:
    prepare(root, "add")
    found = calls(root, "add")
    words = [at for at, call in enumerate(found) if call.name == "say" and call.paths[0].startswith("image")]
    assert len(words) == 3
    for before, at in zip([0, *words], words, strict=False):
        last = max(renamed_into(found[:at], "sha256"))
        since = found[max(before, last) : at]
        assert any(call.is_sync_of(f"{root}/state.db-wal") for call in since), "what it needs comes first, then its row"


def test_what_is_removed_is_forgotten_before_it_goes(root: Path) -> None:
    prepare(root, "remove")
    found = calls(root, "remove")
    moves = [at for at in renamed_into(found, "trash") if "sha256" in found[at].paths[-2]]
    assert len(moves) > 4
    first = min(moves)
    assert any(call.is_sync_of(f"{root}/state.db-wal") for call in found[:first]), (
        "an image is never without its content"
    )
