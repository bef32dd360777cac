"""What a container has by default, seen from inside: nothing of the machine that it was not given."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from waiting import wait_until

from kernelbox import Engine, RunResult
from kernelbox.errors import StartError

pytestmark = [pytest.mark.kernel, pytest.mark.root]

Sh = Callable[..., RunResult]
COUNT = 65_536


def six_words(said: bytes) -> list[str]:
    """Nothing before all of them are there."""
    return said.decode().split() if said.count(b"\n") == 2 else []


def test_ids_are_nobodys_on_the_machine(engine: Engine, busybox_image: str) -> None:
    """Containers that run at the same time share no id, and none has the machine's root."""
    heard: list[list[bytes]] = [[] for _ in range(4)]
    script = "cat /proc/self/uid_map /proc/self/gid_map; sleep infinity"
    jobs = [
        engine.start(busybox_image, ["sh", "-c", script], on_output=lambda _, chunk, mine=mine: mine.append(chunk))
        for mine in heard
    ]
    starts = [wait_until(lambda mine=mine: six_words(b"".join(mine))) for mine in heard]
    for job in jobs:
        job.kill()
        assert job.wait(30).signal == 9
    assert len({words[1] for words in starts}) == 4
    for words in starts:
        assert words == ["0", words[1], str(COUNT)] * 2
        assert int(words[1]) >= COUNT
        assert int(words[1]) % COUNT == 0


def test_capabilities_and_the_filter(sh: Sh) -> None:
    lines = sh("grep -E 'CapEff|Seccomp:|NoNewPrivs' /proc/self/status").stdout.split()
    assert lines[1] == "00000000800405fb"
    assert lines[5] == "2"


def test_nothing_of_the_machine_is_mounted(sh: Sh) -> None:
    """No root of a mount says where on the machine it comes from, and no source does."""
    kinds = {"overlay", "proc", "tmpfs", "devpts", "sysfs", "mqueue", "cgroup2", "cgroup"}
    for line in sh("cat /proc/self/mountinfo").stdout.splitlines():
        fields = line.split()
        kind, source = fields[fields.index("-") + 1 :][:2]
        root, target = fields[3], fields[4]
        if target in ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf"):
            assert re.fullmatch(r"/[0-9a-f]{64}\W\w+(\.\w+)?", root), line
            continue
        assert kind in kinds, line
        assert root in ("/", "/null") or kind == "proc" or kind.startswith("cgroup"), line
        assert source in (*kinds, "kernelbox", "shm", "none"), line
        assert "shared:" not in line
        assert "master:" not in line


def test_it_is_process_1_and_alone(sh: Sh) -> None:
    run = sh("echo $$; ls -d /proc/[0-9]* | wc -l; cat /proc/self/sessionid 2>/dev/null; cat /proc/self/loginuid; true")
    words = run.stdout.split()
    assert words[0] == "1"
    assert int(words[1]) <= 3  # itself, ls and wc


@pytest.fixture
def dirty_descriptors(tmp_path: Path) -> Iterator[None]:
    """Descriptors as a careless parent leaves them: inheritable, of folders, files, sockets and pipes."""
    (tmp_path / "secret").write_text("secret")
    opened = [os.open("/", os.O_RDONLY), *os.pipe(), os.open(tmp_path / "secret", os.O_RDWR)]
    opened += [os.dup(opened[0]) for _ in range(50)]
    for descriptor in opened:
        os.set_inheritable(descriptor, True)
    yield
    for descriptor in opened:
        os.close(descriptor)


@pytest.mark.usefixtures("dirty_descriptors")
def test_no_descriptors_come_in(store: Path, busybox_image: str) -> None:
    """Not from an engine that was there before, nor from a monitor that was started by this process."""
    with Engine(root=store) as engine:
        for _ in range(2):
            run = engine.run(busybox_image, ["sh", "-c", "ls /proc/self/fd; readlink /proc/self/fd/0"], check=True)
            numbers, (target,) = run.stdout.split()[:-1], run.stdout.split()[-1:]
            assert numbers == ["0", "1", "2", "3"]  # 3 is the folder that ls reads
            assert target == "/dev/null"


@pytest.mark.parametrize("number", [0, 1, 3, 5, 8, 12, 20])
@pytest.mark.parametrize("path", ["/proc/self/fd", "/proc/1/fd", "/dev/fd"])
def test_a_working_directory_behind_a_descriptor(box: Engine, busybox_image: str, path: str, number: int) -> None:
    """CVE-2024-21626: a working directory of /proc/self/fd/N was outside the container."""
    with pytest.raises(StartError, match=re.escape(f"{path}/{number}")):
        box.run(busybox_image, ["pwd"], workdir=f"{path}/{number}")


def test_its_own_names_and_resolver(sh: Sh) -> None:
    script = "cat /etc/hosts /etc/hostname /etc/resolv.conf; cd /etc; stat -c %U hosts hostname resolv.conf"
    run = sh(script)
    assert "127.0.0.1\tlocalhost" in run.stdout
    assert run.stdout.splitlines()[-3:] == ["root"] * 3
    assert run.container.hostname in run.stdout
    assert os.uname().nodename not in run.stdout
    resolver = Path("/etc/resolv.conf").read_text() if Path("/etc/resolv.conf").exists() else ""
    assert not [line for line in resolver.splitlines() if line.startswith("nameserver") and line in run.stdout]
    assert sh("echo 10.0.0.1 other >> /etc/hosts && tail -n 1 /etc/hosts").stdout == "10.0.0.1 other\n"
    assert "other" not in sh("cat /etc/hosts").stdout


def test_no_network_but_the_loopback(engine: Engine, busybox_image: str) -> None:
    script = "cut -d: -f1 -s /proc/net/dev; cat /sys/class/net/lo/operstate; ip -o addr; ip route; ls /sys/class/net"
    run = engine.run(busybox_image, ["sh", "-c", script], check=True)
    assert run.stdout.split()[0] == "lo"
    assert "127.0.0.1/8" in run.stdout
    assert "default" not in run.stdout
    assert run.stdout.split()[-1] == "lo"
    served = "nc -l -p 8000 -e echo through & until nc 127.0.0.1 8000; do :; done 2>/dev/null"
    assert engine.run(busybox_image, ["sh", "-c", served], timeout=60).stdout == "through\n"


def test_two_containers_do_not_see_each_other(engine: Engine, busybox_image: str) -> None:
    spoke = threading.Event()
    script = "echo secret > /tmp/file; echo secret > /dev/shm/file; nc -l -p 8000 & echo; sleep infinity"
    job = engine.start(busybox_image, ["sh", "-c", script], on_output=lambda *_: spoke.set())
    assert spoke.wait(30)
    script = "ls /tmp /dev/shm; nc -w 1 127.0.0.1 8000 2>/dev/null; ps | grep -c slee[p]; true"
    assert engine.run(busybox_image, ["sh", "-c", script]).stdout == "/dev/shm:\n\n/tmp:\n0\n"
    job.kill()
    job.wait(30)


VICTIMS = ("dev", "proc", "sys", "etc", "tmp", "etc/resolv.conf", "etc/hosts", "etc/mtab", "dev/shm", "dev/pts", "run")


@pytest.mark.parametrize("link", VICTIMS)
def test_an_image_whose_folders_are_links(engine: Engine, busybox_rootfs: Path, tmp_path: Path, link: str) -> None:
    """They lead to a folder of the machine, which stays as it is: neither mounted on, nor written, nor seen."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").write_text("secret")
    image = tmp_path / "image"
    subprocess.run(["cp", "-a", busybox_rootfs, image], check=True)
    place = image / link
    if place.is_dir():
        shutil.rmtree(place)
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(victim / "file" if link in ("etc/resolv.conf", "etc/hosts", "etc/mtab") else victim)
    before = [(path.name, path.stat().st_mtime_ns, path.read_bytes()) for path in victim.iterdir()]
    mounts = Path("/proc/self/mountinfo").read_text()
    script = f"cat /{link} /{link}/file; echo x > /{link}/new; true"
    with suppress(StartError):  # a link that leads through itself
        assert "secret" not in engine.run(f"dir:{image}", ["sh", "-c", script], tmpfs=["/tmp"]).stdout
    assert [(path.name, path.stat().st_mtime_ns, path.read_bytes()) for path in victim.iterdir()] == before
    assert Path("/proc/self/mountinfo").read_text() == mounts
    assert place.is_symlink()


def test_the_store_is_closed_to_other_users(box: Engine, sh: Sh) -> None:
    sh("true")
    for folder in (box.paths.root, box.paths.containers, box.paths.runtime):
        assert folder.stat().st_mode & 0o077 == 0


def test_keys_of_the_caller_are_not_there(sh: Sh) -> None:
    assert sh("cat /proc/keys 2>/dev/null; true").stdout == ""


def test_a_terminal_of_the_caller_is_not_its_own(sh: Sh) -> None:
    """Without one it has none, whatever the notebook's process was started from."""
    assert sh("(: < /dev/tty) 2>/dev/null || echo none").stdout == "none\n"
    assert sh("cut -d' ' -f7 /proc/self/stat").stdout == "0\n"
