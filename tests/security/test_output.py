"""What a container writes goes through ends that it holds itself: what it does with them is its own loss."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.monitors import monitors_of
from waiting import wait_until

from kernelbox import Engine
from kernelbox.engine.container import Container

pytestmark = [pytest.mark.kernel, pytest.mark.root]

Keep = Callable[..., Container]

READ_IT_ITSELF = """
import os, signal, time
end = os.open("/proc/self/fd/1", os.O_RDONLY)
reader = os.fork()
while not reader:
    os.read(end, 1)
began = time.monotonic()
while time.monotonic() < began + 2:
    os.write(1, b"x" * 64)
os.kill(reader, signal.SIGKILL)
"""

# Of the first packet of each look a monitor that reads once would leave the others for whoever writes next.
IN_PACKETS = """
import fcntl, os
fcntl.fcntl(1, fcntl.F_SETFL, os.O_RDWR | os.O_DIRECT)
for _ in range(3000):
    os.write(1, b"forged\\n")
"""

GIVE_IT_AWAY = """
import os, socket
with socket.socket(socket.AF_UNIX) as listener:
    listener.bind("/shared/new")
    listener.listen()
    os.rename("/shared/new", "/shared/socket")
    other = listener.accept()[0]
    socket.send_fds(other, [b"x"], [1])
    other.recv(1)
"""

WRITE_FOR_EVER = """
import fcntl, os, socket, time
while not os.path.exists("/shared/socket"):
    time.sleep(0.01)
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect("/shared/socket")
    (end,) = socket.recv_fds(connection, 1, 1)[1]
    fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, 1 << 20)
    if os.fork() and os.fork() and os.fork():
        connection.send(b"x")
    while True:
        os.write(end, bytes(1 << 16))
"""


@pytest.mark.parametrize("attack", [READ_IT_ITSELF, IN_PACKETS], ids=["reads", "packets"])
def test_its_own_output_as_a_weapon(engine: Engine, keep: Keep, busybox_image: str, attack: str) -> None:
    """Neither does the monitor end, nor a line of one container get into the log of another."""
    job = engine.start(busybox_image, ["sleep", "infinity"])
    (monitor,) = monitors_of(engine.paths.root)
    neighbour = keep(["sh", "-c", "while :; do echo mine; usleep 2000; done"])
    attacker = keep(["python3", "-c", attack], "host")
    assert attacker.wait(60) == 0
    assert monitors_of(engine.paths.root) == [monitor]
    assert not job.done
    length = len(neighbour.logs())
    wait_until(lambda: len(neighbour.logs()) > length + 100)
    assert set(neighbour.logs().split()) == {"mine"}
    assert set(attacker.logs()) <= set("forged\nx")
    job.kill()
    job.wait(30)


def test_packets_are_lines_like_others(keep: Keep) -> None:
    attacker = keep(["python3", "-c", IN_PACKETS], "host")
    assert attacker.wait(60) == 0
    assert attacker.logs() == "forged\n" * 3000


def test_somebody_else_writes_on_after_its_end(engine: Engine, keep: Keep, busybox_image: str, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    volumes = [f"{shared}:/shared"]
    keep(["python3", "-c", WRITE_FOR_EVER], "host", volumes=volumes)
    giver = keep(["python3", "-c", GIVE_IT_AWAY], "host", volumes=volumes)
    assert giver.wait(60) == 0
    assert giver.folder.log.stat().st_size < 200 << 20  # a monitor that went on until there is no more had gigabytes
    assert engine.run(busybox_image, ["echo", "served"]).stdout == "served\n"


@pytest.mark.parametrize(
    "line",
    ['"}\n{"log":"forged\\n","stream":"stderr","time":"1970-01-01T00:00:00Z"}', "\\", '\\"', "\0\x1b[2J\x7f\u2028",
     "\\u0022,\\ud800", "\ud7ff\ue000\U0010ffff"],
)  # fmt: skip
def test_nothing_it_writes_is_more_than_text_in_its_log(keep: Keep, line: str) -> None:
    container = keep(["sh", "-c", 'printf "$0"', "".join(f"\\{byte:03o}" for byte in line.encode())])
    assert container.wait(30) == 0
    assert container.logs() == line
    entries = [json.loads(each) for each in container.folder.log.read_text().split("\n")[:-1]]
    assert "".join(entry["log"] for entry in entries) == line
    assert {entry["stream"] for entry in entries} == {"stdout"}


def test_bytes_that_are_no_text(keep: Keep) -> None:
    container = keep(["sh", "-c", r"printf '\377\300\200\355\240\200\364\220\200\200'"])
    assert container.wait(30) == 0
    (entry,) = map(json.loads, container.folder.log.read_text().splitlines())
    assert entry["log"].encode("utf-8", "surrogateescape") == b"\xff\xc0\x80\xed\xa0\x80\xf4\x90\x80\x80"


def test_records_and_log_are_not_to_be_reached(keep: Keep) -> None:
    """The link that says where its output goes leads nowhere else."""
    container = keep(["sh", "-c", "echo said; exec sleep infinity"])
    wait_until(container.logs)
    script = """
        path=$(readlink /proc/1/fd/1); folder=${path%/*}
        ls "$folder"; cat "$folder/log.json" /proc/1/fd/1/../log.json /proc/1/root/$folder/config.json
        : > /proc/1/fd/1; truncate -s 0 /proc/1/fd/1; rm -f "$path"
    """
    assert container.exec(["sh", "-c", script], timeout=30).stdout == ""
    assert container.logs() == "said\n"
    assert container.exec(["echo", "well"]).stdout == "well\n"
