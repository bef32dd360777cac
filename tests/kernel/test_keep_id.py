"""`--userns keep-id` of an ordinary user: with subordinate ids, and with the one id that everybody has."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import leaks
import ordinary_user
import pytest
from faults.test_kept import an_init

from kernelbox.linux import idmap

pytestmark = [pytest.mark.kernel, pytest.mark.root, pytest.mark.outside]

PROLOGUE = """
import json, os, sys
if os.environ["IDS"] == "one":
    os.environ["PATH"] = "/nowhere"  # no newuidmap there
import kernelbox as kb
from kernelbox.errors import *

IMAGE = os.environ["IMAGE"]
HOME = os.environ["HOME"]
def sh(box, script, **options):
    run = box.run(IMAGE, ["sh", "-c", script], userns="keep-id", **options)
    return [run.exit_code, run.stdout, run.stderr]
"""


class Owner:
    """The ordinary user, who has subordinate ids ("many") or does not ("one")."""

    def __init__(self, user: ordinary_user.User, image: str, ids: str) -> None:
        self.user, self.image, self.ids = user, image, ids
        self.own = [str(user.uid), str(user.gid)]

    def run(self, code: str, **environment: str) -> Any:
        """What the code prints as its last line, as JSON. Nothing of it may stay in the store."""
        done = self.user.python(PROLOGUE + code, IMAGE=self.image, IDS=self.ids, **environment)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        assert leaks.left_in_store(self.user.home / ".local/share/kernelbox") == []
        return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(params=["many", "one"])
def owner(request: pytest.FixtureRequest, container_user: ordinary_user.User, own_busybox: str) -> Owner:
    if request.param == "many":
        skip_without_subordinate_ids(container_user)
    return Owner(container_user, own_busybox, request.param)


def skip_without_subordinate_ids(user: ordinary_user.User) -> None:
    try:
        ordinary_user.tool("newuidmap")
    except FileNotFoundError as reason:
        pytest.skip(str(reason))
    if not idmap.subordinate(user.name):
        pytest.skip("/etc/subuid gives the test's user no ids")


def ids_of(path: Path) -> list[str]:
    return [str(path.stat().st_uid), str(path.stat().st_gid)]


def test_who_it_is(owner: Owner) -> None:
    """The caller's ids, which are the caller's outside too, with a name, and no rights of root's."""
    script = "id -u; id -g; whoami; echo $HOME; grep CapEff /proc/self/status | cut -f2; cat /proc/self/uid_map"
    code = f"with kb.Engine() as box: print(json.dumps(sh(box, {script!r})))"
    status, out, err = owner.run(code)
    assert (status, err) == (0, "")
    uid, gid, name, home, capabilities, *maps = out.splitlines()
    assert [uid, gid, name, home] == [*owner.own, owner.user.name, "/"]
    assert int(capabilities, 16) == 0
    found = [tuple(map(int, line.split())) for line in maps]
    assert (owner.user.uid, 0, 1) in found, "outside, as the monitor sees it, it is the caller"
    below = [(0, 1, owner.user.uid)] if owner.ids == "many" else []
    assert found[: len(below)] == below
    assert (len(found) == 1) == (owner.ids == "one")


def test_files_belong_to_the_caller(owner: Owner) -> None:
    """What a student wrote in a folder of his own can be changed from both sides."""
    folder = owner.user.home / "homework"
    folder.mkdir()
    (folder / "old").write_text("old\n")
    for path in (folder, folder / "old"):
        os.chown(path, owner.user.uid, owner.user.gid)
    code = """
script = "stat -c %u:%g /work /work/old; echo more >> /work/old; echo new > /work/new; mkdir -m 700 /work/d; "
script += "echo x > /dev/stdout; touch /mine /tmp/mine; chown 0 /work/new 2>&1 || true"
with kb.Engine() as box:
    made = sh(box, script, volumes=[f"{HOME}/homework:/work"])
with open(f"{HOME}/homework/new", "a") as file:
    file.write("from outside\\n")
os.rmdir(f"{HOME}/homework/d")
print(json.dumps(made))
"""
    status, out, err = owner.run(code)
    own = ":".join(owner.own)
    assert (status, err) == (0, "")
    assert out.splitlines()[:3] == [own, own, "x"]
    assert out.splitlines()[3].startswith("chown: /work/new: "), "a user cannot give files away"
    assert (folder / "old").read_text() == "old\nmore\n"
    assert (folder / "new").read_text() == "new\nfrom outside\n"
    assert ids_of(folder / "new") == owner.own


def test_other_users(owner: Owner) -> None:
    """With subordinate ids there is a root inside, who is nobody outside; without, a sentence says why not."""
    (owner.user.home / "shared").mkdir(mode=0o777)
    (owner.user.home / "shared").chmod(0o777)
    code = """
found = {}
with kb.Engine() as box:
    for user in ("0", "7:8", "nobody", "KB_NAME"):
        name = user.replace("KB_NAME", os.environ["USER"])
        script = "id -u; id -g; touch /shared/file; stat -c %u /shared/file; rm /shared/file; touch /shared/$(id -u)"
        try:
            found[user] = sh(box, script, user=name, volumes=[f"{HOME}/shared:/shared"])
        except KernelBoxError as error:
            found[user] = [type(error).__name__, error.message, error.hint]
    notes = box.run(IMAGE, ["true"], userns="keep-id").limits.notes
print(json.dumps([found, notes]))
"""
    found, notes = owner.run(code)
    assert found["KB_NAME"] == [0, "{0}\n{1}\n{0}\n".format(*owner.own), ""], "by the entry that it has been given"
    few = any("there is no root in the container" in note for note in notes)
    assert few == (owner.ids == "one")
    if owner.ids == "one":
        kind, message, hint = found["0"]
        assert kind == "InvalidOption"
        assert message == f"user: the user id 0 is not among the container's ids ({owner.user.uid})"
        assert "newuidmap" in hint
        assert found["7:8"][0] == "InvalidOption"
        return
    assert found["0"] == [0, "0\n0\n0\n", ""]
    assert found["7:8"] == [0, "7\n8\n7\n", ""]
    for name in ("0", "7"):
        (outside,) = idmap.subordinate(owner.user.name)
        assert ids_of(owner.user.home / "shared" / name)[0] == str(outside.outside + int(name))


def test_entries_that_are_there_stay(owner: Owner) -> None:
    """HOME is what the image's passwd says; the image itself is not changed."""
    image = Path(owner.image.removeprefix("dir:"))
    entry = f"anna:x:{owner.user.uid}:7:Anna:/home/anna:/bin/sh"
    with (image / "etc/passwd").open("a") as file:
        file.write(entry + "\n")
    (image / "etc/group").write_text("root:x:0:")  # a line without its end
    before = (image / "etc/passwd").read_bytes(), (image / "etc/group").read_bytes()
    code = """
script = "whoami; echo $HOME; id -g; tail -n 1 /etc/passwd; cat /etc/group"
with kb.Engine() as box:
    print(json.dumps(sh(box, script, volumes=[f"{HOME}:{HOME}"], workdir="/tmp")))
"""
    status, out, err = owner.run(code)
    assert (status, err) == (0, "")
    groups = ["root:x:0:", f"{owner.user.name}:*:{owner.own[1]}:"]
    assert out.splitlines() == ["anna", "/home/anna", owner.own[1], entry, *groups]
    assert ((image / "etc/passwd").read_bytes(), (image / "etc/group").read_bytes()) == before


def test_an_image_without_accounts(owner: Owner) -> None:
    """Whose name is somebody else's there gets a number as its name; the home is the folder that it works in."""
    image = Path(owner.image.removeprefix("dir:"))
    (image / "etc/passwd").unlink()
    (image / "etc/group").write_text(f"{owner.user.name}:x:7:\n")
    code = """
with kb.Engine() as box:
    print(json.dumps(sh(box, "cat /etc/passwd; tail -n 1 /etc/group; echo $HOME; pwd", workdir="/tmp")))
"""
    uid, gid = owner.own
    lines = [f"{owner.user.name}:*:{uid}:{gid}:{owner.user.name}:/tmp:/bin/sh", f"{gid}:*:{gid}:", "/tmp", "/tmp"]
    assert owner.run(code) == [0, "".join(f"{line}\n" for line in lines), ""]


def test_with_everything(owner: Owner) -> None:
    """What else an ordinary user's containers have works as without it; others of the same engine are as they were."""
    code = """
found = {}
with kb.Engine() as box:
    found["terminal"] = sh(box, "tty; stat -c %u /dev/pts/0; echo x > /dev/tty", tty=True)
    found["input"] = sh(box, "cat", input=b"given")
    found["tmpfs"] = sh(box, "stat -c %u /t; touch /t/x", tmpfs=[f"/t:uid={os.getuid()},mode=700"])
    found["read only"] = sh(box, "touch /x 2>/dev/null || echo refused", read_only=True)
    found["init"] = sh(box, "echo $$", init=True)
    found["privileged"] = sh(box, "id -u", privileged=True)
    found["host"] = box.run("host", ["sh", "-c", "id -u; touch /x /tmp/x"], userns="keep-id").stdout
    found["auto"] = box.run(IMAGE, ["id", "-u"]).stdout
    found["again"] = sh(box, "id -u")
print(json.dumps(found))
"""
    uid = owner.own[0]
    found = owner.run(code)
    assert found["terminal"] == [0, f"/dev/pts/0\r\n{uid}\r\nx\r\n", ""]
    assert found["input"] == [0, "given", ""]
    assert found["tmpfs"] == [0, f"{uid}\n", ""]
    assert found["read only"] == [0, "refused\n", ""]
    assert found["init"] == [0, "2\n", ""]
    assert found["privileged"] == [0, f"{uid}\n", ""]
    assert (found["host"], found["auto"], found["again"]) == (f"{uid}\n", "0\n", [0, f"{uid}\n", ""])


KEPT = """
import io, tarfile
said, archive = {}, io.BytesIO()
with tarfile.open(fileobj=archive, mode="w") as tar:
    tar.addfile(tarfile.TarInfo("put"))
archive.seek(0)
with kb.Engine() as box:
    container = box.containers.create(IMAGE, ["sh", "-c", "id -u; trap 'exit 7' TERM; touch /ready; while :; do "
        "sleep 0.05; done"], name="mine", userns="keep-id", volumes=[f"{HOME}/homework:/work"])
    container.start()
    while container.exec(["ls", "/ready"]).exit_code:
        pass
    said["exec"] = container.exec(["sh", "-c", "id -u; touch /work/by-exec; whoami; echo $HOME"]).stdout
    said["root"] = container.exec(["id", "-u"], user="0").exit_code if os.environ["IDS"] == "many" else 0
    said["spaces"] = len({container.exec(["readlink", f"/proc/{who}/ns/user"]).stdout for who in ("1", "self")})
    said["mode"] = container.attrs["HostConfig"]["UsernsMode"]
    box.containers.get("mine").put_archive("/", archive)
    said["put"] = container.exec(["stat", "-c", "%u:%g", "/put"]).stdout
    os.kill(box.containers.monitor._pid, 9)
    while box.containers.monitor.alive:
        pass
    said["taken over"] = container.reload().status
    said["exec again"] = container.exec(["id", "-u"]).stdout
    said["run beside"] = sh(box, "id -u")
    said["stopped"] = container.stop(10).exit_code
    said["logs"] = container.logs()
    said["diff"] = sorted(each.path for each in container.diff())
    said["again"] = container.start().status
    container.remove(force=True)
print(json.dumps(said))
"""


def test_a_kept_one(owner: Owner) -> None:
    """Its whole life, in which its monitor is killed."""
    homework = owner.user.home / "homework"
    homework.mkdir()
    os.chown(homework, owner.user.uid, owner.user.gid)
    with an_init():
        said = owner.run(KEPT)
    uid, gid = owner.own
    assert said == {
        "exec": f"{uid}\n{owner.user.name}\n/\n", "root": 0, "spaces": 1, "mode": "keep-id", "put": f"{uid}:{gid}\n",
        "taken over": "running", "exec again": f"{uid}\n", "run beside": [0, f"{uid}\n", ""], "stopped": 7,
        "logs": f"{uid}\n", "diff": ["/put", "/ready", "/work"], "again": "running",
    }  # fmt: skip
    assert ids_of(homework / "by-exec") == owner.own


RESTARTED = """
script = "echo $(id -u) >> /seen; sleep infinity"
with kb.Engine() as box:
    container = box.containers.run(IMAGE, ["sh", "-c", script], userns="keep-id", restart="always")
    os.kill(box.containers.monitor._pid, 9)
    while box.containers.monitor.alive:
        pass
def wait_lines(count):
    while len(container.exec(["cat", "/seen"]).stdout.split()) < count:
        pass
with kb.Engine() as box:
    (container,) = box.containers.list()
    wait_lines(1)
    os.kill(container.record.pid, 9)
    while container.reload().record.restart_count < 1 or container.status != "running":
        pass
    wait_lines(2)
    seen = container.exec(["cat", "/seen"]).stdout
    container.remove(force=True)
print(json.dumps(seen))
"""


def test_one_that_is_started_again(owner: Owner) -> None:
    """By a monitor that has taken it over, for another engine than that which started it."""
    with an_init():
        assert owner.run(RESTARTED) == f"{owner.own[0]}\n" * 2


def test_the_command_line_and_a_cell(owner: Owner) -> None:
    code = """
import subprocess
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

command = [sys.executable, "-m", "kernelbox.cli", "run", "--rm", "--userns", "keep-id", IMAGE, "id", "-u"]
shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
shell.run_cell("%load_ext kernelbox").raise_error()
shell.run_cell(f"%%container -q --userns keep-id -o who {IMAGE} sh\\nid -u > $KB_OUT/who").raise_error()
shell.run_cell("%unload_ext kernelbox").raise_error()
print(json.dumps([subprocess.run(command, capture_output=True, text=True).stdout, shell.user_ns["who"]]))
"""
    uid = owner.own[0]
    assert owner.run(code) == [f"{uid}\n", f"{uid}\n"]
