"""From options to config.json. The files in golden/ are whole configurations: what changed shows as a diff.

KERNELBOX_WRITE_GOLDEN=1 writes them anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kernelbox.engine import spec
from kernelbox.engine.machine import Machine
from kernelbox.engine.options import RunOptions
from kernelbox.engine.spec import IdMap
from kernelbox.engine.users import ResolvedUser
from kernelbox.errors import InvalidOption, NotSupported
from kernelbox.oci import runtime_spec
from kernelbox.oci.image_config import ImageConfig
from kernelbox.oci.runtime_spec import Pids

Build = Callable[..., Any]
GOLDEN = Path(__file__).with_name("golden")
GIB = 1 << 30
IMAGE = ImageConfig(cmd=("sh",), user="app")
APP = ResolvedUser(1000, 1001, (50, 44), "app", "/home/app")


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
def test_golden(build: Build, name: str) -> None:
    text = json.dumps(build(**dict(CASES[name])).config.to_json(), indent=2) + "\n"
    file = GOLDEN / f"{name}.json"
    if os.environ.get("KERNELBOX_WRITE_GOLDEN"):
        file.write_text(text)
    assert text == file.read_text()


@pytest.mark.parametrize("name", CASES)
def test_what_is_built_is_valid(build: Build, name: str) -> None:
    built = build(**dict(CASES[name]))
    assert runtime_spec.parse(json.dumps(built.config.to_json())) == built.config


def test_isolated_by_default(build: Build) -> None:
    built = build()
    assert built.namespaces == {"pid", "network", "ipc", "uts", "mount", "cgroup", "user"}
    assert not any(each.path for each in built.linux.namespaces)
    assert built.linux.uid_mappings == built.linux.gid_mappings
    assert 0 not in [each.host_id for each in built.linux.uid_mappings]
    sets = built.capabilities
    assert len(sets.bounding) == 11
    assert (sets.effective, sets.permitted) == (sets.bounding, sets.bounding)
    assert (sets.inheritable, sets.ambient) == ((), ())
    assert built.config.annotations == {"io.kernelbox.seccomp": "default"}
    assert built.resources.devices[0] == runtime_spec.DeviceRule(allow=False, access="rwm")
    assert built.resources.pids == Pids(2048)
    assert built.process.oom_score_adj == 500
    assert built.process.user.umask == 0o022
    assert not built.process.no_new_privileges


def test_host_names(build: Build) -> None:
    assert build().config.hostname == "0123456789ab"
    assert build(hostname="web").config.hostname == "web"
    assert build(network="host").config.hostname == "laptop"
    shared = build(uts="host")
    assert shared.config.hostname == ""
    assert "HOSTNAME=laptop" in shared.process.env


def test_no_ids_no_user_namespace_unless_asked(build: Build) -> None:
    with pytest.raises(NotSupported, match="there is no range of ids"):
        build(id_map=None)
    built = build(userns="host", id_map=None, as_user=ResolvedUser(1_000_000, 1_000_000))
    assert "user" not in built.namespaces
    assert built.linux.uid_mappings == ()
    assert built.linux.sysctl["net.ipv4.ping_group_range"] == "0 2147483647"


@pytest.mark.parametrize(
    ("uid", "expected"),
    [
        (1000, [(0, 524_288, 1000), (1000, 1000, 1), (1001, 525_288, 64_536)]),
        (65_536, [(0, 524_288, 65_536), (65_536, 65_536, 1)]),
        (100_000, [(0, 524_288, 65_536), (100_000, 100_000, 1)]),
    ],
)
def test_keep_id(build: Build, uid: int, expected: list[tuple[int, int, int]]) -> None:
    machine = Machine(cpus=1, memory=GIB, cpuset=frozenset({0}), uid=uid, gid=uid)
    built = build(userns="keep-id", machine=machine, as_user=ResolvedUser(uid, uid))
    found = [(each.container_id, each.host_id, each.size) for each in built.linux.uid_mappings]
    assert found == expected
    assert spec.user_text(RunOptions.make(userns="keep-id"), IMAGE, machine) == f"{uid}:{uid}"
    assert spec.user_text(RunOptions.make(userns="keep-id", user="0"), IMAGE, machine) == "0"
    assert spec.user_text(RunOptions(), IMAGE, machine) == "app"


@pytest.mark.parametrize(
    ("uid", "gid", "counts", "uids", "gids"),
    [
        (1000, 100, (65_536, 200), [(0, 1, 1000), (1000, 0, 1), (1001, 1001, 64_536)], [(0, 1, 100), (100, 0, 1)]),
        (1000, 100, (0, 0), [(1000, 0, 1)], [(100, 0, 1)]),
        (70_000, 1, (65_536, 1), [(0, 1, 65_536), (70_000, 0, 1)], [(0, 1, 1), (1, 0, 1)]),
    ],
)
def test_keep_id_below_the_namespace_of_an_ordinary_user(
    build: Build, uid: int, gid: int, counts: tuple[int, int], uids: list[Any], gids: list[Any]
) -> None:
    machine = Machine(cpus=1, memory=GIB, cpuset=frozenset({0}), uid=uid, gid=gid)
    ids = IdMap(1, counts[0], gid_count=counts[1], own=0)
    built = build(userns="keep-id", machine=machine, as_user=ResolvedUser(uid, gid), id_map=ids, devices="/dev/fuse")
    found = [(each.container_id, each.host_id, each.size) for each in built.linux.uid_mappings]
    assert found == uids
    expected = gids if counts[1] != 200 else [*gids, (101, 101, 100)]
    assert [(each.container_id, each.host_id, each.size) for each in built.linux.gid_mappings] == expected
    assert built.linux.devices == (), "no device can be made in a user namespace"
    options = built.mount("/dev/pts").options
    assert ("gid=5" in options) == (counts[1] > 5), "a terminal's group, where it is among the ids"


def test_ids_that_keep_id_does_not_have(build: Build) -> None:
    machine = Machine(cpus=1, memory=GIB, cpuset=frozenset({0}), uid=1000, gid=1000)
    for count, said in ((0, "1000"), (10, "0 to 9, 1000"), (5000, "0 to 5000")):
        with pytest.raises(InvalidOption) as caught:
            build(userns="keep-id", machine=machine, as_user=ResolvedUser(6000, 0), id_map=IdMap(1, count, own=0))
        assert caught.value.message == f"user: the user id 6000 is not among the container's ids ({said})"
        assert "newuidmap" in (caught.value.hint or "")


def test_ids_of_a_namespace_that_is_there_already(build: Build) -> None:
    built = build(inherited_ids=10, id_map=None, network="host", devices="/dev/fuse")
    assert "user" not in built.namespaces
    assert built.linux.uid_mappings == ()
    assert built.mount("/sys") == build(network="host").mount("/sys")
    assert built.mount("/dev/fuse") is not None
    assert build(inherited_ids=10).linux.sysctl["net.ipv4.ping_group_range"] == "0 9"
    with pytest.raises(InvalidOption, match=r"the user id 10 is not among the container's ids \(0 to 9\)"):
        build(inherited_ids=10, as_user=ResolvedUser(10, 0))


def test_groups_may_start_elsewhere_and_be_few(build: Build) -> None:
    built = build(id_map=IdMap(1000, 1, gid_start=1001))
    assert built.linux.gid_mappings == (runtime_spec.IdMapping(0, 1001, 1),)
    assert built.linux.sysctl["net.ipv4.ping_group_range"] == "0 0"
    pts = built.mount("/dev/pts")
    assert pts is not None
    assert "gid=5" not in pts.options


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
def test_unmasked(build: Build, given: str, hidden: str, shown: str) -> None:
    found = build(security_opt=given).linux.masked_paths
    assert hidden == "" or hidden in found
    assert shown not in found


def test_counters_of_throttling_are_hidden(build: Build) -> None:
    counters = ("/sys/devices/system/cpu/cpu0/thermal_throttle", "/sys/devices/system/cpu/cpu1/thermal_throttle")
    hot = Machine(cpus=2, memory=GIB, cpuset=frozenset({0, 1}), throttle_counters=counters)
    assert set(counters) <= set(build(machine=hot).linux.masked_paths)
    shown = build(machine=hot, security_opt=f"unmask={counters[0]}").linux.masked_paths
    assert counters[0] not in shown
    assert counters[1] in shown
    assert not build(machine=hot, privileged=True).linux.masked_paths


def test_seccomp_choices(build: Build) -> None:
    assert build(security_opt="seccomp=unconfined").config.annotations["io.kernelbox.seccomp"] == "unconfined"
    assert build(privileged=True).config.annotations["io.kernelbox.seccomp"] == "unconfined"
    custom = build(security_opt='seccomp={"defaultAction": "SCMP_ACT_ALLOW"}')
    assert custom.config.annotations["io.kernelbox.seccomp"] == "custom"
    filter_ = custom.linux.seccomp
    assert filter_ is not None
    assert filter_.default_action == "SCMP_ACT_ALLOW"


def test_an_images_words_grant_nothing(build: Build) -> None:
    hostile = ImageConfig(
        env=("PATH=/bin",),
        cmd=("a",),
        labels={"io.kernelbox.seccomp": "unconfined", "privileged": "true"},
        volumes={"/proc": {}, "/../../etc": {}},
        stop_signal="binary://x",
    )
    plain = ImageConfig(env=("PATH=/bin",), cmd=("a",))
    assert build((), hostile).config == build((), plain).config
