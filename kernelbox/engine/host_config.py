"""HostConfig of a container's details: what was asked of the machine, under Docker's names.

Where the container has its config.json, limits that kernelbox sets without being asked are shown as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kernelbox.engine.device_options import DeviceRate
from kernelbox.engine.mount_options import PROPAGATIONS, TMPFS_OPTIONS
from kernelbox.engine.options import RunOptions
from kernelbox.engine.ports import Port, port_map
from kernelbox.engine.recorded_options import recorded_texts
from kernelbox.engine.volume_options import VolumeWords
from kernelbox.oci.runtime_spec import UNLIMITED, Config, Linux, Mount, Rlimit
from kernelbox.store.container_record import ContainerRecord

__all__ = ["host_config"]

SHM_SIZE = 64 << 20
LOG_DRIVER = "json-file"
RUNTIME = "kernelbox"


def host_config(
    record: ContainerRecord, options: RunOptions, config: Config | None, ports: Iterable[Port] = ()
) -> dict[str, object]:
    """The object, with every key that Docker's API lists for Linux. `options` are the record's."""
    return {
        **_files(options),
        **_life(record, options),
        **_network(options, ports),
        **_isolation(record, options, config),
        **_limits(record, options, config),
    }


def _files(options: RunOptions) -> dict[str, object]:
    shown: dict[str, object] = {
        "Binds": [_bind(mount) for mount in options.volumes if mount.source] or None,
        "ContainerIDFile": "",
        "VolumeDriver": "",
        "VolumesFrom": list(options.volumes_from) or None,
        "ReadonlyRootfs": options.read_only,
        "ShmSize": options.shm_size or SHM_SIZE,
    }
    if options.mounts:
        shown["Mounts"] = [_mount(mount) for mount in options.mounts]
    if options.tmpfs:
        shown["Tmpfs"] = {mount.destination: ",".join(_tmpfs_words(mount)) for mount in options.tmpfs}
    return shown


def _bind(mount: Mount) -> str:
    """As it could be written with `-v`."""
    words = [word for word in mount.options if word not in ("rbind", "rprivate", "rro")]
    return ":".join([mount.source, mount.destination, *([",".join(words)] if words else [])])


def _mount(mount: Mount) -> dict[str, object]:
    shown: dict[str, object] = {"Type": mount.type, "Target": mount.destination}
    if mount.type == "bind" or (mount.type == "volume" and mount.source):
        shown["Source"] = mount.source
    if "ro" in mount.options:
        shown["ReadOnly"] = True
    if mount.type == "volume" and (volume := _volume_options(mount)):
        shown["VolumeOptions"] = volume
    settings = dict(word.split("=", 1) for word in mount.options if "=" in word)
    if mount.type == "tmpfs" and settings:
        size = settings.get("size", "")
        shown["TmpfsOptions"] = {
            **({"SizeBytes": int(size)} if size.isdecimal() else {}),
            **({"Mode": int(settings["mode"], 8)} if "mode" in settings else {}),
        }
    propagation = next((word for word in mount.options if word in PROPAGATIONS), "rprivate")
    if mount.type == "bind" and propagation != "rprivate":
        shown["BindOptions"] = {"Propagation": propagation}
    return shown


def _volume_options(mount: Mount) -> dict[str, object]:
    words = VolumeWords.of(mount.options)
    shown = {"NoCopy": words.nocopy, "Subpath": words.subpath, "Labels": dict(words.labels)}
    return {key: value for key, value in shown.items() if value}


def _tmpfs_words(mount: Mount) -> list[str]:
    return [word for word in mount.options if word not in TMPFS_OPTIONS and word not in PROPAGATIONS]


def _life(record: ContainerRecord, options: RunOptions) -> dict[str, object]:
    return {
        "LogConfig": {"Type": LOG_DRIVER, "Config": {}},
        "RestartPolicy": _restart_policy(record),
        "AutoRemove": any(record.options.get(name) is True for name in ("rm", "remove", "auto_remove")),
        "Annotations": dict(options.annotations),
        "Runtime": RUNTIME,
        "Isolation": "",
        "ConsoleSize": [0, 0],
    }


def _restart_policy(record: ContainerRecord) -> dict[str, object]:
    """From "on-failure:3", or from the API's own object."""
    given = record.options.get("restart") or record.options.get("restart_policy") or "no"
    if isinstance(given, Mapping):
        return {"Name": str(given.get("Name") or "no"), "MaximumRetryCount": given.get("MaximumRetryCount") or 0}
    name, _, count = str(given).partition(":")
    return {"Name": name, "MaximumRetryCount": int(count) if count.isdecimal() else 0}


def _network(options: RunOptions, ports: Iterable[Port]) -> dict[str, object]:
    return {
        "NetworkMode": options.network,
        "PortBindings": {key: bindings for key, bindings in port_map(ports).items() if bindings},
        "PublishAllPorts": False,
        "Dns": [],
        "DnsOptions": [],
        "DnsSearch": [],
        "ExtraHosts": None,
        "Links": None,
    }


def _isolation(record: ContainerRecord, options: RunOptions, config: Config | None) -> dict[str, object]:
    linux = (config.linux if config else None) or Linux()
    return {
        "CapAdd": _capabilities(options.cap_add),
        "CapDrop": _capabilities(options.cap_drop),
        "CgroupnsMode": options.cgroupns,
        "Cgroup": "",
        "GroupAdd": list(options.group_add) or None,
        "IpcMode": options.ipc,
        "PidMode": _of_machine(options.pid),
        "UTSMode": _of_machine(options.uts),
        "UsernsMode": "" if options.userns == "auto" else options.userns,
        "Privileged": options.privileged,
        "SecurityOpt": list(recorded_texts(record, "security_opt")) or None,
        "StorageOpt": None,
        "Sysctls": dict(options.sysctls),
        "MaskedPaths": list(linux.masked_paths),
        "ReadonlyPaths": list(linux.readonly_paths),
    }


def _capabilities(names: tuple[str, ...]) -> list[str] | None:
    return ["ALL" if name == "CAP_ALL" else name for name in names] or None


def _of_machine(mode: str) -> str:
    return "" if mode == "private" else mode


def _limits(record: ContainerRecord, options: RunOptions, config: Config | None) -> dict[str, object]:
    return {
        "OomScoreAdj": _oom_score_adj(options, config),
        "CpuShares": options.cpu_shares or 0,
        "Memory": options.memory or 0,
        "NanoCpus": round((options.cpus or 0) * 1e9),
        "CgroupParent": "",
        "BlkioWeight": options.blkio_weight or 0,
        "BlkioWeightDevice": [],
        "BlkioDeviceReadBps": _rates(options.device_read_bps),
        "BlkioDeviceWriteBps": _rates(options.device_write_bps),
        "BlkioDeviceReadIOps": _rates(options.device_read_iops),
        "BlkioDeviceWriteIOps": _rates(options.device_write_iops),
        "CpuPeriod": options.cpu_period or 0,
        "CpuQuota": options.cpu_quota or 0,
        "CpuRealtimePeriod": 0,
        "CpuRealtimeRuntime": 0,
        "CpusetCpus": options.cpuset_cpus or "",
        "CpusetMems": options.cpuset_mems or "",
        "Devices": [
            {"PathOnHost": each.source, "PathInContainer": each.target, "CgroupPermissions": each.access}
            for each in options.devices
        ],
        "DeviceCgroupRules": list(recorded_texts(record, "device_cgroup_rules")) or None,
        "DeviceRequests": None,
        "MemoryReservation": options.memory_reservation or 0,
        "MemorySwap": options.memory_swap or 0,
        "MemorySwappiness": None,
        "OomKillDisable": None,
        "Init": None,
        "PidsLimit": _pids_limit(options, config),
        "Ulimits": [_ulimit(limit) for limit in options.ulimits],
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
    }


def _oom_score_adj(options: RunOptions, config: Config | None) -> int:
    process = config.process if config else None
    asked = process.oom_score_adj if process else None
    return next((value for value in (asked, options.oom_score_adj) if value is not None), 0)


def _pids_limit(options: RunOptions, config: Config | None) -> int | None:
    if options.pids_limit is not None:  # it may have been changed since the start
        return options.pids_limit
    resources = config.linux.resources if config and config.linux else None
    return resources.pids.limit if resources and resources.pids else None


def _rates(rates: Iterable[DeviceRate]) -> list[dict[str, object]]:
    return [{"Path": each.path, "Rate": each.rate} for each in rates]


def _ulimit(limit: Rlimit) -> dict[str, object]:
    hard, soft = (-1 if value == UNLIMITED else value for value in (limit.hard, limit.soft))
    return {"Name": limit.type.removeprefix("RLIMIT_").lower(), "Hard": hard, "Soft": soft}
