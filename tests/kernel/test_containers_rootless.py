"""The life of kept containers of an ordinary user."""

from __future__ import annotations

import json

import ordinary_user
import pytest
from faults.test_kept import an_init

pytestmark = [pytest.mark.kernel]

LIFE = """
import json, sys
import kernelbox as kb
with kb.Engine() as box:
    said = {}
    container = box.containers.create(sys.argv[1], ["sh", "-c", "echo out; id -u; trap 'exit 7' TERM; "
        "touch /ready; while :; do sleep 0.05; done"], name="mine")
    said["created"] = container.status
    container.start()
    while container.exec(["ls", "/ready"]).exit_code:
        pass
    said["running"] = container.status
    said["exec"] = container.exec(["sh", "-c", "echo $0 $A; cat; exit 3"], env=["A=1"], input="in").output.decode()
    said["notes"] = container.folder.start_notes().notes
    said["stopped"] = container.stop(10).exit_code
    said["logs"] = container.logs()
    said["diff"] = [each.path for each in container.diff()]
    said["again"] = container.start().status
    container.remove(force=True)
    said["left"] = [each.name for each in box.containers.list(all=True)]
    print(json.dumps(said))
"""

KILLED = """
import json, os, sys
import kernelbox as kb
with kb.Engine() as box:
    container = box.containers.run(sys.argv[1], ["sh", "-c", "i=0; while :; do echo $i; i=$((i+1)); sleep 0.01; done"])
    os.kill(box.containers.monitor._pid, 9)
    while box.containers.monitor.alive:
        pass
    seen = len(container.logs().split())
    said = {"status": container.reload().status}
    while len(container.logs().split()) < seen + 5:
        pass
    said["exec"] = container.exec(["echo", "well"]).stdout
    container.stop(0)
    numbers = [int(each) for each in container.logs().split()]
    said["lost"] = [number for number in range(max(numbers)) if number not in numbers]
    container.remove()
    print(json.dumps(said))
"""

BESIDE = """
import json, os, sys
import kernelbox as kb
def spaces(container):
    return [os.readlink(f"/proc/{container.record.pid}/ns/{kind}") for kind in ("net", "ipc", "uts", "pid")]
with kb.Engine() as box:
    run = lambda **options: box.containers.run(sys.argv[1], ["sleep", "infinity"], **options)
    other = run(name="other", hostname="of-other", ipc="shareable")
    other.exec(["sh", "-c", "echo words > /dev/shm/file"])
    outliving = dict.fromkeys(("network", "ipc", "uts"), "container:other")
    one, two = run(**outliving), run(pid="container:other", **outliving)
    said = {"shared": spaces(other)[:3] == spaces(one)[:3] and spaces(other) == spaces(two)}
    said["seen"] = "sleep infinity" in two.exec(["cat", "/proc/1/cmdline"]).stdout.replace("\\0", " ")
    other.remove(force=True)
    os.kill(box.containers.monitor._pid, 9)
    while box.containers.monitor.alive:
        pass
    said["status"] = one.reload().status
    said["name"] = one.exec(["hostname"]).stdout
    said["memory"] = one.exec(["sh", "-c", "cat /dev/shm/file; stat -c %u /dev/shm/file"]).stdout
    for each in (one, two):
        each.remove(force=True)
    print(json.dumps(said))
"""


def test_a_whole_life(container_user: ordinary_user.User, own_busybox: str) -> None:
    done = container_user.python(LIFE, own_busybox)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    notes = said.pop("notes")
    assert said == {
        "created": "created", "running": "running", "exec": "sh 1\nin", "stopped": 7, "logs": "out\n0\n",
        "diff": ["/ready"], "again": "running", "left": [],
    }  # fmt: skip
    assert any("ordinary user" in note for note in notes)


def test_its_monitor_is_killed(container_user: ordinary_user.User, own_busybox: str) -> None:
    with an_init():
        done = container_user.python(KILLED, own_busybox)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"status": "running", "exec": "well\n", "lost": []}


def test_in_namespaces_of_another_one(container_user: ordinary_user.User, own_busybox: str) -> None:
    with an_init():
        done = container_user.python(BESIDE, own_busybox)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "shared": True, "seen": True, "status": "running", "name": "of-other\n", "memory": "words\n0\n",
    }  # fmt: skip
