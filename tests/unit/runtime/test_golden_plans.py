"""Plans as people read them: a change of what a launch does shows as a change of these texts.

KERNELBOX_GOLDEN=write makes them anew. No root and nothing of this machine is needed: a plan is data."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from kernelbox.linux.cgroups import Counter, Group
from kernelbox.linux.features import Features
from kernelbox.oci import runtime_spec
from kernelbox.oci.runtime_spec import Config, IdMapping
from kernelbox.runtime.compile import compile_plan
from kernelbox.runtime.plan import Plan
from kernelbox.runtime.setup import KEEP_ID, setup_plan
from kernelbox.runtime.target import Layer, Rootfs, Target
from kernelbox.store.paths import StorePaths

GOLDEN = Path(__file__).with_name("golden")
ID = "c0ffee" + "0" * 58
NEW = Features(mount_api=True, overlay_by_fd=True, detached_clone=True, idmapped_mounts=True, idmapped_tmpfs=True)
OLD = replace(NEW, overlay_by_fd=False, detached_clone=False, idmapped_tmpfs=False)
SHARED = setup_plan(StorePaths(Path("/store"), Path("/run/store"), "store"), (), pool=1).shared

DOCUMENT = {
    "ociVersion": "1.2.0",
    "root": {"path": "rootfs"},
    "hostname": "box",
    "process": {
        "args": ["echo", "hello"],
        "env": ["PATH=/usr/bin:/bin"],
        "cwd": "/work",
        "user": {"uid": 1000, "gid": 1000, "additionalGids": [7]},
        "oomScoreAdj": 500,
        "rlimits": [{"type": "RLIMIT_CORE", "hard": 0, "soft": 0}],
        "capabilities": {"bounding": ["CAP_CHOWN", "CAP_KILL"], "effective": [], "permitted": []},
    },
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "gid=5"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "ro"]},
        {"destination": "/data", "type": "bind", "source": "/srv/data", "options": ["rbind", "ro"]},
    ],
    "linux": {
        "uidMappings": [{"containerID": 0, "hostID": 524288, "size": 65536}],
        "gidMappings": [{"containerID": 0, "hostID": 524288, "size": 65536}],
        "namespaces": [{"type": kind} for kind in ("pid", "network", "mount", "ipc", "uts", "cgroup", "user")],
        "maskedPaths": ["/secret"],
        "readonlyPaths": ["/settings"],
        "sysctl": {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ip_forward": "1"},
    },
}

GROUPS = (
    Group(Path("/cg/unified/kernelbox/store", ID), "v2"),
    Group(Path("/cg/pids/kernelbox/store", ID), "v1", ("pids",), (("pids.max", "64"),)),
)
COUNTERS = (Counter(0, "cpu.stat", "v2/cpu.stat"), Counter(1, "pids.peak", "v1/pids.peak"))
LAYERS = Rootfs((Layer("/images/app"), Layer("/images/base")))


def config(**changes: object) -> Config:
    return replace(runtime_spec.parse(DOCUMENT), **changes)


def target(**changes: object) -> Target:
    made = Target(
        id=ID,
        rootfs=LAYERS,
        features=NEW,
        groups=GROUPS,
        counters=COUNTERS,
        userns="userns",
        device_filter="devices",
        held=("ids",),
        files={"/etc/hosts": "127.0.0.1 localhost\n"},
        seccomp=bytes(16),
    )
    return replace(made, **changes)


def with_terminal() -> Config:
    process = config().process
    assert process
    return config(
        process=replace(process, terminal=True, no_new_privileges=True), root=runtime_spec.Root("rootfs", True)
    )


def bundle() -> Config:
    linux = config().linux
    assert linux
    hook = {"path": "/bin/hook", "args": ["hook", "now"], "timeout": 5}
    hooks = runtime_spec.parse({**DOCUMENT, "hooks": {"createRuntime": [hook], "poststop": [hook]}}).hooks
    return config(hooks=hooks, linux=replace(linux, uid_mappings=(), gid_mappings=(), rootfs_propagation="slave"))


def keeping_id() -> Config:
    linux = config().linux
    assert linux
    kept = (IdMapping(0, 1, 1000), IdMapping(1000, 0, 1), IdMapping(1001, 1001, 64_536))
    return config(linux=replace(linux, uid_mappings=kept, gid_mappings=kept))


PLANS = {
    "default": lambda: compile_plan(config(), target()),
    "layers_given": lambda: compile_plan(
        config(), target(rootfs=Rootfs((Layer("/images/app", given=True),), scratch_given=True))
    ),
    "older_kernel": lambda: compile_plan(config(), target(features=OLD)),
    "ordinary_user": lambda: compile_plan(
        bundle(), target(rootless=True, userns="", groups=(), counters=(), device_filter="", held=())
    ),
    "ordinary_user_keeps_id": lambda: compile_plan(
        keeping_id(), target(rootless=True, userns=KEEP_ID, groups=(), counters=(), device_filter="", held=())
    ),
    "terminal_read_only": lambda: compile_plan(with_terminal(), target()),
    "bundle": lambda: compile_plan(
        bundle(), target(rootfs=Rootfs(path="/bundle/rootfs", mapped=False), userns="", files={})
    ),
}


@pytest.mark.parametrize("name", PLANS)
def test_golden_plan(name: str) -> None:
    text = PLANS[name]().describe()
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("KERNELBOX_GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("name", PLANS)
def test_every_step_has_its_operations(name: str) -> None:
    plan: Plan = PLANS[name]()
    shared = {**SHARED, **{f"@{group.path.parent}": 150 + n for n, group in enumerate(GROUPS)}}
    encoded = plan.encode(["userns", "ids", "devices", "stdin"], shared, identity=ID, pipes=6)
    assert sum(encoded.parts) * 56 == len(encoded.operations)
    assert list(encoded.owners) == sorted(encoded.owners)
    assert set(encoded.owners) == set(range(len(plan.steps)))
    assert encoded.text.endswith(b"\0")


def test_another_container_of_the_same_plan() -> None:
    shared = {**SHARED, **{f"@{group.path.parent}": 150 + n for n, group in enumerate(GROUPS)}}
    encoded = PLANS["default"]().encode(["userns", "ids", "devices", "stdin"], shared, identity=ID, pipes=6)
    other = "beef" + "1" * 60
    again = encoded.renamed(other)
    assert len(again.text) == len(encoded.text)
    assert ID.encode() in encoded.text
    assert ID.encode() not in again.text
    assert again.text.count(other.encode()) == encoded.text.count(ID.encode())
    assert again.operations == encoded.operations


def test_paths_of_a_store_are_told_apart() -> None:
    one, two = StorePaths.of("/a"), StorePaths.of("/b")
    assert one.name != two.name
    assert PurePosixPath(one.socket).name == "monitor.sock"
    assert StorePaths.of("/a") == one
