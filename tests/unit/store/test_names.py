"""A name belongs to one running container, and to nobody once its holder has gone, however it went."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kernelbox.errors import NameInUse
from kernelbox.store.names import hold_name

HOLD = """
import sys
from pathlib import Path
from kernelbox.store.names import hold_name
with hold_name(Path(sys.argv[1]), "box"):
    print("held", flush=True)
    input()
"""


def test_a_name_is_held_within_the_block(tmp_path: Path) -> None:
    folder = tmp_path / "names"
    with hold_name(folder, "box"), hold_name(folder, "other"):
        with (
            pytest.raises(NameInUse, match="the name 'box' is in use by a running container"),
            hold_name(folder, "box"),
        ):
            pass
        assert {path.name for path in folder.iterdir()} == {"box", "other"}
    assert list(folder.iterdir()) == []
    with hold_name(folder, "box"):
        pass


def test_a_name_is_given_back_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), hold_name(tmp_path / "names", "box"):
        raise RuntimeError
    with hold_name(tmp_path / "names", "box"):
        pass


def test_a_holder_that_is_killed_holds_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, os.fspath(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(NameInUse), hold_name(tmp_path, "box"):
            pass
        holder.kill()
    assert (tmp_path / "box").exists()
    with hold_name(tmp_path, "box"):
        pass
    assert not (tmp_path / "box").exists()


def test_one_of_many_has_it(tmp_path: Path) -> None:
    """At any moment: each adds one to a number that only the holder may change."""
    counter = tmp_path / "counter"
    counter.write_text("0")

    def add() -> int:
        try:
            with hold_name(tmp_path / "names", "box"):
                number = int(counter.read_text()) + 1
                counter.write_text(str(number))
                return 1
        except NameInUse:
            return 0

    with ThreadPoolExecutor(8) as pool:
        succeeded = sum(future.result() for future in [pool.submit(add) for _ in range(400)])
    assert int(counter.read_text()) == succeeded > 0
