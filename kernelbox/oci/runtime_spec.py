"""The container configuration `config.json` of the OCI runtime specification v1.2, as frozen dataclasses.

`parse` reads it strictly: wrong types are errors that name the JSON path; unknown keys are ignored as the specification
asks, those at the top are kept in `Config.extra`. `Config.to_json` writes it. Names are the specification's in
snake_case; None or empty means "not there".
Source: https://github.com/opencontainers/runtime-spec/blob/v1.2.0/config.md

What nearly every container has is defined here. Hooks, seccomp and the rarer resources live in `runtime_spec_rare`,
are reached through this module too, and are loaded when first asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Annotated

from kernelbox.errors import InvalidOption
from kernelbox.oci import codec
from kernelbox.oci.codec import Choices, Int64, Uint16, Uint32, Uint64
from kernelbox.oci.value import frozen

if TYPE_CHECKING:
    from kernelbox.oci.runtime_spec_rare import (
        CpuAffinity,
        Hook,
        Hooks,
        HugepageLimit,
        IntelRdt,
        InterfacePriority,
        IoPriority,
        NetworkResources,
        Personality,
        RdmaLimit,
        Scheduler,
        Seccomp,
        SyscallArgument,
        SyscallRule,
        TimeOffset,
    )

__all__ = [
    "UNLIMITED",
    "VERSION",
    "BlockIo",
    "Capabilities",
    "Config",
    "ConsoleSize",
    "Cpu",
    "CpuAffinity",
    "Device",
    "DeviceRule",
    "Hook",
    "Hooks",
    "HugepageLimit",
    "IdMapping",
    "IntelRdt",
    "InterfacePriority",
    "IoPriority",
    "Linux",
    "Memory",
    "Mount",
    "Namespace",
    "NetworkResources",
    "Personality",
    "Pids",
    "Process",
    "RdmaLimit",
    "Resources",
    "Rlimit",
    "Root",
    "Scheduler",
    "Seccomp",
    "SyscallArgument",
    "SyscallRule",
    "ThrottleDevice",
    "TimeOffset",
    "User",
    "WeightDevice",
    "parse",
]

VERSION = "1.2.0"
"""What we write as `ociVersion`."""

UNLIMITED = (1 << 64) - 1
"""RLIM_INFINITY, as `rlimits[].soft` and `.hard` write it."""


@frozen
class Root:
    """The root file system: `path` relative to the bundle, or absolute."""

    path: str
    readonly: bool = False


@frozen
class IdMapping:
    """`size` ids from `container_id` on are the host's from `host_id` on (user_namespaces(7))."""

    container_id: Uint32 = field(metadata={"json": "containerID"})
    host_id: Uint32 = field(metadata={"json": "hostID"})
    size: Uint32


@frozen
class Mount:
    """One mount; `options` are those of mount(8) plus rro, idmap, tmpcopyup and such."""

    destination: str
    type: str = ""
    source: str = ""
    options: tuple[str, ...] = ()
    uid_mappings: tuple[IdMapping, ...] = ()
    gid_mappings: tuple[IdMapping, ...] = ()


@frozen
class ConsoleSize:
    """Characters of the terminal; used only with `Process.terminal`."""

    height: Uint16
    width: Uint16


@frozen
class User:
    """Numeric ids inside the container; names are resolved before this form."""

    uid: Uint32
    gid: Uint32
    umask: Uint32 | None = None
    additional_gids: tuple[Uint32, ...] = ()


@frozen
class Capabilities:
    """The five sets of capabilities(7), names in the long form (CAP_CHOWN)."""

    bounding: tuple[str, ...] = ()
    effective: tuple[str, ...] = ()
    inheritable: tuple[str, ...] = ()
    permitted: tuple[str, ...] = ()
    ambient: tuple[str, ...] = ()


@frozen
class Rlimit:
    """One limit of getrlimit(2): `type` is RLIMIT_NOFILE and so on, UNLIMITED is no limit."""

    type: str
    hard: Uint64
    soft: Uint64


@frozen
class Process:
    """What runs: arguments, environment ("NAME=value"), working directory, rights."""

    cwd: str
    user: User
    terminal: bool = False
    console_size: ConsoleSize | None = None
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    capabilities: Capabilities | None = None
    rlimits: tuple[Rlimit, ...] = ()
    no_new_privileges: bool = False
    oom_score_adj: Int64 | None = None
    apparmor_profile: str = ""
    selinux_label: str = ""
    scheduler: Scheduler | None = None
    io_priority: IoPriority | None = None
    exec_cpu_affinity: CpuAffinity | None = field(default=None, metadata={"json": "execCPUAffinity"})


@frozen
class Namespace:
    """A new namespace, or with `path` an existing one to join. A kind that is not listed is the caller's."""

    type: Annotated[str, Choices("pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time")]
    path: str = ""


@frozen
class Device:
    """A device node to make: `type` is c, b, u or p; mode and owner as in mknod(2)."""

    path: str
    type: Annotated[str, Choices("c", "b", "u", "p")]
    major: Int64 | None = None
    minor: Int64 | None = None
    file_mode: Uint32 | None = None
    uid: Uint32 | None = None
    gid: Uint32 | None = None


@frozen
class DeviceRule:
    """One line of the device controller: later lines win; no number means all, `access` is a part of "rwm"."""

    allow: bool
    type: str = ""
    major: Int64 | None = None
    minor: Int64 | None = None
    access: str = ""


@frozen
class Memory:
    """Bytes; `swap` is memory plus swap; -1 is unlimited."""

    limit: Int64 | None = None
    reservation: Int64 | None = None
    swap: Int64 | None = None
    kernel: Int64 | None = None
    kernel_tcp: Int64 | None = field(default=None, metadata={"json": "kernelTCP"})
    swappiness: Uint64 | None = None
    disable_oom_killer: bool = field(default=False, metadata={"json": "disableOOMKiller"})
    use_hierarchy: bool = False
    check_before_update: bool = False


@frozen
class Cpu:
    """`shares` is a weight (1024 is usual), `quota` microseconds per `period`; `cpus` and `mems` lists like "0-3,5"."""

    shares: Uint64 | None = None
    quota: Int64 | None = None
    burst: Uint64 | None = None
    period: Uint64 | None = None
    realtime_runtime: Int64 | None = None
    realtime_period: Uint64 | None = None
    cpus: str = ""
    mems: str = ""
    idle: Int64 | None = None


@frozen
class Pids:
    """The most tasks at one time; 0 or less is unlimited."""

    limit: Int64


@frozen
class WeightDevice:
    """The share of one disk, 10 to 1000."""

    major: Int64
    minor: Int64
    weight: Uint16 | None = None
    leaf_weight: Uint16 | None = None


@frozen
class ThrottleDevice:
    """The most bytes, or operations, per second on one disk."""

    major: Int64
    minor: Int64
    rate: Uint64


@frozen
class BlockIo:
    """Shares and rates of disks."""

    weight: Uint16 | None = None
    leaf_weight: Uint16 | None = None
    weight_device: tuple[WeightDevice, ...] = ()
    throttle_read_bps_device: tuple[ThrottleDevice, ...] = ()
    throttle_write_bps_device: tuple[ThrottleDevice, ...] = ()
    throttle_read_iops_device: tuple[ThrottleDevice, ...] = field(
        default=(), metadata={"json": "throttleReadIOPSDevice"}
    )
    throttle_write_iops_device: tuple[ThrottleDevice, ...] = field(
        default=(), metadata={"json": "throttleWriteIOPSDevice"}
    )


@frozen
class Resources:
    """What the control groups of the container are told."""

    devices: tuple[DeviceRule, ...] = ()
    memory: Memory | None = None
    cpu: Cpu | None = None
    pids: Pids | None = None
    block_io: BlockIo | None = field(default=None, metadata={"json": "blockIO"})
    hugepage_limits: tuple[HugepageLimit, ...] = ()
    network: NetworkResources | None = None
    rdma: Mapping[str, RdmaLimit] = field(default_factory=dict)
    unified: Mapping[str, str] = field(default_factory=dict)


@frozen
class Linux:
    """The part of the configuration that only Linux has."""

    uid_mappings: tuple[IdMapping, ...] = ()
    gid_mappings: tuple[IdMapping, ...] = ()
    sysctl: Mapping[str, str] = field(default_factory=dict)
    resources: Resources | None = None
    cgroups_path: str = ""
    namespaces: tuple[Namespace, ...] = ()
    devices: tuple[Device, ...] = ()
    seccomp: Seccomp | None = None
    rootfs_propagation: Annotated[str, Choices("", "shared", "slave", "private", "unbindable")] = ""
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    mount_label: str = ""
    intel_rdt: IntelRdt | None = None
    personality: Personality | None = None
    time_offsets: Mapping[str, TimeOffset] = field(default_factory=dict)


@frozen
class Config:
    """One container, as its `config.json` says. `extra` holds top-level keys that are not Linux's (windows, vm ...)."""

    oci_version: str
    root: Root
    process: Process | None = None
    hostname: str = ""
    domainname: str = ""
    mounts: tuple[Mount, ...] = ()
    hooks: Hooks | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    linux: Linux | None = None
    extra: Mapping[str, object] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """The JSON object, ready for `json.dumps`; `parse` of it gives an equal Config."""
        result: dict[str, object] = codec.encode(self)
        return result


def parse(document: bytes | str | Mapping[str, object]) -> Config:
    """The configuration in `document`. Raises InvalidOption that names the JSON path of what is wrong."""
    value = dict(document) if isinstance(document, Mapping) else codec.load(document, "config.json")
    config = codec.decode(Config, value, names=_rare())
    _check(config)
    return config


def _check(config: Config) -> None:
    major, dot, _ = config.oci_version.partition(".")
    if major != "1" or not dot:
        raise InvalidOption(f"ociVersion: expected 1.x, got {config.oci_version!r}")
    for index, mount in enumerate(config.mounts):
        if not mount.destination.startswith("/"):
            raise InvalidOption(f"mounts[{index}].destination: {mount.destination!r} is not an absolute path")
    process = config.process
    if process is None:
        return
    if not process.cwd.startswith("/"):
        raise InvalidOption(f"process.cwd: {process.cwd!r} is not an absolute path")
    if not process.args:
        raise InvalidOption("process.args: expected at least one argument")
    for index, entry in enumerate(process.env):
        if "=" not in entry[1:]:
            raise InvalidOption(f"process.env[{index}]: expected NAME=value, got {entry[:60]!r}")


def _rare() -> dict[str, object]:
    from kernelbox.oci import runtime_spec_rare

    return vars(runtime_spec_rare)


def __getattr__(name: str) -> object:
    if name in __all__:
        return _rare()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
