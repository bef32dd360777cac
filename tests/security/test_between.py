"""What keeps containers apart from each other, from other users of the machine, and from their own limits."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Callable
from typing import Any

import ordinary_user
import pytest
from faults.monitors import monitors_of
from waiting import wait_until

from kernelbox import Engine
from kernelbox.engine.container import Container

pytestmark = [pytest.mark.kernel, pytest.mark.root]

Keep = Callable[..., Container]


def first_id(container: Container) -> int:
    return int(container.exec(["cat", "/proc/self/uid_map"]).stdout.split()[1])


@pytest.mark.usefixtures("orphans")
def test_ids_outlive_the_monitor_that_held_them(
    engine: Engine, keep: Keep, busybox_image: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Nobody else gets them while a process of the container lives, in any store; then they are taken over."""
    containers = [keep() for _ in range(3)]
    own = {first_id(each) for each in containers}
    (monitor,) = monitors_of(engine.paths.root)
    os.kill(monitor, signal.SIGKILL)
    wait_until(lambda: not monitors_of(engine.paths.root))
    with Engine(root=tmp_path_factory.mktemp("other") / "store") as other:
        jobs = [other.start(busybox_image, ["cat", "/proc/self/uid_map"]) for _ in range(40)]
        numbers = [int(job.wait(60).stdout.split()[1]) for job in jobs]
    assert not own & set(numbers)
    assert {first_id(each) for each in containers} == own
    assert first_id(keep()) not in own


def test_who_has_a_range_is_written_down(engine: Engine, keep: Keep) -> None:
    """The lock goes with the monitor; the mark stays, and nobody else may make one."""
    container = keep()
    mark = engine.paths.runtime.parent / "ids-in-use" / str(container.record.id_range)
    assert os.readlink(mark) == str(container.folder.path)
    assert stat.S_IMODE(mark.parent.stat().st_mode) == 0o700


OPEN = """
import sys
for path in sys.argv[1:]:
    try:
        open(path, "rb")
        print("won", path)
    except PermissionError:
        pass
print("end")
"""


def test_other_users_of_the_machine_see_nothing(engine: Engine, keep: Keep, ordinary_user: ordinary_user.User) -> None:
    container = keep(["sh", "-c", "echo said; exec sleep infinity"], env={"SECRET": "canary"})
    wait_until(container.logs)
    folder = container.folder.path
    paths = [engine.paths.state, folder, *(folder / name for name in ("log.json", "config.json", "output", "upper"))]
    process = [f"/proc/{container.record.pid}/{name}" for name in ("environ", "root", "fd/1", "mem")]
    assert ordinary_user.python(OPEN, *map(str, paths), *process).stdout == "end\n"
    assert stat.S_IMODE(engine.paths.root.stat().st_mode) == 0o700


def test_variables_and_arguments_stay_in_their_container(keep: Keep) -> None:
    keep(
        ["sh", "-c", "exec sleep infinity", "canary-argument"],
        env={"SECRET": "canary-variable"},
        labels={"l": "canary"},
    )
    search = (
        "env; cat /proc/*/environ /proc/*/cmdline /proc/self/mountinfo /proc/self/cgroup; ls -lR /proc/*/fd /run /tmp"
    )
    assert "canary" not in keep().exec(["sh", "-c", f"({search}) 2>/dev/null"]).stdout


WRITE_GROUPS = """
import os
for folder, _, names in os.walk("/sys/fs/cgroup"):
    for name in names:
        try:
            os.close(os.open(os.path.join(folder, name), os.O_WRONLY))
            print("won", folder, name)
        except OSError:
            pass
    try:
        os.mkdir(os.path.join(folder, "new"))
        print("won", folder)
    except OSError:
        pass
print("end")
"""


@pytest.mark.parametrize("options", [{}, {"cap_add": ["ALL"]}, {"privileged": True}], ids=str)
def test_limits_are_not_to_be_changed_from_inside(keep: Keep, options: dict[str, Any]) -> None:
    container = keep(image="host", memory="64m", pids_limit=50, **options)
    assert container.exec(["python3", "-c", WRITE_GROUPS]).stdout == "end\n"
    mounted = (
        "mkdir -p /tmp/m; for kind in cgroup cgroup2; do mount -t $kind x /tmp/m && find /tmp/m -writable -type f; done"
    )
    assert container.exec(["sh", "-c", f"({mounted}) 2>/dev/null"]).stdout == ""


@pytest.mark.parametrize("options", [{"cap_add": ["ALL"]}, {"privileged": True}], ids=str)
def test_mounts_that_hide_stay(keep: Keep, options: dict[str, Any]) -> None:
    """With rights over its mounts a container can add to them, and take none of those away that it began with."""
    container = keep(**options)
    before = container.exec(["cat", "/proc/self/mountinfo"]).stdout
    script = "cut -d' ' -f5 /proc/self/mountinfo | sort -r | while read path; do umount $path; umount -l $path; done"
    container.exec(["sh", "-c", f"({script}) 2>/dev/null"])
    assert container.exec(["cat", "/proc/self/mountinfo"]).stdout == before


def test_what_exec_adds_counts_within_the_limits(keep: Keep) -> None:
    container = keep(pids_limit=10)
    script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1 & done; true"
    assert "can't fork" in container.exec(["sh", "-c", script], timeout=60).stderr
