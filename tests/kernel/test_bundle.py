"""OCI bundles: by hand, by runc and by umoci, with namespaces, ids and terminals of their own."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import bundles
import pytest
from bundles import Bundle, Change, args

from kernelbox import Engine
from kernelbox.errors import CommandNotFound, InvalidOption, KernelBoxError, NotSupported, StartError
from kernelbox.linux import namespaces

pytestmark = [pytest.mark.kernel, pytest.mark.root]


def tool(name: str) -> str:
    found = shutil.which(name)
    if not found:
        pytest.skip(f"{name} is not installed")
    return found


def test_what_runc_specifies(engine: Engine, bundle: Bundle) -> None:
    name = bundle()
    folder = Path(name.removeprefix("bundle:"))
    (folder / "config.json").unlink()
    subprocess.run([tool("runc"), "spec"], cwd=folder, check=True)
    config = json.loads((folder / "config.json").read_text())
    script = "hostname; pwd; echo $TERM; ulimit -n; touch /file 2>&1; grep -E 'CapEff|NoNewPrivs' /proc/self/status"
    config["process"] |= {"terminal": False, "args": ["sh", "-c", script]}
    run = engine.run(bundles.write(folder, config))
    words = run.stdout.split("\n")
    assert words[:4] == ["runc", "/", "xterm", "1024"]
    assert "Read-only" in words[4]
    assert words[5].split()[1] == "0000000020000420"
    assert words[6].split()[1] == "1"
    assert run.exit_code == 0
    assert run.limits.applied.get("memory") is None


def test_the_command_may_be_given(engine: Engine, bundle: Bundle) -> None:
    name = bundle(args("sh"))
    assert engine.run(name, ["echo", "given"]).stdout == "given\n"
    assert engine.run(name, input="echo input").stdout == "input\n"
    with pytest.raises(CommandNotFound, match="nonesuch"):
        engine.run(name, ["nonesuch"])


def test_a_bundle_is_written_in_place(engine: Engine, bundle: Bundle) -> None:
    def change(config: dict[str, Any]) -> None:
        config["root"]["readonly"] = False
        config["process"]["args"] = ["sh", "-c", "echo kept > /file; stat -c %u:%g /"]

    name = bundle(change)
    assert engine.run(name).stdout == "0:0\n"
    kept = Path(name.removeprefix("bundle:"), "rootfs/file")
    assert kept.read_text() == "kept\n"
    assert kept.stat().st_uid == 0


def test_limits_and_settings(engine: Engine, bundle: Bundle) -> None:
    def change(config: dict[str, Any]) -> None:
        config["process"]["args"] = [
            "sh",
            "-c",
            "tail /dev/zero & wait $!; echo $?; cat /proc/sys/kernel/shmmax; umask",
        ]
        config["process"]["user"] = {"uid": 1000, "gid": 1000, "additionalGids": [50], "umask": 0o77}
        config["linux"]["resources"]["memory"] = {"limit": 32 << 20, "swap": 32 << 20}
        config["linux"]["resources"]["pids"] = {"limit": 50}
        config["linux"]["sysctl"] = {"kernel.shmmax": "4321"}

    run = engine.run(bundle(change))
    assert run.stdout.split() == ["137", "4321", "0077"]
    assert run.oom_killed
    assert run.limits.applied == {**run.limits.applied, "memory": 32 << 20, "pids": 50}


def test_a_terminal(engine: Engine, bundle: Bundle) -> None:
    def change(config: dict[str, Any]) -> None:
        config["process"]["terminal"] = True
        config["process"]["args"] = ["sh", "-c", "tty; stty size; echo err >&2"]
        config["process"]["consoleSize"] = {"height": 33, "width": 101}

    run = engine.run(bundle(change))
    assert run.stdout.split() == ["/dev/pts/0", "33", "101", "err"], run.stdout
    assert run.stderr == ""


def test_other_ids(engine: Engine, bundle: Bundle) -> None:
    """The bundle's own user namespace: its root belongs to those ids on the machine."""

    def change(config: dict[str, Any]) -> None:
        config["linux"]["namespaces"].append({"type": "user"})
        for kind in ("uidMappings", "gidMappings"):
            config["linux"][kind] = [{"containerID": 0, "hostID": 300_000, "size": 2000}]
        config["root"]["readonly"] = False
        config["process"]["args"] = ["sh", "-c", "cat /proc/self/uid_map; id -u; stat -c %u:%g / /dev; touch /file"]

    name = bundle(change)
    rootfs = Path(name.removeprefix("bundle:"), "rootfs")
    for path in (rootfs, *rootfs.rglob("*")):
        os.lchown(path, 300_000, 300_000)
    run = engine.run(name)
    assert run.stdout.split() == ["0", "300000", "2000", "0", "0:0", "0:0"], run.stderr
    assert (rootfs / "file").stat().st_uid == 300_000


def test_a_user_namespace_without_ids_is_refused(engine: Engine, bundle: Bundle) -> None:
    with pytest.raises(KernelBoxError, match=r"uidMappings"):
        engine.run(bundle(lambda config: config["linux"]["namespaces"].append({"type": "user"})))


def test_clocks_of_its_own(engine: Engine, bundle: Bundle) -> None:
    if not namespaces.time_is_entered_by_exec():
        with pytest.raises(NotSupported, match=r"a time namespace needs Linux 6\.3"):
            engine.run(bundle(lambda config: config["linux"]["namespaces"].append({"type": "time"})))
        return

    def change(config: dict[str, Any]) -> None:
        config["linux"]["namespaces"].append({"type": "time"})
        config["linux"]["timeOffsets"] = {
            "boottime": {"secs": 1_000_000},
            "monotonic": {"secs": 2_000_000, "nanosecs": 5},
        }
        config["process"]["args"] = [
            "sh",
            "-c",
            "cat /proc/uptime /proc/self/timens_offsets; readlink /proc/self/ns/time",
        ]

    run = engine.run(bundle(change))
    words = run.stdout.split()
    up = float(Path("/proc/uptime").read_text().split()[0])
    assert 1_000_000 <= float(words[0]) <= up + 1_000_000
    assert words[2:8] == ["monotonic", "2000000", "5", "boottime", "1000000", "0"]
    assert words[8] != os.readlink("/proc/self/ns/time")


def test_namespaces_that_are_joined(engine: Engine, bundle: Bundle) -> None:
    """Those of another process, by path: here of this one."""

    def change(config: dict[str, Any]) -> None:
        for space in config["linux"]["namespaces"]:
            if space["type"] in ("network", "uts", "ipc"):
                space["path"] = f"/proc/{os.getpid()}/ns/{'net' if space['type'] == 'network' else space['type']}"
        del config["hostname"]
        config["process"]["args"] = ["readlink", "/proc/self/ns/net", "/proc/self/ns/uts", "/proc/self/ns/ipc"]

    name = bundle(change)
    run = engine.run(name, ["sh", "-c", "for n in net uts ipc; do readlink /proc/self/ns/$n; done"])
    assert run.stdout.split() == [os.readlink(f"/proc/self/ns/{kind}") for kind in ("net", "uts", "ipc")]


@pytest.mark.parametrize("kind", ["pid", "mount"])
def test_namespaces_that_cannot_be_joined(engine: Engine, bundle: Bundle, kind: str) -> None:
    def change(config: dict[str, Any]) -> None:
        for space in config["linux"]["namespaces"]:
            if space["type"] == kind:
                space["path"] = f"/proc/{os.getpid()}/ns/{'mnt' if kind == 'mount' else kind}"

    with pytest.raises(NotSupported, match=f"joining an existing {kind} namespace"):
        engine.run(bundle(change))


def test_a_namespace_that_is_none(engine: Engine, bundle: Bundle, tmp_path: Path) -> None:
    """Opening a FIFO waits for its other end: here it must not."""
    os.mkfifo(tmp_path / "fifo")

    def change(config: dict[str, Any]) -> None:
        config["linux"]["namespaces"] = [each for each in config["linux"]["namespaces"] if each["type"] != "network"]
        config["linux"]["namespaces"].append({"type": "network", "path": str(tmp_path / "fifo")})

    with pytest.raises(StartError, match="join the net namespace: invalid argument"):
        engine.run(bundle(change))


def test_mounts_of_all_kinds(engine: Engine, bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/file").write_text("shared")

    def change(config: dict[str, Any]) -> None:
        config["mounts"] += [
            {"destination": "/in", "type": "bind", "source": str(tmp_path / "shared"), "options": ["rbind", "ro"]},
            {"destination": "/etc/motd", "source": str(tmp_path / "shared/file"), "options": ["bind"]},
            {
                "destination": "/scratch",
                "type": "tmpfs",
                "source": "tmpfs",
                "options": ["size=1m", "mode=1777", "nosuid"],
            },
            {"destination": "/made/for/it", "type": "ramfs", "source": "ramfs"},
        ]
        config["root"]["readonly"] = False
        script = (
            "cat /in/file /etc/motd; echo x > /in/new; echo; stat -f -c %T /scratch /made/for/it; stat -c %a /scratch"
        )
        config["process"]["args"] = ["sh", "-c", script]

    run = engine.run(bundle(change))
    assert run.stdout.split() == ["sharedshared", "tmpfs", "ramfs", "1777"], run.stderr
    assert "Read-only" in run.stderr
    assert sorted(os.listdir(tmp_path / "shared")) == ["file"]


def without(kind: str, config: dict[str, Any]) -> dict[str, Any]:
    """As if that namespace were the machine's, whose name stays what it is even if nothing refuses."""
    config["hostname"] = socket.gethostname()
    config["linux"]["namespaces"] = [each for each in config["linux"]["namespaces"] if each["type"] != kind]
    return config


CHANGES: list[tuple[Change, str]] = [
    (lambda c: c.pop("process"), r"process"),
    (lambda c: c["process"].update(args=[]), r"process\.args"),
    (lambda c: c["process"].update(cwd="relative"), r"cwd"),
    (lambda c: c["process"].update(cwd=7), r"process\.cwd"),
    (lambda c: c["process"]["rlimits"].append({"type": "RLIMIT_WHAT", "soft": 1, "hard": 1}), r"unknown limit"),
    (lambda c: c["linux"]["namespaces"].append({"type": "nonesuch"}), r"nonesuch"),
    (lambda c: c.update(hostname="") or c["linux"].update(namespaces=[]), r"mount namespace"),
    (lambda c: c["mounts"].append({"destination": "/x", "type": "bind", "source": "/nonesuch"}), r"/nonesuch"),
    (lambda c: c["mounts"].append({"destination": "/x", "type": "nosuchfs"}), r"nosuchfs"),
    (lambda c: c["root"].update(path="nonesuch"), r"root file system .*nonesuch is not a folder"),
    (lambda c: c["process"]["capabilities"].update(bounding=["CAP_NONESUCH"]), r"CAP_NONESUCH"),
    (lambda c: c.update(ociVersion="9.0"), r"ociVersion|9\.0"),
    (lambda c: c["linux"].update(sysctl={"vm.swappiness": "1"}), r"vm\.swappiness is a setting of the whole machine"),
    (lambda c: c["linux"].update(uidMappings=[{"containerID": 0, "hostID": 1, "size": 1}]), r"user namespace"),
    (lambda c: without("uts", c), r"hostname needs a new uts namespace"),
    (lambda c: without("ipc", c)["linux"].update(sysctl={"kernel.shmmax": "1"}), r"kernel\.shmmax needs a new ipc"),
    (lambda c: c["linux"].update(timeOffsets={"boottime": {"secs": 1}}), r"timeOffsets needs a new time namespace"),
    (lambda c: c.update(mounts=[]) or c["process"].update(terminal=True), r"devpts"),
]


@pytest.mark.parametrize(("change", "reason"), CHANGES, ids=[reason for _, reason in CHANGES])
def test_configurations_that_cannot_be(engine: Engine, bundle: Bundle, change: Change, reason: str) -> None:
    with pytest.raises(KernelBoxError, match=reason):
        engine.run(bundle(change))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"ociVersion": "1.0.0"}', "\x00", "{}"])
def test_a_configuration_that_is_none(engine: Engine, bundle: Bundle, text: str) -> None:
    name = bundle()
    Path(name.removeprefix("bundle:"), "config.json").write_text(text)
    with pytest.raises(InvalidOption):
        engine.run(name, ["true"])


def test_an_image_that_umoci_unpacked(engine: Engine, busybox_rootfs: Path, tmp_path: Path) -> None:
    umoci = tool("umoci")
    layout = tmp_path / "layout"

    def call(*arguments: str) -> None:
        subprocess.run([umoci, *arguments], check=True, capture_output=True)

    call("init", "--layout", str(layout))
    call("new", "--image", f"{layout}:test")
    call("insert", "--image", f"{layout}:test", str(busybox_rootfs), "/")
    configured = ["--config.cmd", "sh", "--config.env", "FROM_IMAGE=yes", "--config.workingdir", "/tmp"]
    call("config", "--image", f"{layout}:test", *configured, "--config.user", "1000:50")
    call("unpack", "--image", f"{layout}:test", str(tmp_path / "unpacked"))
    script = "pwd; echo $FROM_IMAGE; id -u; id -g; ls /bin | wc -l"
    run = engine.run(f"bundle:{tmp_path}/unpacked", ["sh", "-c", script])
    assert run.stdout.split() == ["/tmp", "yes", "1000", "50", str(len(os.listdir(busybox_rootfs / "bin")))], run.stderr
