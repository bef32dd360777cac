"""config.json in and out: round trips, strictness, and errors that say where."""

from __future__ import annotations

import json

import pytest

from kernelbox.errors import InvalidOption
from kernelbox.oci import runtime_spec
from kernelbox.oci.runtime_spec import Config, IdMapping, Mount, Namespace, Process, Root, User

# What `runc spec` writes (shortened where it repeats itself).
RUNC = {
    "ociVersion": "1.0.2-dev",
    "process": {
        "terminal": True,
        "user": {"uid": 0, "gid": 0},
        "args": ["sh"],
        "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
        "cwd": "/",
        "capabilities": {
            "bounding": ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"],
            "effective": ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"],
            "permitted": ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"],
            "ambient": ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"],
        },
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
        "noNewPrivileges": True,
    },
    "root": {"path": "rootfs", "readonly": True},
    "hostname": "runc",
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
    ],
    "linux": {
        "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        "namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}],
        "maskedPaths": ["/proc/acpi", "/proc/kcore"],
        "readonlyPaths": ["/proc/bus"],
    },
}

# Every part of the Linux configuration that has a name of its own or a rule of its own.
EVERYTHING = {
    "ociVersion": "1.2.0",
    "process": {
        "cwd": "/",
        "user": {"uid": 1, "gid": 2, "umask": 0, "additionalGids": [3, 4]},
        "consoleSize": {"height": 24, "width": 80},
        "args": ["a", ""],
        "rlimits": [{"type": "RLIMIT_CORE", "hard": 18446744073709551615, "soft": 0}],
        "oomScoreAdj": -1000,
        "apparmorProfile": "p",
        "selinuxLabel": "l",
        "scheduler": {"policy": "SCHED_BATCH", "nice": 0},
        "ioPriority": {"class": "IOPRIO_CLASS_IDLE", "priority": 7},
        "execCPUAffinity": {"initial": "0", "final": "0-3"},
    },
    "root": {"path": "/r"},
    "mounts": [{"destination": "/m", "uidMappings": [{"containerID": 0, "hostID": 1, "size": 2}]}],
    "hooks": {
        "createRuntime": [{"path": "/h", "args": ["h"], "env": ["A=b"], "timeout": 0}],
        "poststop": [{"path": "/p"}],
    },
    "annotations": {"a": ""},
    "linux": {
        "uidMappings": [{"containerID": 0, "hostID": 524288, "size": 65536}],
        "sysctl": {"net.ipv4.ip_forward": "1"},
        "cgroupsPath": "/a/b",
        "resources": {
            "memory": {"limit": -1, "swap": 0, "kernelTCP": 1, "disableOOMKiller": True, "checkBeforeUpdate": True},
            "cpu": {"shares": 2, "quota": -1, "period": 100000, "cpus": "0-1", "mems": "0", "idle": 0},
            "pids": {"limit": 0},
            "blockIO": {
                "weight": 10,
                "weightDevice": [{"major": 8, "minor": 0, "weight": 500, "leafWeight": 300}],
                "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 0}],
                "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 600}],
            },
            "hugepageLimits": [{"pageSize": "2MB", "limit": 9}],
            "network": {"classID": 1048577, "priorities": [{"name": "eth0", "priority": 500}]},
            "rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}},
            "unified": {"memory.high": "1"},
        },
        "namespaces": [{"type": "time", "path": "/proc/1/ns/time"}],
        "devices": [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 438, "uid": 0, "gid": 0}],
        "seccomp": {
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": 38,
            "architectures": ["SCMP_ARCH_X86_64"],
            "flags": ["SECCOMP_FILTER_FLAG_LOG"],
            "syscalls": [
                {
                    "names": ["clone"],
                    "action": "SCMP_ACT_ALLOW",
                    "args": [{"index": 0, "value": 2114060288, "op": "SCMP_CMP_MASKED_EQ", "valueTwo": 0}],
                },
                {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
            ],
        },
        "rootfsPropagation": "slave",
        "intelRdt": {"closID": "guaranteed", "l3CacheSchema": "L3:0=7f0", "memBwSchema": "MB:0=20", "enableCMT": True},
        "personality": {"domain": "LINUX32"},
        "timeOffsets": {"monotonic": {"secs": 172800, "nanosecs": 0}},
        "mountLabel": "m",
    },
    "vm": {"kernel": {"path": "/k"}},
}


@pytest.mark.parametrize("document", [RUNC, EVERYTHING], ids=["runc", "everything"])
def test_what_is_read_is_written_again(document: dict[str, object]) -> None:
    config = runtime_spec.parse(json.dumps(document))
    assert config.to_json() == document
    assert runtime_spec.parse(config.to_json()) == config


def test_names_are_the_specification_in_snake_case() -> None:
    config = runtime_spec.parse(RUNC)
    assert config.process is not None
    assert config.process.no_new_privileges
    assert config.linux is not None
    assert config.linux.namespaces[4] == Namespace("mount")
    assert config.mounts[1] == Mount("/dev", "tmpfs", "tmpfs", ("nosuid", "mode=755", "size=65536k"))


def test_zero_and_false_are_told_from_absent() -> None:
    config = runtime_spec.parse(EVERYTHING)
    assert config.process is not None
    assert config.process.user.umask == 0
    assert runtime_spec.parse(RUNC).process is not None
    written = Config("1.2.0", Root("r"), Process("/", User(0, 0), args=("a",))).to_json()
    assert written["process"] == {"cwd": "/", "user": {"uid": 0, "gid": 0}, "args": ["a"]}
    assert written["root"] == {"path": "r"}


def changed(path: str, value: object) -> dict[str, object]:
    """A valid document with the value at `path` (`a.b.0.c`) replaced; "DELETE" removes it."""
    document: dict[str, object] = json.loads(json.dumps(EVERYTHING))
    here: object = document
    *parents, last = path.split(".")
    for key in parents:
        here = here[int(key)] if isinstance(here, list) else here[key]  # type: ignore[index]  # tests know the shape
    if value == "DELETE":
        del here[last]  # type: ignore[attr-defined]
    else:
        here[int(last) if isinstance(here, list) else last] = value  # type: ignore[index]
    return document


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("process.user.uid", "root", "process.user.uid: expected an integer, got 'root'"),
        ("process.user.uid", True, "process.user.uid: expected an integer, got true"),
        ("process.user.uid", -1, "process.user.uid: -1 is not between 0 and 4294967295"),
        ("process.user.uid", 1 << 32, "process.user.uid: 4294967296 is not between 0 and 4294967295"),
        ("process.user.uid", None, "process.user.uid: missing"),
        ("process.user.uid", 1.5, "process.user.uid: expected an integer, got 1.5"),
        ("process.user", "DELETE", "process.user: missing"),
        ("process.user.additionalGids.1", "x", "process.user.additionalGids[1]: expected an integer, got 'x'"),
        ("process.args", "sh", "process.args: expected a list, got 'sh'"),
        ("process.args", [], "process.args: expected at least one argument"),
        ("process.args.1", None, "process.args[1]: expected a string, got null"),
        ("process.args.1", "a\0b", "process.args[1]: contains a NUL character"),
        ("process.args.1", "\ud800", "process.args[1]: contains half a character (a lone surrogate)"),
        ("process.cwd", "tmp", "process.cwd: 'tmp' is not an absolute path"),
        ("process.env", ["A"], "process.env[0]: expected NAME=value, got 'A'"),
        ("process.env", ["=a"], "process.env[0]: expected NAME=value, got '=a'"),
        ("process.rlimits.0.hard", 1 << 64, "process.rlimits[0].hard: "),
        ("root", [], "root: expected an object, got a list"),
        ("root.readonly", "yes", "root.readonly: expected true or false, got 'yes'"),
        ("root", "DELETE", "root: missing"),
        ("ociVersion", "2.0.0", "ociVersion: expected 1.x, got '2.0.0'"),
        ("ociVersion", "1", "ociVersion: expected 1.x, got '1'"),
        ("mounts.0.destination", "m", "mounts[0].destination: 'm' is not an absolute path"),
        ("mounts.0.uidMappings.0.size", "DELETE", "mounts[0].uidMappings[0].size: missing"),
        ("annotations", {"a": 1}, "annotations.a: expected a string, got 1"),
        ("linux.namespaces.0.type", "net", "linux.namespaces[0].type: unknown word 'net' (hint: one of pid, network"),
        ("linux.seccomp.syscalls.0.args.0.op", "==", "linux.seccomp.syscalls[0].args[0].op: unknown word '=='"),
        ("linux.resources.rdma.mlx5_1", 3, "linux.resources.rdma.mlx5_1: expected an object, got 3"),
        (
            "linux.resources.blockIO.throttleReadBpsDevice.0.rate",
            -5,
            "linux.resources.blockIO.throttleReadBpsDevice[0].rate",
        ),
        ("linux.timeOffsets.monotonic.secs", "1", "linux.timeOffsets.monotonic.secs: expected an integer"),
        ("linux.rootfsPropagation", "open", "linux.rootfsPropagation: unknown word 'open'"),
    ],
)
def test_errors_name_the_place(path: str, value: object, message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        runtime_spec.parse(changed(path, value))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (b"", "config.json: not JSON: "),
        (b"\xff{}", "config.json: not JSON: "),
        (b"[]", "config.json: expected an object, got a list"),
        (b'{"a": NaN}', "config.json: NaN is not JSON"),
        (b'{"root": {"path": "a", "path": "b"}}', "config.json: the key 'path' appears twice in one object"),
        (b'{"a":' * 100_000, "config.json: nested too deeply"),
        (b" " * ((16 << 20) + 1), "config.json: longer than 16 MiB"),
    ],
)
def test_what_is_no_document(document: bytes, message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        runtime_spec.parse(document)
    assert str(caught.value).startswith(message)


def test_unknown_keys_are_ignored_inside_and_kept_at_the_top() -> None:
    config = runtime_spec.parse({**RUNC, "linux": {"netDevices": {}, "cgroupsPath": "/x"}, "zos": {"a": 1}})
    assert config.extra == {"zos": {"a": 1}}
    assert config.to_json()["linux"] == {"cgroupsPath": "/x"}


def test_the_rare_classes_are_reached_by_name() -> None:
    assert runtime_spec.Hooks().prestart == ()
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        runtime_spec.Nothing  # noqa: B018


def test_every_public_name_is_there() -> None:
    assert all(hasattr(runtime_spec, name) for name in runtime_spec.__all__)
    assert runtime_spec.__all__ == sorted(runtime_spec.__all__, key=lambda name: (not name.isupper(), name))


def test_mappings_are_values() -> None:
    assert IdMapping(0, 1, 2) == IdMapping(container_id=0, host_id=1, size=2)
