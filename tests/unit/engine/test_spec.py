"""From options to config.json. The files in golden/ are whole configurations: what changed shows as a diff.

KERNELBOX_WRITE_GOLDEN=1 writes them anew.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from kernelbox.engine import hardening, spec
from kernelbox.engine.machine import Machine
from kernelbox.engine.options import RunOptions
from kernelbox.engine.sources import DeviceNode, Sources
from kernelbox.engine.spec import IdMap
from kernelbox.engine.users import ROOT, ResolvedUser
from kernelbox.errors import InvalidOption, NotSupported
from kernelbox.oci import runtime_spec
from kernelbox.oci.image_config import ImageConfig
from kernelbox.oci.runtime_spec import Config, Cpu, Linux, Memory, Mount, Pids, Process, Resources

GOLDEN = Path(__file__).with_name("golden")
MIB, GIB = 1 << 20, 1 << 30
ID = "0123456789abcdef" * 4
MACHINE = Machine(cpus=4, memory=8 * GIB, cpuset=frozenset(range(4)), uid=1000, gid=1000, hostname="laptop")
IMAGE = ImageConfig(env=("PATH=/usr/bin:/bin", "LANG=C.UTF-8"), cmd=("sh", "-l"), entrypoint=("/init",))
APP = ResolvedUser(1000, 1001, (50, 44), "app", "/home/app")
SOURCES = Sources({"/dev/fuse": DeviceNode("c", 10, 229, 0o666), "/dev/sda": DeviceNode("b", 8, 0)})


def build(command: tuple[str, ...] = ("true",), image: ImageConfig = IMAGE, **given: Any) -> Config:
    user, machine = given.pop("as_user", ROOT), given.pop("machine", MACHINE)
    id_map, mounts = given.pop("id_map", IdMap(524_288)), given.pop("own_mounts", ())
    options = RunOptions.make(**given)
    return spec.build(
        options, image, command, machine, container_id=ID, user=user, id_map=id_map, sources=SOURCES, mounts=mounts
    )


def linux(config: Config) -> Linux:
    assert config.linux is not None
    return config.linux


def process(config: Config) -> Process:
    assert config.process is not None
    return config.process


def resources(config: Config) -> Resources:
    found = linux(config).resources
    assert found is not None
    return found


def mount(config: Config, target: str) -> Mount | None:
    return {each.destination: each for each in config.mounts}.get(target)


CASES: dict[str, dict[str, Any]] = {
    "default": {},
    "limits": {
        "cpus": 1.5,
        "cpu_shares": 512,
        "cpuset_cpus": "0-1",
        "memory": "256m",
        "memory_reservation": "128m",
        "pids_limit": 64,
        "blkio_weight": 300,
        "device_write_bps": "/dev/sda:1mb",
        "ulimits": ["nofile=1024:2048"],
        "shm_size": "16m",
        "oom_score_adj": 700,
    },
    "user_and_files": {
        "as_user": APP,
        "workdir": "/srv",
        "env": {"LANG": "C", "A": "1"},
        "hostname": "web",
        "domainname": "example",
        "tty": True,
        "umask": "0077",
        "read_only": True,
        "volumes": ["/data:/srv/data:ro", "/code:/srv"],
        "tmpfs": {"/tmp": "size=16m"},
        "devices": ["/dev/fuse:/dev/fuse:rw"],
        "annotations": {"course": "os-101"},
    },
    "host_namespaces": {"network": "host", "pid": "host", "ipc": "host", "uts": "host", "cgroupns": "host"},
    "privileged_with_machine_ids": {"privileged": True, "userns": "host", "devices": "/dev/sda"},
    "lab": {"profile": "lab"},
    "grade": {"profile": "grade", "as_user": APP},
}


@pytest.mark.parametrize("name", CASES)
def test_golden(name: str) -> None:
    text = json.dumps(build(**dict(CASES[name])).to_json(), indent=2) + "\n"
    file = GOLDEN / f"{name}.json"
    if os.environ.get("KERNELBOX_WRITE_GOLDEN"):
        file.write_text(text)
    assert text == file.read_text()


@pytest.mark.parametrize("name", CASES)
def test_what_is_built_is_valid(name: str) -> None:
    config = build(**dict(CASES[name]))
    assert runtime_spec.parse(json.dumps(config.to_json())) == config


def test_isolated_by_default() -> None:
    config = build()
    kinds = {each.type for each in linux(config).namespaces}
    assert kinds == {"pid", "network", "ipc", "uts", "mount", "cgroup", "user"}
    assert not any(each.path for each in linux(config).namespaces)
    assert linux(config).uid_mappings == linux(config).gid_mappings
    assert 0 not in [each.host_id for each in linux(config).uid_mappings]
    sets = process(config).capabilities
    assert sets is not None
    assert len(sets.bounding) == 11
    assert (sets.effective, sets.permitted) == (sets.bounding, sets.bounding)
    assert (sets.inheritable, sets.ambient) == ((), ())
    assert config.annotations == {"io.kernelbox.seccomp": "default"}
    assert resources(config).devices[0] == runtime_spec.DeviceRule(allow=False, access="rwm")
    assert resources(config).pids == Pids(2048)
    assert process(config).oom_score_adj == 500
    assert process(config).user.umask == 0o022
    assert not process(config).no_new_privileges


def test_podmans_capabilities_are_those_of_the_linux_package() -> None:
    capabilities = pytest.importorskip("kernelbox.linux.capabilities", reason="the C part is not built")
    from kernelbox.oci import capability_names

    assert capability_names.ALL == capabilities.ALL
    assert set(capability_names.DEFAULT) == set(capabilities.DEFAULT)


def test_another_user_has_rights_only_through_setuid_programs() -> None:
    sets = process(build(as_user=APP, cap_add="NET_ADMIN")).capabilities
    assert sets is not None
    assert "CAP_NET_ADMIN" in sets.bounding
    assert (sets.effective, sets.permitted, sets.inheritable, sets.ambient) == ((), (), (), ())


@pytest.mark.parametrize(
    ("given", "count", "has", "has_not"),
    [
        ({"cap_add": "NET_RAW"}, 12, "CAP_NET_RAW", "CAP_SYS_ADMIN"),
        ({"cap_drop": "CHOWN"}, 10, "CAP_KILL", "CAP_CHOWN"),
        ({"cap_drop": "ALL", "cap_add": "CHOWN"}, 1, "CAP_CHOWN", "CAP_KILL"),
        ({"cap_add": "ALL", "cap_drop": "SYS_ADMIN"}, 40, "CAP_BPF", "CAP_SYS_ADMIN"),
        ({"privileged": True, "cap_drop": "CHOWN"}, 41, "CAP_CHOWN", ""),
    ],
)
def test_capabilities(given: dict[str, Any], count: int, has: str, has_not: str) -> None:
    sets = process(build(**given)).capabilities
    assert sets is not None
    assert len(sets.bounding) == count
    assert has in sets.bounding
    assert has_not not in sets.bounding


@pytest.mark.parametrize(
    ("image", "given", "command", "args"),
    [
        (IMAGE, {}, (), ("/init", "sh", "-l")),
        (IMAGE, {}, ("true", "x"), ("/init", "true", "x")),
        (IMAGE, {"entrypoint": ["/bin/e"]}, (), ("/bin/e",)),
        (IMAGE, {"entrypoint": ["/bin/e"]}, ("a",), ("/bin/e", "a")),
        (IMAGE, {"entrypoint": ""}, ("a",), ("a",)),
        (ImageConfig(), {}, ("a", ""), ("a", "")),
    ],
)
def test_entry_point_and_command(
    image: ImageConfig, given: dict[str, Any], command: tuple[str, ...], args: tuple[str, ...]
) -> None:
    assert process(build(command, image, **given)).args == args


def test_environment_is_dockers() -> None:
    config = build(env={"LANG": "C", "A": "1"}, tty=True)
    expected = ("PATH=/usr/bin:/bin", "HOSTNAME=0123456789ab", "TERM=xterm", "LANG=C", "A=1", "HOME=/root")
    assert process(config).env == expected
    bare = process(build(image=ImageConfig(env=("no value", "=x")), as_user=APP, env=["HOME=/elsewhere"])).env
    assert bare == ("PATH=" + hardening.PATH, "HOSTNAME=0123456789ab", "HOME=/elsewhere")


def test_host_names() -> None:
    assert build().hostname == "0123456789ab"
    assert build(hostname="web").hostname == "web"
    assert build(network="host").hostname == "laptop"
    shared = build(uts="host")
    assert shared.hostname == ""
    assert "HOSTNAME=laptop" in process(shared).env


@pytest.mark.parametrize(("said", "cwd"), [("", "/"), ("/srv/", "/srv"), ("srv", "/srv"), ("/a//b/.", "/a/b")])
def test_working_directory_of_the_image(said: str, cwd: str) -> None:
    assert process(build(image=ImageConfig(working_dir=said))).cwd == cwd
    assert process(build(image=ImageConfig(working_dir=said), workdir="/w")).cwd == "/w"


@pytest.mark.parametrize(
    ("given", "memory", "cpu"),
    [
        ({}, None, None),
        ({"memory": "64m"}, Memory(64 * MIB, swap=64 * MIB), None),
        ({"memory": "64m", "memory_swap": "1g"}, Memory(64 * MIB, swap=GIB), None),
        ({"memory": "64m", "memory_swap": -1}, Memory(64 * MIB, swap=-1), None),
        ({"memory_reservation": "64m"}, Memory(reservation=64 * MIB), None),
        ({"cpus": 0.5}, None, Cpu(quota=50_000, period=100_000)),
        ({"cpus": 4}, None, Cpu(quota=400_000, period=100_000)),
        ({"cpu_quota": 5000, "cpu_period": 10_000}, None, Cpu(quota=5000, period=10_000)),
        ({"cpuset_cpus": "1-3", "cpuset_mems": "0"}, None, Cpu(cpus="1-3", mems="0")),
        ({"profile": "lab"}, Memory(GIB, swap=GIB), Cpu(quota=200_000, period=100_000)),
        (
            {"profile": "lab", "memory": "2g", "cpus": 1},
            Memory(2 * GIB, swap=2 * GIB),
            Cpu(quota=100_000, period=100_000),
        ),
    ],
)
def test_limits(given: dict[str, Any], memory: Memory | None, cpu: Cpu | None) -> None:
    found = resources(build(**given))
    assert (found.memory, found.cpu) == (memory, cpu)


def test_a_profile_is_cut_to_the_machine() -> None:
    small = Machine(cpus=1, memory=256 * MIB, cpuset=frozenset({0}))
    found = resources(build(profile="grade", machine=small))
    assert (found.memory, found.cpu) == (Memory(256 * MIB, swap=256 * MIB), Cpu(quota=100_000, period=100_000))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"memory": "9g"}, "memory: 9 GiB is more than this machine has (8 GiB)"),
        ({"memory_reservation": "9g"}, "memory_reservation: 9 GiB is more than this machine has (8 GiB)"),
        ({"cpus": 4.5}, "cpus: 4.5 is more than this machine has (4)"),
        ({"cpuset_cpus": "2-5"}, "cpuset_cpus: this machine has no 4-5 (hint: its processors are 0-3)"),
        ({"cpuset_mems": "1"}, "cpuset_mems: this machine has no 1 (hint: its memory nodes are 0)"),
        ({"oom_score_adj": -1}, "oom_score_adj: -1 would keep the container alive longer than the engine itself"),
        ({"command": ("a", "b\0c")}, "command: 'b\\x00c' contains a NUL character"),
        ({"command": (), "image": ImageConfig()}, "no command to run"),
        ({"command": ("",), "image": ImageConfig()}, "no command to run"),
        (
            {"command": ("a", "b" * (128 << 10))},
            "the argument 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb'... is 131072 bytes long",
        ),
        ({"env": ["A=" + "b" * (128 << 10)]}, "the variable 'A=bbbbbbbbbbbbbbbbbbbbbbbbbbbb'... is 131074 bytes long"),
        ({"command": ("b" * 1000,) * 2100}, "arguments and environment are 2118"),
        ({"command": ("a", "\ud800")}, "the argument '\\ud800' cannot be written as UTF-8"),
        (
            {"image": ImageConfig(working_dir="/a/../../b", cmd=("a",))},
            "the image's working directory: '/a/../../b' contains",
        ),
        ({"as_user": ResolvedUser(65_536)}, "user: the user id 65536 is not among the container's ids (0 to 65535)"),
        ({"as_user": ResolvedUser(1, 1, (70_000,))}, "user: the group id 70000 is not among the container's ids"),
        (
            {"userns": "keep-id", "machine": Machine(1, GIB, frozenset({0}))},
            "userns: 'keep-id' keeps the id of an ordinary",
        ),
    ],
)
def test_what_this_machine_or_kernel_refuses(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        build(**given)
    assert str(caught.value).startswith(message)


def test_long_arguments_that_the_kernel_takes() -> None:
    longest = "b" * ((128 << 10) - 1)
    assert process(build((longest,))).args[1] == longest
    many = ("b" * 1000,) * 2000
    assert len(process(build(many)).args) == 2001
    # the stack limit of the container is what counts
    assert process(build(("b" * 1000,) * 4000, ulimits="stack=-1")).args
    with pytest.raises(InvalidOption, match="the kernel takes 131072 in all"):
        build(("b" * 1000,) * 140, ulimits="stack=65536")


def test_no_ids_no_user_namespace_unless_asked() -> None:
    with pytest.raises(NotSupported, match="there is no range of ids"):
        build(id_map=None)
    config = build(userns="host", id_map=None, as_user=ResolvedUser(1_000_000, 1_000_000))
    assert "user" not in {each.type for each in linux(config).namespaces}
    assert linux(config).uid_mappings == ()
    assert linux(config).sysctl["net.ipv4.ping_group_range"] == "0 2147483647"


@pytest.mark.parametrize(
    ("uid", "expected"),
    [
        (1000, [(0, 524_288, 1000), (1000, 1000, 1), (1001, 525_288, 64_536)]),
        (65_536, [(0, 524_288, 65_536), (65_536, 65_536, 1)]),
        (100_000, [(0, 524_288, 65_536), (100_000, 100_000, 1)]),
    ],
)
def test_keep_id(uid: int, expected: list[tuple[int, int, int]]) -> None:
    machine = Machine(cpus=1, memory=GIB, cpuset=frozenset({0}), uid=uid, gid=uid)
    config = build(userns="keep-id", machine=machine, as_user=ResolvedUser(uid, uid))
    found = [(each.container_id, each.host_id, each.size) for each in linux(config).uid_mappings]
    assert found == expected
    assert spec.user_text(RunOptions.make(userns="keep-id"), IMAGE, machine) == f"{uid}:{uid}"
    assert spec.user_text(RunOptions.make(userns="keep-id", user="0"), IMAGE, machine) == "0"


def test_groups_may_start_elsewhere_and_be_few() -> None:
    config = build(id_map=IdMap(1000, 1, gid_start=1001))
    assert linux(config).gid_mappings == (runtime_spec.IdMapping(0, 1001, 1),)
    assert linux(config).sysctl["net.ipv4.ping_group_range"] == "0 0"
    pts = mount(config, "/dev/pts")
    assert pts is not None
    assert "gid=5" not in pts.options


def test_mounts_take_the_place_of_defaults() -> None:
    own = (
        Mount("/etc/hosts", "bind", "/run/x/hosts", ("bind", "ro")),
        Mount("/etc/hostname", "bind", "/run/x/hostname"),
    )
    config = build(volumes=["/my/hosts:/etc/hosts"], tmpfs="/dev/shm:size=1m", own_mounts=own)
    hosts, shm = mount(config, "/etc/hosts"), mount(config, "/dev/shm")
    assert hosts is not None
    assert hosts.source == "/my/hosts"
    assert shm is not None
    assert "size=1048576" in shm.options
    targets = [each.destination for each in config.mounts]
    assert len(set(targets)) == len(targets)
    assert "/etc/hostname" in targets
    assert all(targets.index(parent) < place for place, parent in _below(targets))


def _below(targets: list[str]) -> list[tuple[int, str]]:
    pairs = [
        (targets.index(target), other) for target in targets for other in targets if target.startswith(other + "/")
    ]
    assert pairs
    return pairs


def test_namespaces_that_are_shared_need_the_machines_mounts() -> None:
    config = build(network="host", pid="host", ipc="host", cgroupns="host")
    for target in ("/proc", "/sys", "/dev/shm", "/dev/mqueue", "/sys/fs/cgroup"):
        found = mount(config, target)
        assert found is not None
        assert (found.type, found.source) == ("bind", target)
    with_ids = build(network="host", pid="host", userns="host")
    assert [mount(with_ids, target) for target in ("/proc", "/sys")] == [
        Mount("/proc", "proc", "proc", ("nosuid", "noexec", "nodev")),
        Mount("/sys", "sysfs", "sysfs", ("nosuid", "noexec", "nodev", "ro")),
    ]
    assert linux(with_ids).sysctl == {}


def test_ipc_without_shared_memory_or_queues() -> None:
    assert mount(build(ipc="none"), "/dev/shm") is None
    assert mount(build(ipc="shareable"), "/dev/shm") is not None
    without = Machine(cpus=1, memory=GIB, cpuset=frozenset({0}), mqueue=False, host_mqueue=False)
    assert mount(build(machine=without), "/dev/mqueue") is None
    assert mount(build(machine=without, ipc="host"), "/dev/mqueue") is None


def test_devices_are_bound_where_no_node_can_be_made() -> None:
    config = build(devices="/dev/fuse:/dev/f:rw")
    assert mount(config, "/dev/f") == Mount("/dev/f", "bind", "/dev/fuse", ("bind", "rprivate", "nosuid", "noexec"))
    assert linux(config).devices == ()
    assert resources(config).devices[-1] == runtime_spec.DeviceRule(True, "c", 10, 229, "rw")
    made = build(devices="/dev/fuse:/dev/f:rw", userns="host")
    assert linux(made).devices == (runtime_spec.Device("/dev/f", "c", 10, 229, 0o666, 0, 0),)
    assert mount(made, "/dev/f") is None


@pytest.mark.parametrize(
    ("given", "hidden", "shown"),
    [
        ("unmask=/proc/keys", "/proc/kcore", "/proc/keys"),
        ("unmask=/sys/fs", "/sys/firmware", "/sys/fs/bpf"),
        ("unmask=/proc", "/sys/firmware", "/proc/kcore"),
        ("unmask=ALL", "", "/proc/kcore"),
        ("mask=/proc/version", "/proc/version", ""),
    ],
)
def test_unmasked(given: str, hidden: str, shown: str) -> None:
    found = linux(build(security_opt=given)).masked_paths
    assert hidden == "" or hidden in found
    assert shown not in found


def test_seccomp_choices() -> None:
    assert build(security_opt="seccomp=unconfined").annotations["io.kernelbox.seccomp"] == "unconfined"
    assert build(privileged=True).annotations["io.kernelbox.seccomp"] == "unconfined"
    custom = build(security_opt='seccomp={"defaultAction": "SCMP_ACT_ALLOW"}')
    assert custom.annotations["io.kernelbox.seccomp"] == "custom"
    filter_ = linux(custom).seccomp
    assert filter_ is not None
    assert filter_.default_action == "SCMP_ACT_ALLOW"


def test_an_images_words_grant_nothing() -> None:
    hostile = ImageConfig(
        env=("PATH=/bin",),
        cmd=("a",),
        labels={"io.kernelbox.seccomp": "unconfined", "privileged": "true"},
        volumes={"/proc": {}, "/../../etc": {}},
        stop_signal="binary://x",
    )
    plain = ImageConfig(env=("PATH=/bin",), cmd=("a",))
    assert build((), hostile) == build((), plain)
