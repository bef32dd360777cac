"""The same engine for an ordinary user: what works without root, what is said about the rest."""

from __future__ import annotations

import json
import os
from typing import Any

import bundles
import leaks
import ordinary_user
import pytest

from kernelbox.engine.host_image import python_folders

pytestmark = pytest.mark.kernel

PROLOGUE = """
import json, os, sys
import kernelbox as kb
from kernelbox.errors import *

IMAGE = os.environ["IMAGE"]
"""


@pytest.fixture
def user(container_user: ordinary_user.User) -> ordinary_user.User:
    return container_user


@pytest.fixture
def image(own_busybox: str) -> str:
    return own_busybox


def run(user: ordinary_user.User, image: str, code: str, **environment: str) -> Any:
    """Runs the code as that user; what it prints as its last line is JSON. Nothing of it may stay in the store."""
    done = user.python(PROLOGUE + code, IMAGE=image, **environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    store = user.home / ".local/share/kernelbox"
    assert leaks.left_in_store(store) == []
    assert not list((user.home / "run/kernelbox").glob("*/monitor.sock"))
    return json.loads(done.stdout.splitlines()[-1])


ONE = """
with kb.Engine() as box:
    run = box.run({image}, {command!r}, {options})
    print(json.dumps([run.exit_code, run.stdout, run.stderr, run.timed_out, run.oom_killed, run.limits.notes]))
"""


def once(user: ordinary_user.User, image: str, *command: str, options: str = "") -> tuple[int, str, str]:
    name = "'host'" if image == "host" else "IMAGE"
    code, out, err, *_ = run(user, image, ONE.format(image=name, command=list(command), options=options))
    return code, out, err


def test_host(user: ordinary_user.User) -> None:
    """The machine's programs, which stay as they are; its homes are not there, but for where this Python lives."""
    code, out, err = once(
        user, "host", "sh", "-c", "id -u; python3 -c 'print(6 * 7)'; touch /etc/mine /mine && ls /mine"
    )
    assert (code, out, err) == (0, "0\n42\n/mine\n", "")
    code, out, err = once(user, "host", "sh", "-c", "touch /usr/mine")
    assert (code, out) == (1, "")
    assert "Read-only file system" in err
    for home in ("home", "root"):
        kept = sorted({folder.parts[2] for folder in python_folders() if folder.parts[1] == home})
        assert once(user, "host", "ls", "-A", f"/{home}") == (0, "".join(f"{name}\n" for name in kept), "")


def test_dir(user: ordinary_user.User, image: str) -> None:
    script = "id -u; echo new > /file; cat /file; rm /etc/group; ls /etc; exit 7"
    assert once(user, image, "sh", "-c", script) == (7, "0\nnew\nhostname\nhosts\npasswd\nresolv.conf\n", "")


def test_the_image_stays_as_it_is(user: ordinary_user.User, image: str) -> None:
    before = sorted(str(path) for path in (user.home / "image").rglob("*"))
    once(user, image, "sh", "-c", "touch /new /etc/new; rm -rf /home /root")
    assert sorted(str(path) for path in (user.home / "image").rglob("*")) == before


def test_an_image_of_somebody_else(user: ordinary_user.User, busybox_image: str) -> None:
    """It runs; what is missing in its folders cannot be made there, and that is said."""
    code, out, err, _, _, notes = run(
        user, busybox_image, ONE.format(image="IMAGE", command=["ls", "/etc"], options="")
    )
    assert (code, out.split(), err) == (0, ["group", "passwd"], "")
    for name in ("hosts", "hostname", "resolv.conf"):
        assert f"/etc/{name} is not the container's own: its folder in the image is somebody else's" in notes


@pytest.mark.parametrize(
    ("script", "expected"),
    [("exit 255", 255), ("kill -9 $$; exit 4", 4), ("sh -c 'kill -9 $$'; exit $?", 137), ("cat", 0)],
)
def test_exit_codes(user: ordinary_user.User, image: str, script: str, expected: int) -> None:
    assert once(user, image, "sh", "-c", script, options="input=b'x'")[0] == expected


MANY = """
with kb.Engine() as box:
    found = {}
    for name, (command, options) in RUNS.items():
        try:
            run = box.run(IMAGE, ["sh", "-c", command], **options)
            found[name] = [run.exit_code, run.stdout, run.timed_out]
        except KernelBoxError as error:
            found[name] = [type(error).__name__, str(error)]
    print(json.dumps(found))
"""


def test_many_things(user: ordinary_user.User, image: str) -> None:
    """One engine, one after the other; what each gives is below."""
    folder = user.home / "mine"
    folder.mkdir()
    (folder / "file").write_text("content\n")
    closed = user.home / "closed"
    closed.mkdir(mode=0o700)
    for path in (folder, folder / "file"):
        os.chown(path, user.uid, user.gid)
    runs: dict[str, tuple[str, dict[str, Any]]] = {
        "network": ("cut -d: -f1 -s /proc/net/dev; ip -o addr | grep -c 127.0.0.1/8; ls /sys/class/net", {}),
        "timeout": ("trap '' TERM; setsid sleep infinity & sleep infinity", {"timeout": 0.2}),
        "rights": ("grep -E 'CapEff|Seccomp:' /proc/self/status", {}),
        "hidden": (
            "cat /proc/keys /proc/cmdline; (echo > /proc/sys/kernel/domainname) 2>/dev/null || echo refused",
            {},
        ),
        "devices": ("echo > /dev/null; head -c 2 /dev/zero | wc -c; test -c /dev/tty; ls /dev/pts", {}),
        "terminal": ("tty", {"tty": True}),
        "names": ("hostname; cat /etc/hostname", {"hostname": "there"}),
        "missing": ("exec nonesuch", {}),
        "unknown user": ("true", {"user": "4000000000"}),
        "read only": ("touch /x 2>/dev/null || echo refused", {"read_only": True}),
        "tmpfs": ("stat -f -c %T /scratch; stat -c %a /scratch", {"tmpfs": ["/scratch:size=1m,mode=1777"]}),
        "shm": ("df -k /dev/shm | tail -n 1 | awk '{print $2}'", {"shm_size": "8m"}),
        "files": ("ulimit -n", {"ulimits": ["nofile=64"]}),
        "pid 1": ("echo $$; ls -d /proc/[0-9]* | wc -l", {}),
        "descriptors": ("ls /proc/self/fd", {}),
        "privileged": ("mkdir /m; mount -t tmpfs x /m && echo mounted", {"privileged": True}),
        "the machine's network": ("hostname", {"network": "host"}),
        "volume": (
            "cat /in/file; echo more >> /in/file; touch /in/new; stat -c %u:%g /in/new",
            {"volumes": [f"{folder}:/in"]},
        ),
        "read-only volume": ("touch /in/x 2>/dev/null || echo refused", {"volumes": [f"{folder}:/in:ro"]}),
        "somebody else's": ("ls /in", {"volumes": [f"{closed}:/in"]}),
    }
    found = run(user, image, f"RUNS = {runs!r}" + MANY)
    assert found["network"] == [0, "    lo\n1\nlo\n", False]
    assert found["timeout"] == [137, "", True]
    assert found["rights"][1].split()[3] == "2"
    assert found["hidden"][1] == "refused\n"
    assert found["devices"] == [0, "2\nptmx\n", False]
    assert found["terminal"] == [0, "/dev/pts/0\r\n", False]
    assert found["names"] == [0, "there\nthere\n", False]
    assert found["missing"][0] == 127
    assert found["unknown user"][0] == "InvalidOption"
    assert "the user id 4000000000 is not among the container's ids" in found["unknown user"][1]
    assert found["read only"][1] == "refused\n"
    assert found["tmpfs"][1] == "tmpfs\n1777\n"
    assert found["shm"][1] == "8192\n"
    assert found["files"][1] == "64\n"
    assert found["pid 1"][1].split()[0] == "1"
    assert int(found["pid 1"][1].split()[1]) <= 3
    assert found["descriptors"][1].split() == ["0", "1", "2", "3"]
    assert found["privileged"][1] == "mounted\n"
    assert found["the machine's network"][1].strip() == os.uname().nodename
    assert found["volume"][1] == "content\n0:0\n"
    assert found["read-only volume"][1] == "refused\n"
    assert found["somebody else's"] == [1, "", False]
    assert ((folder / "new").stat().st_uid, (folder / "file").read_text()) == (user.uid, "content\nmore\n")


def test_errors_of_the_start(user: ordinary_user.User, image: str) -> None:
    code = """
found = []
with kb.Engine() as box:
    for image, command, options in [
        (IMAGE, ["nonesuch"], {}), (IMAGE, ["/etc/passwd"], {}), ("nonesuch", ["true"], {}),
        (IMAGE, ["true"], {"workdir": "/etc/passwd"}), (IMAGE, ["true"], {"volumes": ["/nonesuch:/x"]}),
    ]:
        try:
            box.run(image, command, **options)
        except KernelBoxError as error:
            found.append(type(error).__name__)
    found.append(box.run(IMAGE, ["echo", "still"]).stdout)
print(json.dumps(found))
"""
    names = ["CommandNotFound", "CommandNotExecutable", "ImageNotFound", "StartError", "InvalidOption", "still\n"]
    assert run(user, image, code) == names


IN_FORCE = {
    "memory": "memory.max 67108864",
    "cpu_quota": "cpu.max 50000 100000",
    "pids": "pids.max 50",
    "cpuset_cpus": "cpuset.cpus 0",
}
"""Limits, by the names that sentences have for them, and what files of the container's own group say."""


def test_limits_are_set_or_said(user: ordinary_user.User, image: str) -> None:
    """Each limit is in force, or a sentence says why not."""
    script = "cd /sys/fs/cgroup; for file in *.max cpuset.cpus; do [ ! -e $file ] || echo $file $(cat $file); done"
    options = "memory='64m', cpus=0.5, pids_limit=50, cpuset_cpus='0'"
    code, out, err, *_, notes = run(
        user, image, ONE.format(image="IMAGE", command=["sh", "-c", script], options=options)
    )
    assert (code, err) == (0, "")
    said = {limit for limit in IN_FORCE if [note for note in notes if note.startswith(f"{limit}: ")]}
    set_ = {limit for limit, line in IN_FORCE.items() if line in out.splitlines()}
    assert said | set_ == IN_FORCE.keys(), (out, notes)
    assert not said & set_, (out, notes)


def test_a_fork_bomb(user: ordinary_user.User, image: str) -> None:
    bomb = "(f() { f | f & f; }; f); sleep infinity"
    code, _, _, timed_out, *_ = run(
        user, image, ONE.format(image="IMAGE", command=["sh", "-c", bomb], options="timeout=1")
    )
    assert (code, timed_out) == (137, True)


def test_costs_without_groups(user: ordinary_user.User, image: str) -> None:
    code = """
with kb.Engine() as box:
    run = box.run(IMAGE, ["sh", "-c", "i=0; while [ $i -lt 10000 ]; do i=$((i + 1)); done"])
    print(json.dumps([run.usage._asdict(), len(run.explain()), run.stdout]))
"""
    usage, steps, _ = run(user, image, code)
    assert usage["cpu_usage_seconds"] > 0
    assert usage["memory_peak_bytes"] > 0
    assert steps > 20


def test_jobs_at_once_and_one_that_is_left_running(user: ordinary_user.User, image: str) -> None:
    code = """
box = kb.Engine()
jobs = [box.start(IMAGE, ["sh", "-c", f"echo {n}; exit {n}"]) for n in range(6)]
forgotten = box.start(IMAGE, ["sleep", "infinity"])
print(json.dumps([[job.wait(60).exit_code, job.wait().stdout] for job in jobs]))
forgotten.kill()
forgotten.wait(60)
box.close()
"""
    assert run(user, image, code) == [[n, f"{n}\n"] for n in range(6)]


def test_a_bundle(user: ordinary_user.User, image: str) -> None:
    config = bundles.rootless_config(user.uid, user.gid)
    bundles.args("sh", "-c", "id -u; hostname; cat /proc/self/uid_map")(config)
    config["root"]["path"] = image.removeprefix("dir:")
    name = bundles.write(user.home / "bundle", config)
    code = f"""
with kb.Engine() as box:
    run = box.run("{name}")
    print(json.dumps([run.exit_code, run.stdout, run.stderr]))
"""
    status, out, err = run(user, image, code)
    assert (status, out.split()[:4]) == (0, ["0", "runc", "0", str(user.uid)]), err
