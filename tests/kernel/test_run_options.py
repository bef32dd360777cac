"""Options as the program inside sees them: environment, names, user, working directory, namespaces of the machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kernelbox import Engine, RunResult
from kernelbox.errors import InvalidOption, NotFound, StartError

pytestmark = [pytest.mark.kernel, pytest.mark.root]

Sh = Callable[..., RunResult]


def test_the_environment(sh: Sh, tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("# a comment\n\nFROM_FILE=1\nBOTH=file\n")
    run = sh("env", env={"A": 1, "B": "two words", "BOTH": "option", "EMPTY": ""}, env_file=[file], hostname="there")
    assert sorted(run.stdout.splitlines()) == [
        "A=1",
        "B=two words",
        "BOTH=option",
        "EMPTY=",
        "FROM_FILE=1",
        "HOME=/root",
        "HOSTNAME=there",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PWD=/",
        "SHLVL=1",
    ]


def test_nothing_of_the_callers_environment_comes_in(sh: Sh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hidden")
    assert "hidden" not in sh("env; cat /proc/*/environ").stdout


@pytest.mark.parametrize(
    ("entrypoint", "command", "said"),
    [
        (["echo", "entry"], ["point"], "entry point\n"),
        ("echo entry", ["point"], "entry point\n"),
        ("", ["echo", "only"], "only\n"),
    ],
)
def test_entry_points(
    box: Engine, busybox_image: str, entrypoint: str | list[str], command: list[str], said: str
) -> None:
    assert box.run(busybox_image, command, entrypoint=entrypoint).stdout == said


@pytest.mark.parametrize("path", ["/tmp", "/home/alice", "/new/folder/of/ours", "/etc/../etc"])
def test_the_working_directory(sh: Sh, path: str) -> None:
    if ".." in path:
        with pytest.raises(InvalidOption, match=r"workdir: .* contains '\.\.'"):
            sh("pwd", workdir=path)
        return
    assert sh("pwd; echo > file; cat file; stat -c %u .", workdir=path).stdout.splitlines()[0] == path


def test_a_new_working_directory_is_its_users(sh: Sh) -> None:
    assert sh("stat -c '%u:%g %a' /new /new/folder", workdir="/new/folder").stdout == "0:0 755\n0:0 755\n"


@pytest.mark.parametrize("path", ["/etc/passwd", "/etc/passwd/below"])
def test_a_working_directory_that_is_none(box: Engine, busybox_image: str, path: str) -> None:
    with pytest.raises(StartError, match=r"could not .*/etc/passwd.*: not a directory"):
        box.run(busybox_image, ["true"], workdir=path)


USERS: list[tuple[str, list[str], str]] = [
    ("", [], "uid=0(root) gid=0(root)"),
    ("root", [], "uid=0(root) gid=0(root)"),
    ("alice", [], "uid=1000(alice) gid=1000(alice) groups=50(staff)"),
    ("1000", [], "uid=1000(alice) gid=1000(alice) groups=50(staff)"),
    ("alice:staff", [], "uid=1000(alice) gid=50(staff)"),
    ("alice:0", ["staff", "4321"], "uid=1000(alice) gid=0(root) groups=50(staff),4321"),
    ("4321", [], "uid=4321 gid=0(root)"),
    ("4321:8765", [], "uid=4321 gid=8765"),
    ("65534:65534", [], "uid=65534(nobody) gid=65534(nogroup)"),
    ("65535", ["65535"], "uid=65535 gid=0(root) groups=65535"),
]


@pytest.mark.parametrize(("user", "groups", "said"), USERS)
def test_users(sh: Sh, user: str, groups: list[str], said: str) -> None:
    options = {"user": user} if user else {}
    run = sh("id; grep CapEff /proc/self/status; touch /tmp/f && stat -c %u:%g /tmp/f", group_add=groups, **options)
    identity, capabilities, owner = run.stdout.splitlines()
    fields = dict(part.split("=") for part in identity.split())
    expected = dict(part.split("=") for part in said.split())
    assert (fields["uid"], fields["gid"]) == (expected["uid"], expected["gid"])
    gid = expected["gid"]
    assert set(fields.get("groups", gid).split(",")) - {gid} == set(expected.get("groups", gid).split(",")) - {gid}
    assert (capabilities.split()[1] == "0" * 16) == (not identity.startswith("uid=0"))
    assert owner == ":".join(fields[name].partition("(")[0] for name in ("uid", "gid"))


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        ("nonesuch", "the container has no user 'nonesuch'"),
        ("root:nonesuch", "the container has no group 'nonesuch'"),
        ("70000", "the user id 70000 is not among the container's ids"),
        ("0:70000", "the group id 70000 is not among the container's ids"),
        ("4294967295", "larger than"),
        ("a:b:c", "is not USER or USER:GROUP"),
        ("99999999999999999999999", "larger than"),
    ],
)
def test_users_that_are_none(box: Engine, busybox_image: str, user: str, reason: str) -> None:
    with pytest.raises(InvalidOption, match=reason) as caught:
        box.run(busybox_image, ["true"], user=user)
    assert isinstance(caught.value, NotFound) == ("has no" in reason)


def test_the_users_home(sh: Sh) -> None:
    assert sh("echo $HOME", user="alice").stdout == "/home/alice\n"
    assert sh("echo $HOME", user="alice", env={"HOME": "/tmp"}).stdout == "/tmp\n"


def test_names(sh: Sh) -> None:
    script = "hostname; cat /proc/sys/kernel/domainname /etc/hostname; hostname other 2>&1 || echo refused"
    run = sh(script, hostname="there", domainname="example.org")
    assert run.stdout.split("\n")[:3] == ["there", "example.org", "there"]
    assert "refused" in run.stdout
    assert run.container.hostname == "there"


@pytest.mark.parametrize(("umask", "mode"), [(None, "644"), ("077", "600"), (0o002, "664"), ("0", "666")])
def test_the_umask(sh: Sh, umask: str | int | None, mode: str) -> None:
    assert sh("touch /file; stat -c %a /file", umask=umask).stdout.strip() == mode


def test_read_only(sh: Sh) -> None:
    script = "for f in / /etc /root /tmp /run /dev/shm /dev; do touch $f/file 2>/dev/null && echo $f; done; true"
    assert sh(script, read_only=True).stdout.split() == ["/dev/shm", "/dev"]
    written = sh(script, read_only=True, tmpfs=["/tmp", "/run:size=1m"]).stdout.split()
    assert written == ["/tmp", "/run", "/dev/shm", "/dev"]
    assert "mount" not in sh("mount -o remount,rw / 2>/dev/null || echo refused", read_only=True).stdout


def test_tmpfs(sh: Sh) -> None:
    options = ["/tmp:size=1m,mode=1700,exec", "/run", "/new/folder:uid=1000,gid=50"]
    run = sh("stat -c '%a %u:%g' /tmp /new/folder; grep -E ' (/tmp|/run) ' /proc/self/mountinfo", tmpfs=options)
    modes, mounts = run.stdout.splitlines()[:2], run.stdout.splitlines()[2:]
    assert modes == ["1700 0:0", "1777 1000:50"]
    assert "noexec" in next(line for line in mounts if " /run " in line)
    on_tmp = next(line for line in mounts if " /tmp " in line)
    assert "noexec" not in on_tmp
    assert "size=1024k" in on_tmp
    assert "nosuid,nodev" in on_tmp


SYSCTLS = [
    ("net.core.somaxconn", "321"),
    ("net.ipv4.ip_forward", "1"),
    ("kernel.shmmax", "123456"),
    ("kernel.sem", "100 200 30 40"),
    ("fs.mqueue.msg_max", "21"),
]


def test_kernel_settings(engine: Engine, busybox_image: str) -> None:
    paths = ["/proc/sys/" + name.replace(".", "/") for name, _ in SYSCTLS]
    mine = [Path(path).read_text() for path in paths]
    run = engine.run(busybox_image, ["cat", *paths], sysctls=dict(SYSCTLS), check=True)
    assert [line.split() for line in run.stdout.splitlines()] == [value.split() for _, value in SYSCTLS]
    assert [Path(path).read_text() for path in paths] == mine
    plain = engine.run(busybox_image, ["cat", paths[1]])
    assert plain.stdout == "0\n", "a changed network namespace must not be given to the next container"


def test_ports_below_1024_and_ping_need_no_rights(engine: Engine) -> None:
    code = "from socket import *; socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP); socket().bind(('127.0.0.1', 80))"
    for user in ("0", "1000", "65535"):
        assert engine.run("host", ["python3", "-c", code], user=user).stderr == ""


NAMESPACES = ("pid", "net", "ipc", "uts", "mnt", "user", "cgroup")
SHARED: list[tuple[dict[str, Any], set[str]]] = [
    ({}, set()),
    ({"pid": "host"}, {"pid"}),
    ({"ipc": "host"}, {"ipc"}),
    ({"uts": "host"}, {"uts"}),
    ({"network": "host"}, {"net"}),
    ({"cgroupns": "host"}, {"cgroup"}),
    ({"userns": "host"}, {"user"}),
    (
        {"pid": "host", "ipc": "host", "uts": "host", "network": "host", "cgroupns": "host"},
        {"pid", "ipc", "uts", "net", "cgroup"},
    ),
    (
        {"pid": "host", "ipc": "host", "uts": "host", "network": "host", "cgroupns": "host", "userns": "host"},
        {"pid", "ipc", "uts", "net", "cgroup", "user"},
    ),
]


@pytest.mark.parametrize(("options", "shared"), SHARED, ids=lambda each: " ".join(each) or "none")
def test_namespaces(engine: Engine, busybox_image: str, options: dict[str, Any], shared: set[str]) -> None:
    script = "for n in pid net ipc uts mnt user cgroup; do readlink /proc/self/ns/$n; done"
    run = engine.run(busybox_image, ["sh", "-c", script], **options, check=True)
    inside = dict(zip(NAMESPACES, run.stdout.split(), strict=True))
    same = {name for name in NAMESPACES if inside[name] == os.readlink(f"/proc/self/ns/{name}")}
    assert same == shared


def test_the_machines_network(engine: Engine, busybox_image: str) -> None:
    script = "cut -d: -f1 -s /proc/net/dev | sort; hostname; cat /etc/resolv.conf"
    run = engine.run(busybox_image, ["sh", "-c", script], network="host", check=True)
    for interface in os.listdir("/sys/class/net"):
        assert interface in run.stdout
    assert os.uname().nodename in run.stdout
    resolver = Path("/etc/resolv.conf")
    assert not resolver.exists() or resolver.read_text() in run.stdout


def test_the_machines_processes_can_be_seen_and_not_harmed(engine: Engine, busybox_image: str) -> None:
    script = (
        f"test -d /proc/{os.getpid()} && echo seen; kill -9 {os.getpid()} 2>&1; ls -l /proc/{os.getpid()}/root 2>&1"
    )
    run = engine.run(busybox_image, ["sh", "-c", script], pid="host")
    assert "seen" in run.stdout
    assert run.stdout.lower().count("permission denied") + run.stdout.lower().count("not permitted") >= 2


def test_one_name_at_a_time(engine: Engine, busybox_image: str) -> None:
    for _ in range(2):
        assert engine.run(busybox_image, ["true"], name="the-one").container.name == "the-one"


def test_labels_and_annotations_change_nothing(sh: Sh) -> None:
    assert sh("true", labels={"a": "b"}, annotations={"c": "d"}, stop_signal="INT", interactive=True).exit_code == 0
