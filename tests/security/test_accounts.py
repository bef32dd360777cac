"""Who a user is by the container's own files, while somebody in there exchanges them: its own answer, or none."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from waiting import wait_until

from kernelbox import Engine
from kernelbox.engine.container import Container
from kernelbox.errors import InvalidOption

pytestmark = [pytest.mark.kernel, pytest.mark.root]

Keep = Callable[..., Container]
ROUNDS = 150
ROOT = "alice:x:0:0:Alice:/root:/bin/sh\n"
SWAP = """
cd TOP
cp etc/passwd own; ln -s VICTIM/passwd link; mkfifo fifo; mkdir folder; ln -s /proc/self/fd/0 fd; ln -s VICTIM etc-link
ln -s ../../../../../../../..VICTIM/passwd up; ln -s /dev/zero zero
while :; do
    for name in link fifo fd up zero; do
        cp -a $name next; mv -f next etc/passwd
        echo $name >> TOP/turns
        cp own next; mv -f next etc/passwd
    done
    rm etc/passwd; mv folder etc/passwd; mv etc/passwd folder; cp own etc/passwd
    mv etc away; mv etc-link etc; mv etc etc-link; mv away etc
done
"""


WHO = ["awk", "/^Uid/ { print $2 }", "/proc/self/status"]
"""It reads no accounts itself, which may be a FIFO by then."""


def script(top: str, victim: Path) -> list[str]:
    return ["sh", "-c", SWAP.replace("TOP", top).replace("VICTIM", str(victim))]


@pytest.fixture
def traps(victim: Path) -> Iterator[Path]:
    """A folder of the machine in whose accounts alice is root."""
    folder = victim.with_name("traps")
    folder.mkdir()
    for name in ("passwd", "group"):
        (folder / name).write_text(ROOT)
    yield folder
    assert (folder / "passwd").read_text() == ROOT


def asked_for(ask: Callable[[], str]) -> list[str]:
    """The ids that alice had in so many rounds, but for those in which there was no such user."""
    found = []
    for _ in range(ROUNDS):
        with suppress(InvalidOption):
            found.append(ask())
    return found


def test_they_change_while_exec_looks_the_user_up(keep: Keep, traps: Path) -> None:
    container = keep(script("", traps))
    wait_until(lambda: container.exec(["cat", "/turns"]).stdout.count("\n") > 5)
    found = asked_for(lambda: container.exec(WHO, user="alice", timeout=30).stdout)
    assert found
    assert set(found) <= {"1000\n"}, found


def test_they_change_while_a_run_looks_the_user_up(
    engine: Engine, keep: Keep, busybox_rootfs: Path, tmp_path: Path, traps: Path
) -> None:
    """Of an image that is a folder which somebody may change: a link in it does not lead out of it either."""
    root = tmp_path / "image"
    subprocess.run(["cp", "-a", busybox_rootfs, root], check=True)
    keep(script("/image", traps), volumes=[f"{root}:/image"])
    wait_until(lambda: (root / "turns").exists())
    found = asked_for(lambda: engine.run(f"dir:{root}", WHO, user="alice", timeout=30).stdout)
    assert "1000\n" in found
    assert set(found) <= {"1000\n", ""}, "nothing is said where the program itself was not to be read"


@pytest.mark.parametrize("name", ["fifo", "device", "up"])
def test_one_that_is_none_answers_at_once(keep: Keep, traps: Path, name: str) -> None:
    """Nothing waits for who might write into it, and what is opened to look is no device that then does something."""
    container = keep(privileged=True)
    made = {
        "fifo": "mkfifo passwd",
        "device": "ln -s /dev/tty passwd",
        "up": f"ln -s ../../..{traps}/passwd passwd",
    }
    container.exec(["sh", "-c", f"cd /etc; rm passwd; {made[name]}; :"], timeout=5)
    with pytest.raises(InvalidOption):
        container.exec(["id"], user="alice", timeout=30)
