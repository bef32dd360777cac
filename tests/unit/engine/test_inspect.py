"""A container as Docker's API shows it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast

import pytest

from kernelbox.engine.inspect import Known, Sizes, document, human_duration, status_text, summary
from kernelbox.engine.ports import Port
from kernelbox.errors import InvalidOption
from kernelbox.oci.image_config import Healthcheck, ImageConfig
from kernelbox.oci.runtime_spec import Config, Linux, Mount, Pids, Process, Resources, Root, User
from kernelbox.store.container_record import STATUSES, ContainerRecord

MINUTE, HOUR, DAY = 60, 3600, 86_400
CREATED = 1_700_000_000.25

PLAIN = ContainerRecord("4d" * 32, "plain", "busybox:1.36", CREATED, ("sleep", "1 h"))
FULL = PLAIN.changed(
    name="full",
    image_digest="sha256:" + "ab" * 32,
    labels={"a": "b"},
    status="running",
    pid=42,
    started_at=CREATED + 1,
    restart_count=2,
    options={
        "annotations": {"note": "x"},
        "blkio_weight": 100,
        "cap_add": ["ALL"],
        "cap_drop": ["net_raw"],
        "cpus": 1.5,
        "device_cgroup_rules": ["c 10:200 rw"],
        "device_read_bps": ["/dev/sda:1m"],
        "devices": ["/dev/fuse:/dev/f:r"],
        "env": ["A=1"],
        "env_file": ["/not/there"],
        "group_add": ["adm"],
        "interactive": True,
        "memory": "64m",
        "mounts": [
            "type=bind,source=/q,target=/w,readonly,bind-propagation=rslave",
            "type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=700",
        ],
        "network": "host",
        "pid": "host",
        "restart": "on-failure:3",
        "security_opt": ["no-new-privileges", "seccomp=/not/there"],
        "stop_signal": "SIGRTMIN+3",
        "stop_timeout": 7,
        "sysctls": {"kernel.msgmax": "1"},
        "tmpfs": ["/run:size=1m"],
        "tty": True,
        "ulimits": ["nofile=1:2", "core=-1"],
        "user": "1:2",
        "userns": "host",
        "volumes": ["/a:/b:ro", "/c:/d"],
        "workdir": "/work",
    },
)
CONFIG = Config(
    "1.2.0",
    Root("rootfs"),
    Process(
        "/work",
        User(1, 2),
        args=("/bin/sleep", "1 h"),
        env=("PATH=/bin", "HOSTNAME=box", "TERM=xterm", "HOME=/", "A=1", "FROM_FILE=2"),
        oom_score_adj=500,
    ),
    hostname="box",
    mounts=(Mount("/b", "bind", "/real/a", ("rbind", "ro")),),
    linux=Linux(resources=Resources(pids=Pids(2048)), masked_paths=("/proc/kcore",), readonly_paths=("/proc/bus",)),
)

# Keys and JSON types that clients of Docker's API (v1.55) read: the objects' own, by path.
S, W, B, L, M, N = "string", "integer", "boolean", "array", "object", "null"
SHAPE: Mapping[str, Mapping[str, str]] = {
    "": {
        "Id": S, "Created": S, "Path": S, "Args": L, "State": M, "Image": S, "ResolvConfPath": S, "HostnamePath": S,
        "HostsPath": S, "LogPath": S, "Name": S, "RestartCount": W, "Driver": S, "Platform": S, "MountLabel": S,
        "ProcessLabel": S, "AppArmorProfile": S, "ExecIDs": N, "HostConfig": M, "GraphDriver": M, "Mounts": L,
        "Config": M, "NetworkSettings": M,
    },
    "State": {
        "Status": S, "Running": B, "Paused": B, "Restarting": B, "OOMKilled": B, "Dead": B, "Pid": W, "ExitCode": W,
        "Error": S, "StartedAt": S, "FinishedAt": S,
    },
    "Config": {
        "Hostname": S, "Domainname": S, "User": S, "AttachStdin": B, "AttachStdout": B, "AttachStderr": B, "Tty": B,
        "OpenStdin": B, "StdinOnce": B, "Env": L, "Cmd": L, "Image": S, "Volumes": N, "WorkingDir": S,
        "Entrypoint": N, "OnBuild": N, "Labels": M,
    },
    "HostConfig": {
        "Binds": N, "ContainerIDFile": S, "LogConfig": M, "NetworkMode": S, "PortBindings": M, "RestartPolicy": M,
        "AutoRemove": B, "VolumeDriver": S, "VolumesFrom": N, "ConsoleSize": L, "Annotations": M, "CapAdd": N,
        "CapDrop": N, "CgroupnsMode": S, "Dns": L, "DnsOptions": L, "DnsSearch": L, "ExtraHosts": N, "GroupAdd": N,
        "IpcMode": S, "Cgroup": S, "Links": N, "OomScoreAdj": W, "PidMode": S, "Privileged": B, "PublishAllPorts": B,
        "ReadonlyRootfs": B, "SecurityOpt": N, "StorageOpt": N, "UTSMode": S, "UsernsMode": S, "ShmSize": W,
        "Sysctls": M, "Runtime": S, "Isolation": S, "MaskedPaths": L, "ReadonlyPaths": L, "CpuShares": W,
        "Memory": W, "CgroupParent": S, "BlkioWeight": W, "BlkioWeightDevice": L, "BlkioDeviceReadBps": L,
        "BlkioDeviceWriteBps": L, "BlkioDeviceReadIOps": L, "BlkioDeviceWriteIOps": L, "CpuPeriod": W, "CpuQuota": W,
        "CpuRealtimePeriod": W, "CpuRealtimeRuntime": W, "CpusetCpus": S, "CpusetMems": S, "Devices": L,
        "DeviceCgroupRules": N, "DeviceRequests": N, "MemoryReservation": W, "MemorySwap": W, "MemorySwappiness": N,
        "NanoCpus": W, "OomKillDisable": N, "Init": N, "PidsLimit": N, "Ulimits": L, "CpuCount": W, "CpuPercent": W,
        "IOMaximumIOps": W, "IOMaximumBandwidth": W,
    },
    "NetworkSettings": {"SandboxID": S, "SandboxKey": S, "Ports": M, "Networks": M},
}  # fmt: skip
SUMMARY = {
    "Id": S, "Names": L, "Image": S, "ImageID": S, "Command": S, "Created": W, "Ports": L, "Labels": M, "State": S,
    "Status": S, "HostConfig": M, "NetworkSettings": M, "Mounts": L, "Health": M,
}  # fmt: skip
ENDPOINT = {
    "IPAMConfig": N, "Links": N, "Aliases": N, "MacAddress": S, "DriverOpts": N, "GwPriority": W, "NetworkID": S,
    "EndpointID": S, "Gateway": S, "IPAddress": S, "IPPrefixLen": W, "IPv6Gateway": S, "GlobalIPv6Address": S,
    "GlobalIPv6PrefixLen": W, "DNSNames": N,
}  # fmt: skip


def kind(value: object) -> str:
    kinds: dict[type, str] = {bool: B, int: W, str: S, list: L, dict: M, type(None): N}
    return kinds[type(value)]


def types(value: object) -> dict[str, str]:
    return {key: kind(each) for key, each in part(value).items()}


def part(value: object, *path: str) -> dict[str, object]:
    for name in path:
        value = cast("dict[str, object]", value)[name]
    return cast("dict[str, object]", value)


def details(record: ContainerRecord, config: Config | None = None, known: Known | None = None) -> dict[str, object]:
    return document(record, config=config, log_path="/logs/x.log", known=known or Known())


@pytest.mark.parametrize("path", SHAPE)
def test_keys_and_types_are_those_of_the_api(path: str) -> None:
    assert types(part(details(PLAIN), *path.split())) == SHAPE[path]


@pytest.mark.parametrize("path", SHAPE)
def test_a_full_container_has_them_too(path: str) -> None:
    shown = json.loads(json.dumps(details(FULL, CONFIG)))
    found = types(part(shown, *path.split()))
    assert found.keys() >= SHAPE[path].keys()
    assert not {key for key, name in SHAPE[path].items() if name != N and found[key] != name}


def test_a_summary_and_its_networks() -> None:
    shown = summary(PLAIN, CREATED)
    assert types(shown) == SUMMARY
    assert types(part(shown, "NetworkSettings", "Networks", "none")) == ENDPOINT
    assert types(part(details(PLAIN), "NetworkSettings", "Networks", "none")) == ENDPOINT


def test_the_container_itself() -> None:
    shown = details(FULL, CONFIG)
    assert (shown["Id"], shown["Name"], shown["Created"]) == ("4d" * 32, "/full", "2023-11-14T22:13:20.25Z")
    assert (shown["Path"], shown["Args"]) == ("/bin/sleep", ["1 h"])
    assert (shown["Image"], shown["Platform"], shown["RestartCount"]) == ("sha256:" + "ab" * 32, "linux", 2)
    assert shown["LogPath"] == "/logs/x.log"


def test_limits_and_rights() -> None:
    host = part(details(FULL, CONFIG), "HostConfig")
    expected: dict[str, object] = {
        "Annotations": {"note": "x"},
        "BlkioDeviceReadBps": [{"Path": "/dev/sda", "Rate": 1 << 20}],
        "BlkioWeight": 100,
        "CapAdd": ["ALL"],
        "CapDrop": ["CAP_NET_RAW"],
        "DeviceCgroupRules": ["c 10:200 rw"],
        "Devices": [{"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/f", "CgroupPermissions": "r"}],
        "GroupAdd": ["adm"],
        "MaskedPaths": ["/proc/kcore"],
        "Memory": 64 << 20,
        "NanoCpus": 1_500_000_000,
        "NetworkMode": "host",
        "OomScoreAdj": 500,
        "PidMode": "host",
        "PidsLimit": 2048,
        "ReadonlyPaths": ["/proc/bus"],
        "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
        "SecurityOpt": ["no-new-privileges", "seccomp=/not/there"],
        "ShmSize": 64 << 20,
        "Sysctls": {"kernel.msgmax": "1"},
        "Ulimits": [{"Name": "nofile", "Hard": 2, "Soft": 1}, {"Name": "core", "Hard": -1, "Soft": -1}],
        "UsernsMode": "host",
        "UTSMode": "",
    }
    assert {key: host[key] for key in expected} == expected


def test_files() -> None:
    shown = details(FULL, CONFIG)
    host = part(shown, "HostConfig")
    assert host["Binds"] == ["/a:/b:ro", "/c:/d"]
    assert host["Tmpfs"] == {"/run": "size=1048576"}
    assert host["Mounts"] == [
        {"Type": "bind", "Source": "/q", "Target": "/w", "ReadOnly": True, "BindOptions": {"Propagation": "rslave"}},
        {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1 << 20, "Mode": 0o700}},
    ]
    mounts = [tuple(mount.values()) for mount in cast("list[dict[str, object]]", shown["Mounts"])]
    assert mounts == [
        ("bind", "/real/a", "/b", "ro", False, "rprivate"),
        ("bind", "/c", "/d", "", True, "rprivate"),
        ("bind", "/q", "/w", "ro", False, "rslave"),
        ("tmpfs", "", "/t", "", True, ""),
    ]


def test_what_runs() -> None:
    config = part(details(FULL, CONFIG), "Config")
    assert config["Env"] == ["PATH=/bin", "A=1", "FROM_FILE=2"]
    assert (config["Hostname"], config["User"], config["WorkingDir"]) == ("box", "1:2", "/work")
    assert (config["Tty"], config["OpenStdin"], config["Cmd"]) == (True, True, ["sleep", "1 h"])
    assert (config["StopSignal"], config["StopTimeout"]) == ("SIGRTMIN+3", 7)


def test_what_the_image_says_where_nobody_else_does() -> None:
    image = ImageConfig(
        "www", {"80/tcp": {}}, ("PATH=/bin", "A=0"), ("/entry",), ("serve",), {"/data": {}}, "/srv", {}, "SIGQUIT",
        Healthcheck(("CMD", "check"), interval=5_000_000_000),
    )  # fmt: skip
    bare = PLAIN.changed(command=(), options={"env": ["A=1"]})
    shown = details(bare, known=Known(image=image))
    assert (shown["Path"], shown["Args"]) == ("/entry", ["serve"])
    config = part(shown, "Config")
    assert (config["Entrypoint"], config["Cmd"], config["Env"]) == (["/entry"], ["serve"], ["PATH=/bin", "A=1"])
    assert (config["User"], config["WorkingDir"], config["StopSignal"]) == ("www", "/srv", "SIGQUIT")
    assert (config["ExposedPorts"], config["Volumes"]) == ({"80/tcp": {}}, {"/data": {}})
    assert config["Healthcheck"] == {"Test": ["CMD", "check"], "Interval": 5_000_000_000}
    other = details(bare.changed(options={"entrypoint": ["/mine"]}), known=Known(image=image))
    assert (other["Path"], other["Args"], part(other, "Config")["Cmd"]) == ("/mine", [], None)


@pytest.mark.parametrize(
    ("status", "flags"),
    [
        ("created", (False, False, False, False, 0)),
        ("running", (True, False, False, False, 42)),
        ("paused", (True, True, False, False, 42)),
        ("restarting", (True, False, True, False, 0)),
        ("exited", (False, False, False, False, 0)),
        ("dead", (False, False, False, True, 0)),
        ("removing", (False, False, False, False, 0)),
    ],
)
def test_states(status: str, flags: tuple[bool, bool, bool, bool, int]) -> None:
    state = part(details(FULL.changed(status=status)), "State")
    assert state["Status"] == status
    assert tuple(state[key] for key in ("Running", "Paused", "Restarting", "Dead", "Pid")) == flags


def test_times_that_have_not_come_and_an_end_that_nobody_saw() -> None:
    state = part(details(PLAIN), "State")
    assert (state["StartedAt"], state["FinishedAt"]) == ("0001-01-01T00:00:00Z",) * 2
    lost = part(details(PLAIN.changed(status="exited", exit_code=None, finished_at=CREATED)), "State")
    assert (lost["ExitCode"], lost["FinishedAt"]) == (255, "2023-11-14T22:13:20.25Z")
    assert "unknown" in str(lost["Error"])


def test_health_is_there_only_with_checks() -> None:
    assert "Health" not in part(details(PLAIN), "State")
    known = Known(health={"Status": "unhealthy", "FailingStreak": 3, "Log": []})
    ill = PLAIN.changed(health="unhealthy")
    assert part(details(ill, known=known), "State", "Health")["FailingStreak"] == 3
    assert summary(ill, CREATED, known=known)["Health"] == {"Status": "unhealthy", "FailingStreak": 3}
    assert summary(PLAIN, CREATED)["Health"] == {"Status": "none", "FailingStreak": 0}


def test_ports_networks_and_sizes() -> None:
    known = Known(
        ports=(Port(80, public=8080, ip="0.0.0.0"), Port(80, public=8080, ip="::"), Port(53, "udp")),
        networks={"front": {"IPAddress": "10.0.0.2"}},
        sizes=Sizes(1, 2),
    )
    shown = details(PLAIN, known=known)
    bindings = [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}]
    assert part(shown, "NetworkSettings")["Ports"] == {"80/tcp": bindings, "53/udp": None}
    assert part(shown, "HostConfig")["PortBindings"] == {"80/tcp": bindings}
    assert part(shown, "NetworkSettings", "Networks", "front")["IPAddress"] == "10.0.0.2"
    listed = summary(PLAIN, CREATED, known=known)
    assert listed["Ports"] == [
        {"IP": "0.0.0.0", "PublicPort": 8080, "PrivatePort": 80, "Type": "tcp"},
        {"IP": "::", "PublicPort": 8080, "PrivatePort": 80, "Type": "tcp"},
        {"PrivatePort": 53, "Type": "udp"},
    ]
    assert [(each["SizeRw"], each["SizeRootFs"]) for each in (shown, listed)] == [(1, 2)] * 2


def test_the_command_of_a_summary_quotes_words_with_blanks() -> None:
    assert summary(PLAIN, CREATED)["Command"] == "sleep '1 h'"


def test_an_option_that_cannot_be_meant_is_said() -> None:
    with pytest.raises(InvalidOption, match="memory"):
        details(PLAIN.changed(options={"memory": "much"}))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "Less than a second"),
        (0.9, "Less than a second"),
        (1, "1 second"),
        (1.9, "1 second"),
        (2, "2 seconds"),
        (59.9, "59 seconds"),
        (MINUTE, "About a minute"),
        (119, "About a minute"),
        (2 * MINUTE, "2 minutes"),
        (59.9 * MINUTE, "59 minutes"),
        (HOUR, "About an hour"),
        (89 * MINUTE, "About an hour"),
        (90 * MINUTE, "2 hours"),
        (47 * HOUR, "47 hours"),
        (48 * HOUR, "2 days"),
        (13 * DAY, "13 days"),
        (14 * DAY, "2 weeks"),
        (59 * DAY, "8 weeks"),
        (60 * DAY, "2 months"),
        (729 * DAY, "24 months"),
        (730 * DAY, "2 years"),
        (1200 * DAY, "3 years"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert human_duration(seconds) == words


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"status": "created"}, "Created"),
        ({"status": "running"}, "Up 5 minutes"),
        ({"status": "running", "health": "none"}, "Up 5 minutes"),
        ({"status": "running", "health": "healthy"}, "Up 5 minutes (healthy)"),
        ({"status": "running", "health": "unhealthy"}, "Up 5 minutes (unhealthy)"),
        ({"status": "running", "health": "starting"}, "Up 5 minutes (health: starting)"),
        ({"status": "paused", "health": "healthy"}, "Up 5 minutes (Paused)"),
        ({"status": "restarting", "exit_code": 1}, "Restarting (1) 3 seconds ago"),
        ({"status": "exited"}, "Exited (0) 3 seconds ago"),
        ({"status": "exited", "exit_code": 137}, "Exited (137) 3 seconds ago"),
        ({"status": "exited", "exit_code": None}, "Exited (255) 3 seconds ago"),
        ({"status": "dead"}, "Dead"),
        ({"status": "removing"}, "Removal In Progress"),
    ],
)
def test_status_in_words(fields: dict[str, object], words: str) -> None:
    record = PLAIN.changed(started_at=1000.0, finished_at=1297.0, **fields)
    assert status_text(record, 1300.0) == words


def test_every_status_has_words() -> None:
    assert all(status_text(PLAIN.changed(status=status), CREATED) for status in STATUSES)
