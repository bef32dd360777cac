"""`--network pasta` and `--network slirp4netns` of an ordinary user, on a machine that the test makes for it."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import leaks
import ordinary_user
import pytest
from faults.test_kept import an_init
from sources import SOURCES

from kernelbox import Engine
from kernelbox.errors import NotSupported

pytestmark = [pytest.mark.kernel, pytest.mark.root, pytest.mark.outside]

TUN = Path("/dev/net/tun")
PROLOGUE = """
import json, os, signal, sys, time
import kernelbox as kb
from kernelbox.errors import *

NETWORK = os.environ["NETWORK"]
PROBE = '''
import sys, urllib.request
def get(url):
    try:
        return urllib.request.urlopen(url, timeout=5).read().decode()
    except OSError:
        return "-"
print(*map(get, sys.argv[1:]))
'''
OUTSIDE = "http://192.0.2.2:8000/"
LOOPBACK = [f"http://{each}:8001/" for each in ("127.0.0.1", "192.0.2.1", "192.0.2.2", "10.0.2.2", "10.0.2.3")]
def probe(box, *urls, **options):
    return box.run("host", ["python3", "-c", PROBE, *urls], network=NETWORK, check=True, **options).stdout.split()
def processes(*names):
    found = {}
    for each in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{each}/comm") as file, open(f"/proc/{each}/status") as status:
                name, said = file.read().strip(), status.read()
                mine = f"Uid:\\t{os.getuid()}\\t" in said and "State:\\tZ" not in said
        except OSError:
            continue
        if mine and name.partition(".")[0] in names:
            found.setdefault(name.partition(".")[0], []).append(int(each))
    return found
def wait_until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, processes("pasta", "passt", "slirp4netns", "kb-network")
"""


class Machine:
    """Where the ordinary user's engine runs."""

    def __init__(self, user: ordinary_user.User, pid: int, tun: Path, network: str) -> None:
        self.user, self.pid, self.tun, self.network = user, pid, tun, network

    def run(self, code: str, *arguments: str, **environment: str) -> Any:
        """What the code prints as its last line, as JSON. Nothing of it may stay in the store."""
        enter = ["nsenter", f"--net=/proc/{self.pid}/ns/net", "unshare", "--mount", "--propagation", "private"]
        script = 'mount --bind "$1" /dev/net/tun; shift; exec "$@"'
        command = self.user.entering([sys.executable, "-c", PROLOGUE + code, *arguments])
        done = subprocess.run(
            [*enter, "sh", "-ec", script, "sh", str(self.tun), *command],
            capture_output=True,
            text=True,
            env={**self.user.environment(), "NETWORK": self.network, **environment},
            cwd=self.user.home,
            timeout=120,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        assert leaks.left_in_store(self.user.home / ".local/share/kernelbox") == []
        return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def tun(tmp_path: Path) -> Path:
    """A device that everybody may open, as udev makes it: elsewhere it is root's alone."""
    try:
        os.close(os.open(TUN, os.O_RDWR))
    except OSError as reason:
        pytest.skip(f"{TUN} cannot be opened here: {reason.strerror}")
    node = tmp_path / "tun"
    os.mknod(node, stat.S_IFCHR, TUN.stat().st_rdev)
    node.chmod(0o666)
    return node


@pytest.fixture(params=["pasta", "slirp4netns"])
def machine(request: pytest.FixtureRequest, container_user: ordinary_user.User, tun: Path) -> Iterator[Machine]:
    if not shutil.which(request.param):
        pytest.skip(f"there is no {request.param} on this machine")
    command = ["unshare", "--net", sys.executable, str(SOURCES / "tests/outer_network.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as made:
        assert made.stdout
        assert made.stdout.readline() == "ready\n"
        yield Machine(container_user, made.pid, tun, request.param)
        made.communicate()


def test_a_run(machine: Machine) -> None:
    """It reaches the machine outside, and not what is served on the loopback of its own; nothing is left."""
    code = """
import urllib.request
served = urllib.request.urlopen(LOOPBACK[0]).read().decode()
with kb.Engine() as box:
    found = [probe(box, OUTSIDE, *LOOPBACK), probe(box, OUTSIDE, userns="keep-id")]
    without = box.run("host", ["python3", "-c", PROBE, OUTSIDE]).stdout.split()
    left = processes("pasta", "passt", "slirp4netns", "kb-network")
print(json.dumps([served, found, without, left]))
"""
    served, found, without, left = machine.run(code)
    assert served == "loopback", "it is there for the machine itself"
    assert found == [["outside", "-", "-", "-", "-", "-"], ["outside"]]
    assert without == ["-"], "the default is no network"
    assert left == {}, "they are gone when a run is over, though the engine is not"


def test_what_it_is_confined_to(machine: Machine) -> None:
    """The program has a filter of system calls; in the container there is nothing to be seen of it."""
    code = """
with kb.Engine() as box:
    script = "ls /sys/class/net | wc -l; cat /proc/[0-9]*/comm | sort | uniq; cat /etc/resolv.conf"
    job = box.start("host", ["sh", "-c", "read line; " + script], network=NETWORK, input="x", interactive=True)
    said = job.wait(60).stdout.splitlines()
    container = box.containers.run("host", ["sleep", "infinity"], network=NETWORK)
    found = processes("pasta", "passt", "slirp4netns", "kb-network")
    lines = {}
    for name, (pid,) in found.items():
        with open(f"/proc/{pid}/status") as status:
            lines[name] = [line.split()[1] for line in status if line.startswith(("Seccomp:", "PPid:"))]
    container.remove(force=True)
print(json.dumps([said, lines, {name: pids[0] for name, pids in found.items()}]))
"""
    said, lines, pids = machine.run(code)
    assert said[0] == "2", "a loopback and one more"
    assert not {"pasta", "passt", "slirp4netns", "kb-network"} & set(said)
    (program,) = set(lines) - {"kb-network"}
    assert lines[program] == [str(pids["kb-network"]), "2"]
    if machine.network == "slirp4netns":
        assert "nameserver 10.0.2.3" in said


KEPT = """
def exec_probe(container):
    return container.exec(["python3", "-c", PROBE, OUTSIDE]).stdout.strip()
said = {}
with kb.Engine() as box:
    container = box.containers.run("host", ["sleep", "infinity"], name="mine", network=NETWORK, restart="always")
    said["runs"] = exec_probe(container)
    said["mode"] = container.attrs["HostConfig"]["NetworkMode"]
with kb.Engine() as box:
    container = box.containers.get("mine")
    said["its engine has gone"] = exec_probe(container)
    os.kill(box.containers.monitor._pid, 9)
    while box.containers.monitor.alive:
        pass
    said["its monitor was killed"] = exec_probe(container)
    before = processes("kb-network")["kb-network"]
    os.kill(container.reload().record.pid, 9)
    wait_until(lambda: container.reload().record.restart_count and container.status == "running")
    said["started again"] = exec_probe(container)
    wait_until(lambda: len(processes("kb-network")["kb-network"]) == 1)
    said["another"] = processes("kb-network")["kb-network"] != before
    container.stop(0)
    wait_until(lambda: not processes("pasta", "passt", "slirp4netns", "kb-network"))
    container.remove()
print(json.dumps(said))
"""


def test_a_kept_one(machine: Machine) -> None:
    with an_init():
        said = machine.run(KEPT)
    reap_orphans()
    ways = ("runs", "its engine has gone", "its monitor was killed", "started again")
    assert said == {**dict.fromkeys(ways, "outside"), "mode": machine.network, "another": True}


@pytest.mark.parametrize("victim", ["program", "keeper"])
def test_one_of_them_is_killed(machine: Machine, victim: str) -> None:
    """The container goes on without a way out; the other one does not stay longer than it."""
    code = """
with kb.Engine() as box:
    container = box.containers.run("host", ["sleep", "infinity"], network=NETWORK)
    programs = processes("pasta", "passt", "slirp4netns")
    keepers = processes("kb-network")
    (victims,) = (keepers if sys.argv[1] == "keeper" else programs).values()
    os.kill(victims[0], signal.SIGKILL)
    if sys.argv[1] == "keeper":
        wait_until(lambda: not processes("pasta", "passt", "slirp4netns"))
    said = [container.exec(["python3", "-c", PROBE, OUTSIDE]).stdout.strip(), container.reload().status]
    container.stop(0)
    said.append(processes("pasta", "passt", "slirp4netns", "kb-network"))
    container.remove()
print(json.dumps(said))
"""
    assert machine.run(code, victim) == ["-", "running", {}]


def test_an_engine_that_is_killed(machine: Machine) -> None:
    """What it had not asked to keep ends with it."""
    code = """
import subprocess
child = '''
import os
import kernelbox as kb
box = kb.Engine()
box.start("host", ["sleep", "infinity"], network=os.environ["NETWORK"])
print("begun", flush=True)
import time
time.sleep(600)
'''
with subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE) as running:
    running.stdout.readline()
    wait_until(lambda: processes("kb-network"))
    running.kill()
wait_until(lambda: not processes("pasta", "passt", "slirp4netns", "kb-network", "kb-monitor"))
print(json.dumps("well"))
"""
    with an_init():
        assert machine.run(code) == "well"


def test_a_program_that_fails(machine: Machine) -> None:
    """What it said is in the error, and nothing is left of the start. There is no way out of a machine without one."""
    code = """
with kb.Engine() as box:
    try:
        box.run("host", ["true"], network=NETWORK)
    except StartError as error:
        said = error.message
    left = processes("pasta", "passt", "slirp4netns", "kb-network")
    print(json.dumps([said, left, box.run("host", ["true"]).exit_code]))
"""
    program = machine.user.home / "bin" / machine.network
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'there is no way' >&2\nexit 3\n")
    program.chmod(0o755)
    said, left, after = machine.run(code, PATH=f"{program.parent}:{os.environ['PATH']}")
    assert f"could not make a network namespace with a way out by {machine.network}" in said
    assert "there is no way" in said
    assert (left, after) == ({}, 0)


def reap_orphans() -> None:
    """What a monitor that has gone had not waited for is ours, as on a machine it is the first process's."""
    for each in leaks.processes():
        if (each.parent, each.state) == (os.getpid(), "Z"):
            os.waitpid(each.pid, 0)


FAULTS = """
from faults.plans import PlanUnderTest, fail_each, fail_each_end
with kb.Engine() as box:
    test = PlanUnderTest(box, "host", {"network": NETWORK})
    names = {type(step).__name__ for step in test.plan.steps}
    fail_each(test)
    fail_each_end(test, frozenset(["cpu_usage_seconds"]))
    wait_until(lambda: not processes("pasta", "passt", "slirp4netns", "kb-network"))
with kb.Engine() as box:  # which sweeps what a step of the end had left
    box.run("host", ["true"])
print(json.dumps(sorted(names)))
"""


def test_each_step_fails_once(machine: Machine) -> None:
    names = machine.run(FAULTS, PYTHONPATH=str(SOURCES / "tests"))
    reap_orphans()
    assert {"OpenWayOut", "TieWayOut", "EndWayOut"} <= set(names)


def test_what_is_missing_is_said(container_user: ordinary_user.User, engine: Engine) -> None:
    code = """
import json, os, sys
import kernelbox as kb
from kernelbox.engine import way_out
found = []
with kb.Engine() as box:
    for network in sorted(way_out.PACKAGES):
        for name, value in (("shutil", type("none", (), {"which": staticmethod(lambda *_, **__: None)})),
                            ("DEVICE", "/dev/nowhere")):
            kept = getattr(way_out, name)
            setattr(way_out, name, value)
            try:
                box.run("host", ["true"], network=network)
            except kb.errors.NotSupported as error:
                found.append([error.message, error.hint])
            setattr(way_out, name, kept)
print(json.dumps(found))
"""
    done = container_user.python(code)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert ["the network 'pasta' needs the program pasta", "apt-get install passt"] in found
    assert ["the network 'slirp4netns' needs the program slirp4netns", "apt-get install slirp4netns"] in found
    with pytest.raises(NotSupported, match="that of an ordinary user, and this is root"):
        engine.run("host", ["true"], network="pasta")
