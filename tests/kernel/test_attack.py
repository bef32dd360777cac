"""What a hostile container tries on what is shared with the machine: the monitor's program, and things used again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import leaks
import pytest
from faults.monitors import monitors_of
from waiting import wait_until

from kernelbox import Engine
from kernelbox.native import MONITOR_PROGRAM

pytestmark = [pytest.mark.kernel, pytest.mark.root]

OVERWRITE = """
import os, sys
won = []
for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC):
    try:
        os.close(os.open(sys.argv[1], flags))
        won.append(flags)
    except OSError:
        pass
print(won)
"""

# Prints of how many processes it got hold of the monitor's program, and how many it met that still had its name.
WATCH = """
import os, sys
kept, met, won = {}, set(), 0
print("ready", flush=True)
while not os.path.exists("/stop/now"):
    for pid in os.listdir("/proc"):
        if pid.isdigit() and pid not in kept:
            try:
                with open(f"/proc/{pid}/comm") as comm:
                    if comm.read() == "kb-monitor\\n":
                        met.add(pid)
                kept[pid] = os.open(f"/proc/{pid}/exe", os.O_PATH)
                target = os.readlink(f"/proc/self/fd/{kept[pid]}")
                won += "kb-monitor" in target
            except OSError:
                pass
print(won, len(met - {sys.argv[1]}), sys.argv[1] in met)
"""


@pytest.fixture
def unchanged() -> Iterator[None]:
    before = hashlib.sha256(MONITOR_PROGRAM.read_bytes()).digest()
    yield
    assert hashlib.sha256(MONITOR_PROGRAM.read_bytes()).digest() == before


@pytest.mark.usefixtures("unchanged")
def test_the_program_of_the_launcher_as_the_containers_own(engine: Engine, busybox_image: str) -> None:
    """At the moment of exec /proc/self/exe is still the monitor's (CVE-2019-5736): it says so, and ends."""
    run = engine.run(busybox_image, ["/proc/self/exe"])
    assert run.exit_code == 2
    assert "started by kernelbox, not by hand" in run.stderr
    (pid,) = monitors_of(engine.paths.root)
    run = engine.run(busybox_image, ["/proc/self/exe", "root"], timeout=5)
    assert (run.exit_code, run.stdout, run.timed_out) == (0, "", False)  # it goes into the background, and that is all
    assert monitors_of(engine.paths.root) == [pid]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("userns", ["auto", "host"])
def test_the_monitors_program_cannot_be_written(engine: Engine, busybox_image: str, userns: str) -> None:
    engine.run(busybox_image, ["true"])
    (pid,) = monitors_of(engine.paths.root)
    run = engine.run("host", ["python3", "-c", OVERWRITE, f"/proc/{pid}/exe"], pid="host", userns=userns)
    assert run.stdout == "[]\n", run.stderr


@pytest.mark.usefixtures("unchanged")
def test_nobody_gets_hold_of_the_program_of_what_is_starting(
    engine: Engine, busybox_image: str, tmp_path: Path
) -> None:
    engine.run(busybox_image, ["true"])
    (monitor,) = monitors_of(engine.paths.root)
    heard: list[bytes] = []
    watcher = engine.start(
        "host", ["python3", "-c", WATCH, str(monitor)], pid="host", volumes=[f"{tmp_path}:/stop"],
        on_output=lambda _, chunk: heard.append(chunk),
    )  # fmt: skip
    wait_until(lambda: b"ready" in b"".join(heard) or watcher.done)
    for _ in range(200):
        engine.run(busybox_image, ["true"])
    (tmp_path / "now").touch()
    won, met, saw_the_monitor = watcher.wait(60).stdout.split()[1:]
    assert won == "0"
    assert int(met) > 0
    assert saw_the_monitor == "True"


@pytest.mark.parametrize(
    "rights", [{"userns": "host", "cap_add": ["NET_ADMIN"]}, {"userns": "host", "privileged": True}]
)
def test_a_network_that_somebody_could_change_is_not_used_again(
    engine: Engine, busybox_image: str, rights: dict[str, object]
) -> None:
    """Without a packet sent, its loopback looks unused."""
    run = engine.run(busybox_image, ["ip", "addr", "add", "10.9.8.7/32", "dev", "lo"], **rights)
    assert run.exit_code == 0, run.stderr
    for _ in range(6):  # one more than wait in the pool
        assert "10.9.8.7" not in engine.run(busybox_image, ["ip", "addr"]).stdout


def test_nobody_sees_the_traffic_of_a_predecessor(engine: Engine, busybox_image: str) -> None:
    used = engine.run(busybox_image, ["sh", "-c", "wget -q http://127.0.0.1/; grep lo: /proc/net/dev"])
    assert used.exit_code == 0, used.stderr
    assert used.stdout.split()[1] != "0"
    later = [engine.run(busybox_image, ["grep", "lo:", "/proc/net/dev"]).stdout for _ in range(6)]
    assert [line.split()[1:] for line in later] == [["0"] * 16] * 6


def test_many_descriptors_here_are_none_there(engine: Engine, busybox_image: str) -> None:
    pipes = [os.pipe() for _ in range(100)]
    try:
        for end in (each for pair in pipes for each in pair):
            os.set_inheritable(end, True)
        run = engine.run(busybox_image, ["sh", "-c", "ls /proc/self/fd"])
    finally:
        for end in (each for pair in pipes for each in pair):
            os.close(end)
    assert run.stdout.split() == ["0", "1", "2", "3"]  # the last is that of ls
    (pid,) = monitors_of(engine.paths.root)
    assert not [link for link in leaks.links(f"/proc/{pid}/fd") if link.startswith("pipe:")]
