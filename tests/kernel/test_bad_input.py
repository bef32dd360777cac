"""What cannot be: each ends in a sentence of the right kind before anything is launched, and leaves nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kernelbox import Engine
from kernelbox.errors import (
    CommandNotExecutable,
    CommandNotFound,
    ContainerNotFound,
    ImageNotFound,
    InvalidOption,
    KernelBoxError,
    NameInUse,
    NotFound,
    NotSupported,
    StartError,
    StoreError,
)

pytestmark = [pytest.mark.kernel, pytest.mark.root]

# Options, the class of the error, its exit code on the command line, and words of its sentence.
OPTIONS: list[tuple[dict[str, Any], type[KernelBoxError], str]] = [
    ({"memroy": "1g"}, InvalidOption, r"unknown option 'memroy' \(hint: did you mean 'memory'\?\)"),
    ({"mem_limit": "1g"}, InvalidOption, r"unknown option 'mem_limit' \(hint: did you mean 'memory'\?\)"),
    ({"nonesuch": 1}, InvalidOption, "unknown option 'nonesuch'"),
    ({"user": "nonesuch"}, NotFound, "user: the container has no user 'nonesuch'"),
    ({"workdir": "/etc/passwd"}, StartError, "/etc/passwd: not a directory"),
    ({"workdir": "relative"}, InvalidOption, "workdir: 'relative' is not an absolute path"),
    ({"memory": "5m"}, InvalidOption, "memory: '5m' is less than 6 MiB"),
    ({"memory": "1000t"}, InvalidOption, "memory: .* is more than this machine has"),
    ({"memory": "lots"}, InvalidOption, "memory: .*lots"),
    ({"memory": -1}, InvalidOption, "memory"),
    ({"memory": "64m", "memory_swap": "32m"}, InvalidOption, r"memory_swap \(33554432\) is less than memory"),
    ({"memory_swap": "64m"}, InvalidOption, "give memory too"),
    ({"memory": "64m", "memory_reservation": "65m"}, InvalidOption, "memory_reservation .* is more than memory"),
    ({"cpus": -1}, InvalidOption, "cpus: -1 is not a number of processors"),
    ({"cpus": "nan"}, InvalidOption, "cpus"),
    ({"cpus": 100_000}, InvalidOption, "cpus: 100000 is more than this machine has"),
    ({"cpus": 1, "cpu_quota": 1000}, InvalidOption, "cpus and cpu_quota"),
    ({"cpuset_cpus": "4000"}, InvalidOption, "cpuset_cpus: this machine has no 4000"),
    ({"cpuset_cpus": "1-0"}, InvalidOption, "cpuset_cpus: '1-0' is not a list"),
    ({"cpuset_mems": "999"}, InvalidOption, "cpuset_mems: this machine has no 999"),
    ({"pids_limit": -2}, InvalidOption, "pids_limit: -2 is not between"),
    ({"volumes": ["/nonesuch:/x"]}, InvalidOption, "volumes: the source '/nonesuch' cannot be mounted"),
    ({"volumes": ["/tmp:/x/../../y"]}, InvalidOption, r"volumes: '/x/\.\./\.\./y' contains '\.\.'"),
    ({"env": ["NOEQUALS"]}, InvalidOption, "env: 'NOEQUALS' has no '='"),
    ({"env": ["=x"]}, InvalidOption, "env: '=x' has no name"),
    ({"env": {"A": "x\0y"}}, InvalidOption, "env: .* NUL"),
    ({"env_file": "/nonesuch"}, InvalidOption, "env_file: .*nonesuch"),
    ({"hostname": "-x"}, InvalidOption, "hostname: '-x' cannot be a host name"),
    ({"hostname": "x" * 65}, InvalidOption, "hostname"),
    ({"name": "a/b"}, InvalidOption, "name: 'a/b' cannot be a container's name"),
    ({"name": "x"}, InvalidOption, "name: 'x' cannot be a container's name"),
    ({"ulimits": ["nofile=2:1"]}, InvalidOption, "ulimits: nofile: the soft limit 2 is above the hard limit 1"),
    ({"ulimits": ["what=1"]}, InvalidOption, "ulimits: unknown limit 'what'"),
    ({"cap_add": ["NONESUCH"]}, InvalidOption, "cap_add: unknown capability"),
    ({"network": "bridge"}, NotSupported, "network: the network 'bridge' does not exist"),
    ({"pid": "container:x"}, ContainerNotFound, "no such container: x"),
    ({"sysctls": {"vm.swappiness": "1"}}, InvalidOption, "sysctls: vm.swappiness is a setting of the whole machine"),
    ({"sysctls": {"net.core.somaxconn": "1"}, "network": "host"}, InvalidOption, "would change the machine's"),
    ({"devices": ["/dev/nonesuch"]}, InvalidOption, "devices: the device '/dev/nonesuch' cannot be used"),
    ({"devices": ["/etc/passwd"]}, InvalidOption, "devices: '/etc/passwd' is not a device"),
    ({"device_read_bps": {"/dev/null": "1m"}}, InvalidOption, "device_read_bps: '/dev/null' is not a disk"),
    ({"tmpfs": ["/x:size=nonsense"]}, InvalidOption, "tmpfs: .*nonsense"),
    ({"tmpfs": ["/x:nonsense"]}, InvalidOption, "tmpfs: unknown tmpfs option 'nonsense'"),
    ({"shm_size": "-5"}, InvalidOption, "shm_size"),
    ({"umask": "9"}, InvalidOption, "umask: '9' is not an octal mode"),
    ({"userns": "what"}, InvalidOption, "userns: 'what' is not one of"),
    ({"oom_score_adj": 1001}, InvalidOption, "oom_score_adj: 1001 is not between"),
    ({"stop_signal": "SIGNONE"}, InvalidOption, "stop_signal: unknown signal"),
    ({"annotations": {"io.kernelbox.seccomp": "unconfined"}}, InvalidOption, "annotations: .* is reserved"),
]


@pytest.mark.parametrize(("options", "kind", "words"), OPTIONS, ids=lambda each: str(each)[:50])
def test_options(
    box: Engine, busybox_image: str, options: dict[str, Any], kind: type[KernelBoxError], words: str
) -> None:
    with pytest.raises(kind, match=words) as caught:
        box.run(busybox_image, ["true"], **options)
    assert caught.value.exit_code == 125
    assert "\n" not in str(caught.value)
    assert box.run(busybox_image, ["true"]).exit_code == 0


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [("net.ipv4.nonesuch", "1", "no such file"), ("net.core.somaxconn", "words", "invalid argument")],
)
def test_kernel_settings(engine: Engine, busybox_image: str, name: str, value: str, words: str) -> None:
    with pytest.raises(StartError, match=rf"could not set the kernel parameter {name}: {words}"):
        engine.run(busybox_image, ["true"], sysctls={name: value})


COMMANDS: list[tuple[Any, type[KernelBoxError], int, str]] = [
    (["nonesuch"], CommandNotFound, 127, "could not run nonesuch: not found in"),
    (["/nonesuch"], CommandNotFound, 127, "could not run /nonesuch: not found"),
    (["./nonesuch"], CommandNotFound, 127, r"\./nonesuch"),
    (["/etc/passwd/x"], CommandNotFound, 127, "/etc/passwd/x: not found"),
    (["/etc/passwd"], CommandNotExecutable, 126, "/etc/passwd: permission denied"),
    (["/etc"], CommandNotExecutable, 126, "/etc: permission denied"),
    (["/tmp/script"], CommandNotExecutable, 126, "/tmp/script: exec format error"),
    (["/tmp/other"], CommandNotExecutable, 126, "/tmp/other: exec format error.*another kind of machine"),
    (["/tmp/interpreted"], CommandNotFound, 127, "/tmp/interpreted"),
    (["true", "x\0y"], InvalidOption, 125, "command: .* NUL"),
    (["x" * 5000], StartError, 125, "name too long"),
    (["true", "x" * (2 << 20)], InvalidOption, 125, r"the argument 'xxx.*2097152 bytes long"),
    (["true", *["x" * 1000] * 4000], InvalidOption, 125, "arguments and environment are .* bytes; the kernel takes"),
    ([1], InvalidOption, 125, "command: expected text, got 1"),
    (["", "x"], InvalidOption, 125, "no command to run"),
    ("'open", InvalidOption, 125, "command: .*no closing quotation"),
]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that look like programs and are none: no #! line, for another machine, for an interpreter that is not
    there."""
    folder = tmp_path_factory.mktemp("programs")
    (folder / "script").write_bytes(b"\x01\x02\x03\x04 no program\n")
    elf = bytearray(64)
    elf[:7] = b"\x7fELF\x02\x01\x01"
    elf[16:20] = (2).to_bytes(2, "little") + (0x2A).to_bytes(2, "little")  # an executable for a SuperH
    (folder / "other").write_bytes(elf)
    (folder / "interpreted").write_text("#!/nonesuch/interpreter\n")
    for file in folder.iterdir():
        file.chmod(0o755)
    return folder


@pytest.mark.parametrize(("command", "kind", "code", "words"), COMMANDS, ids=lambda each: str(each)[:30])
def test_commands(
    box: Engine, busybox_image: str, programs: Path, command: Any, kind: type[KernelBoxError], code: int, words: str
) -> None:
    with pytest.raises(kind, match=words) as caught:
        box.run(busybox_image, command, volumes=[f"{programs}:/tmp"])
    assert caught.value.exit_code == code
    assert len(str(caught.value)) < 500


def test_as_much_as_the_kernel_takes(box: Engine, busybox_image: str) -> None:
    """Just below the limit it runs: long arguments, and many."""
    assert box.run(busybox_image, ["sh", "-c", "echo ${#1}", "sh", "x" * 131_000]).stdout == "131000\n"
    many = ["x" * 100] * 10_000
    assert box.run(busybox_image, ["sh", "-c", "echo $#", "sh", *many]).stdout == "10000\n"
    assert box.run(busybox_image, ["sh", "-c", "echo ${#A}"], env={"A": "x" * 131_000}).stdout == "131000\n"


def test_no_such_image(box: Engine) -> None:
    with pytest.raises(ImageNotFound, match="no image is called 'nonesuch'") as caught:
        box.run("nonesuch", ["true"])
    assert (caught.value.exit_code, caught.value.status) == (125, 404)


def test_a_name_in_use(engine: Engine, busybox_image: str) -> None:
    job = engine.start(busybox_image, ["sleep", "infinity"], name="taken")
    with pytest.raises(NameInUse, match="the name 'taken' is in use by a running container"):
        engine.run(busybox_image, ["true"], name="taken")
    job.kill()
    job.wait(30)


def test_a_target_that_escapes_by_a_link(engine: Engine, busybox_rootfs: Path, tmp_path: Path) -> None:
    image, victim = tmp_path / "image", tmp_path / "victim"
    subprocess.run(["cp", "-a", busybox_rootfs, image], check=True)
    victim.mkdir()
    (image / "out").symlink_to(victim)
    (tmp_path / "in").mkdir()
    run = engine.run(f"dir:{image}", ["ls", "-d", f"{victim}/x"], volumes=[f"{tmp_path}/in:/out/x"])
    assert run.exit_code == 0, "the link is followed inside"
    assert list(victim.iterdir()) == []


def test_a_closed_folder(engine: Engine, busybox_rootfs: Path, tmp_path: Path) -> None:
    """A user inside who may not pass the working directory."""
    image = tmp_path / "image"
    subprocess.run(["cp", "-a", busybox_rootfs, image], check=True)
    (image / "closed/in").mkdir(parents=True)
    (image / "closed").chmod(0o700)
    script = "pwd; for path in /closed/in .. /closed/file; do ls $path; done"
    run = engine.run(f"dir:{image}", ["sh", "-c", script], user="alice", workdir="/closed/in")
    assert (run.exit_code, run.stdout) == (1, "/closed/in\n")
    assert run.stderr.count("Permission denied\n") == 3
    shutil.copy(image / "bin/busybox", image / "closed/echo")
    with pytest.raises(CommandNotExecutable, match="permission denied"):
        engine.run(f"dir:{image}", ["/closed/echo"], user="alice")


def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for root, words in ((tmp_path / "file/store", "not a directory"), (Path("/proc/store"), "no such file")):
        with (
            Engine(root=root) as box,
            pytest.raises(StoreError, match=f"(?i)could not prepare the store at {root}: {words}"),
        ):
            box.run("host", ["true"])


@pytest.mark.parametrize("size", ["64k", "512k"])
def test_a_full_disk(engine: Engine, busybox_image: str, tmp_path: Path, size: str) -> None:
    """The program sees it as anywhere; a store on it says so and takes nothing away."""
    script = "dd if=/dev/zero of=/in/file bs=64k count=100; echo $?"
    place = tmp_path / "small"
    place.mkdir()
    from kernelbox.linux import mounts

    with mounts.detached("tmpfs", {"size": size}) as small:
        small.move(place)
        run = engine.run(busybox_image, ["sh", "-c", script], volumes=[f"{place}:/in"])
        assert run.stdout == "1\n"
        assert "No space left" in run.stderr


def test_not_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package says so when it is used, rather than failing somewhere inside."""
    code = "import sys; sys.platform = 'darwin'\nimport kernelbox\ntry: kernelbox.Engine().run('host', ['true'])\n"
    code += "except Exception as error: print(type(error).__name__, error)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert re.search("NotSupported.*Linux", done.stdout), done.stdout + done.stderr
