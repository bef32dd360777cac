"""What a container may do: capabilities, set-user-id programs, system call filters, devices, and being privileged."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kernelbox import Engine, RunResult
from kernelbox.errors import InvalidOption, KernelBoxError, NotSupported
from kernelbox.linux import capabilities, mounts

pytestmark = [pytest.mark.kernel, pytest.mark.root]

Sh = Callable[..., RunResult]
STATUS = "grep -E 'Cap|NoNewPrivs|Seccomp:' /proc/self/status"
DEFAULT = (
    "CHOWN DAC_OVERRIDE FOWNER FSETID KILL NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID SYS_CHROOT"  # podman's eleven
)


def status(result: RunResult) -> dict[str, int]:
    return {name.rstrip(":"): int(value, 16) for name, value in (line.split() for line in result.stdout.splitlines())}


def mask(names: str) -> int:
    return capabilities.parse(names.split())


OWN = capabilities.current().permitted
EVERY = (1 << 1 + int(Path("/proc/sys/kernel/cap_last_cap").read_text())) - 1
SETS: list[tuple[dict[str, Any], int, int]] = [
    ({}, mask(DEFAULT), mask(DEFAULT)),
    ({"user": "alice"}, mask(DEFAULT), 0),
    ({"cap_drop": ["ALL"]}, 0, 0),
    ({"cap_drop": "all", "cap_add": ["chown", "CAP_KILL"]}, mask("CHOWN KILL"), mask("CHOWN KILL")),
    ({"cap_drop": ["SETUID"]}, mask(DEFAULT) & ~mask("SETUID"), mask(DEFAULT) & ~mask("SETUID")),
    ({"cap_add": ["NET_ADMIN"]}, mask(DEFAULT + " NET_ADMIN"), mask(DEFAULT + " NET_ADMIN")),
    ({"cap_add": ["ALL"]}, EVERY, EVERY),
    ({"privileged": True}, EVERY, EVERY),
]


@pytest.mark.parametrize(("options", "bounding", "effective"), SETS, ids=lambda each: str(each)[:40])
def test_capabilities(
    engine: Engine, busybox_image: str, options: dict[str, Any], bounding: int, effective: int
) -> None:
    found = status(engine.run(busybox_image, ["sh", "-c", STATUS], **options))
    assert capabilities.names(found["CapBnd"]) == capabilities.names(bounding)
    assert found["CapEff"] == found["CapPrm"] == effective
    assert found["CapInh"] == found["CapAmb"] == 0
    assert found["NoNewPrivs"] == 0
    assert found["Seccomp"] == (0 if options.get("privileged") else 2)


@pytest.fixture(scope="module")
def setuid_image(tmp_path_factory: pytest.TempPathFactory, busybox_rootfs: Path) -> str:
    """Busybox with a program that is root's whoever runs it."""
    image = tmp_path_factory.mktemp("setuid") / "image"
    subprocess.run(["cp", "-a", busybox_rootfs, image], check=True)
    (image / "bin/su").unlink()
    shutil.copy(image / "bin/busybox", image / "bin/su")  # the one applet that keeps the rights of its file
    (image / "bin/su").chmod(0o4755)
    (image / "etc/shadow").write_text("root::1::::::\n")
    return f"dir:{image}"


@pytest.mark.leaves("descriptors", reason="the engine keeps the mount of an image for its next run")
def test_set_user_id_programs(box: Engine, setuid_image: str) -> None:
    su = ["sh", "-c", "/bin/su -s /bin/sh root -c 'id -u; grep CapEff /proc/self/status'"]
    plain = box.run(setuid_image, su, user="alice")
    assert plain.stdout.split()[:2] == ["0", "CapEff:"], plain.stderr
    assert int(plain.stdout.split()[2], 16) == mask(DEFAULT)
    closed = box.run(setuid_image, su, user="alice", security_opt=["no-new-privileges"])
    assert closed.exit_code != 0
    assert "0" not in closed.stdout.split()


def test_no_new_privileges(sh: Sh) -> None:
    found = status(sh(STATUS, security_opt=["no-new-privileges"]))
    assert (found["NoNewPrivs"], found["Seccomp"]) == (1, 2)


MOUNT = "mkdir -p /x && mount -t tmpfs none /x && touch /x/file && umount /x && echo mounted"


@pytest.mark.parametrize("options", [{"privileged": True}, {"cap_add": ["SYS_ADMIN"]}], ids=["privileged", "SYS_ADMIN"])
def test_mounts_of_its_own(engine: Engine, busybox_image: str, options: dict[str, Any]) -> None:
    """They are its own user namespace's, and never seen outside."""
    before = mounts.mountinfo()
    run = engine.run(busybox_image, ["sh", "-c", MOUNT], **options)
    assert run.stdout == "mounted\n", run.stderr
    assert mounts.mountinfo() == before
    script = "mount --bind / /mnt 2>/dev/null; mount -o remount,rw /proc/sys; umount -l /proc/sys /proc /sys; true"
    engine.run(busybox_image, ["sh", "-c", f"mkdir -p /mnt; {script}"], **options)
    assert mounts.mountinfo() == before


def test_no_mounts_without_that_capability(sh: Sh) -> None:
    assert sh(f"({MOUNT}) 2>/dev/null || echo refused").stdout == "refused\n"


FILTERED = "unshare -U true 2>/dev/null && echo unshared; mkdir /a 2>/dev/null && echo made; uname -s"


def profile(action: str, names: list[str]) -> str:
    return json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": names, "action": action}]})


def test_the_filter_and_others(sh: Sh, tmp_path: Path) -> None:
    assert sh(FILTERED).stdout.split() == ["made", "Linux"]
    assert sh(FILTERED, security_opt=["seccomp=unconfined"]).stdout.split() == ["unshared", "made", "Linux"]
    mine = tmp_path / "profile.json"
    mine.write_text(profile("SCMP_ACT_ERRNO", ["mkdir", "mkdirat"]))
    assert sh(FILTERED, security_opt=[f"seccomp={mine}"]).stdout.split() == ["unshared", "Linux"]
    inline = profile("SCMP_ACT_ERRNO", ["mkdir", "mkdirat", "unshare"])
    assert sh(FILTERED, security_opt=[f"seccomp={inline}"]).stdout.split() == ["Linux"]


def test_a_filter_that_kills(box: Engine, busybox_image: str) -> None:
    inline = profile("SCMP_ACT_KILL_PROCESS", ["mkdir", "mkdirat"])
    run = box.run(busybox_image, ["sh", "-c", "sh -c 'mkdir /a'; echo $?"], security_opt=[f"seccomp={inline}"])
    assert run.stdout.split()[-1] == "159"


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("seccomp=/nonesuch.json", "the seccomp profile '/nonesuch.json' cannot be read"),
        ("seccomp={", "seccomp profile"),
        ('seccomp={"defaultAction": "SCMP_ACT_WHAT"}', "SCMP_ACT_WHAT"),
        ("sekkomp=unconfined", "unknown security option"),
        ("no-new-privileges=perhaps", "true or false"),
    ],
)
def test_security_options_that_are_none(box: Engine, busybox_image: str, option: str, reason: str) -> None:
    with pytest.raises(KernelBoxError, match=reason):
        box.run(busybox_image, ["true"], security_opt=[option])


def test_what_is_hidden_can_be_shown(sh: Sh) -> None:
    script = "wc -c < /proc/cmdline; touch /proc/sys/net/core/somaxconn 2>/dev/null && echo writable; true"
    assert sh(script).stdout.split() == ["0"]
    shown = sh(script, security_opt=["systempaths=unconfined"]).stdout.split()
    assert shown[0] != "0"
    assert sh(script, security_opt=["unmask=/proc/cmdline"]).stdout.split()[0] != "0"
    hidden = sh("cat /etc/passwd; ls /home", security_opt=["mask=/etc/passwd:/home"])
    assert hidden.stdout == ""


DEVICES = (
    "for d in null zero full random urandom tty; do test -c /dev/$d || echo no $d; done; head -c 3 /dev/zero | wc -c"
)


def test_the_devices_that_everybody_has(sh: Sh) -> None:
    run = sh(
        f"{DEVICES}; ls /dev; for l in fd stdin ptmx; do readlink /dev/$l; done; echo > /dev/full || echo full",
        user="alice",
    )
    names = run.stdout.split()
    assert names[0] == "3"
    assert set(names[1:-4]) <= {
        *("core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout"),
        *("tty", "urandom", "zero", "console"),
    }
    assert names[-4:] == ["/proc/self/fd", "/proc/self/fd/0", "pts/ptmx", "full"]


def test_a_device_of_the_machine(engine: Engine, busybox_image: str) -> None:
    if not Path("/dev/fuse").is_char_device():
        pytest.skip("this machine has no /dev/fuse")
    script = (
        "for d in /dev/fuse /dev/other /other; do test -c $d && echo $d; (: < $d) && echo open; done 2>/dev/null; true"
    )
    open_to_all = ["open"] if Path("/dev/fuse").stat().st_mode & 0o004 else []
    for device, target in (("", ""), ("/dev/fuse", "/dev/fuse"), ("/dev/fuse:/dev/other:r", "/dev/other")):
        run = engine.run(busybox_image, ["sh", "-c", script], devices=[device] if device else [])
        assert run.stdout.split() == ([target, *open_to_all] if device else [])


def test_a_device_as_the_machines_root(engine: Engine, busybox_image: str) -> None:
    """Without a user namespace it is a node of its own, with no more access than was given."""
    if not Path("/dev/fuse").is_char_device():
        pytest.skip("this machine has no /dev/fuse")
    script = "(: < $1) && echo read; (: > $1) 2>/dev/null && echo written; mknod /x c 10 229 2>/dev/null && (: < /x)"
    for target in ("/dev/fuse", "/other"):
        for access, done in (("r", ["read"]), ("rw", ["read", "written"]), ("rwm", ["read", "written"])):
            command = ["sh", "-c", script, "sh", target]
            run = engine.run(busybox_image, command, devices=[f"/dev/fuse:{target}:{access}"], userns="host")
            assert run.stdout.split() == done, run.stderr
            assert run.exit_code != 0


def test_a_rule_alone_makes_no_node(engine: Engine, busybox_image: str) -> None:
    run = engine.run(busybox_image, ["ls", "/dev"], device_cgroup_rules=["c 10:229 rwm"])
    assert "fuse" not in run.stdout


def test_the_user_namespace_can_be_left_out(engine: Engine, busybox_image: str) -> None:
    run = engine.run(busybox_image, ["cat", "/proc/self/uid_map"], userns="host", check=True)
    assert run.stdout.split() == ["0", "0", "4294967295"]
    with pytest.raises(InvalidOption, match="keep-id"):
        engine.run(busybox_image, ["true"], userns="keep-id")


def test_a_privileged_container_with_the_machines_ids(engine: Engine, busybox_image: str) -> None:
    """As Docker's: every device, every path, and still mounts of its own."""
    before = mounts.mountinfo()
    script = f"{MOUNT}; ls /dev; wc -c < /proc/cmdline"
    run = engine.run(busybox_image, ["sh", "-c", script], privileged=True, userns="host", check=True)
    shown = run.stdout.split()
    assert shown[0] == "mounted"
    assert shown[-1] != "0"
    assert [note for note in run.limits.notes if "this machine's root" in note] or mask("ALL") == EVERY & OWN
    assert {name for name in os.listdir("/dev") if Path("/dev", name).is_block_device()} <= set(shown)
    assert mounts.mountinfo() == before


def test_a_capability_that_the_machine_does_not_have(engine: Engine, busybox_image: str) -> None:
    missing = capabilities.names(EVERY & ~OWN)
    if not missing:
        pytest.skip("this machine's root has every capability")
    with pytest.raises(NotSupported, match=f"this machine's root itself does not have {missing[0]}"):
        engine.run(busybox_image, ["true"], cap_add=[missing[0]], userns="host")
    assert engine.run(busybox_image, ["true"], cap_add=[missing[0]]).exit_code == 0
