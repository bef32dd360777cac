"""A container as Docker's API shows it: its details (`inspect`) and its line of a list (`ps`).

Pure: the record says nearly everything; what only others know (config.json, the image, sizes, ports) is given.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import UTC, datetime

from kernelbox.engine.host_config import host_config
from kernelbox.engine.mount_options import PROPAGATIONS
from kernelbox.engine.options import RunOptions
from kernelbox.engine.ports import Port, port_map
from kernelbox.engine.recorded_options import mounts_of, networks_of, recorded_options
from kernelbox.engine.status import exit_code, health_of, human_duration, status_text
from kernelbox.oci import image_config as images
from kernelbox.oci.image_config import ImageConfig
from kernelbox.oci.runtime_spec import Config, Mount
from kernelbox.oci.value import frozen
from kernelbox.store.container_record import LIVING, ContainerRecord

__all__ = ["Known", "Sizes", "document", "human_duration", "status_text", "summary"]

NEVER = "0001-01-01T00:00:00Z"
"""What Docker writes for a time that has not come."""
ENGINE_VARIABLES = frozenset({"HOME", "HOSTNAME", "TERM"})
"""What a launch adds to the environment, and Docker does not show."""


@frozen
class Sizes:
    """Bytes: `changed` is what the container wrote, `root` its whole root file system."""

    changed: int
    root: int


@frozen
class Known:
    """What others know of a container. Nothing of it must be there.

    `volumes` are the volumes that it has by their places: name, folder of the machine, and
    whether it may write there.
    `networks` are the settings of each network by its name, as the API has them; `health` is the API's object;
    `resolv_conf`, `hostname` and `hosts` are the paths of the files that the container sees under /etc."""

    image: ImageConfig = images.EMPTY
    ports: Sequence[Port] = ()
    volumes: Mapping[str, tuple[str, str, bool]] = field(default_factory=dict)
    networks: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    sandbox: str = ""
    sizes: Sizes | None = None
    health: Mapping[str, object] | None = None
    exec_ids: Sequence[str] = ()
    driver: str = "overlay2"
    resolv_conf: str = ""
    hostname: str = ""
    hosts: str = ""


NOTHING = Known()


def document(
    record: ContainerRecord, *, config: Config | None, log_path: str, known: Known = NOTHING
) -> dict[str, object]:
    """The details, as `GET /containers/{id}/json` answers them. `config` is its config.json, once it has one.

    Raises InvalidOption or NotSupported where the record holds an option that cannot be meant."""
    options = recorded_options(record)
    path, arguments = _program(record, options, known.image, config)
    shown: dict[str, object] = {
        "Id": record.id,
        "Created": _time(record.created_at),
        "Path": path,
        "Args": arguments,
        "State": _state(record, known),
        "Image": record.image_digest,
        "ResolvConfPath": known.resolv_conf,
        "HostnamePath": known.hostname,
        "HostsPath": known.hosts,
        "LogPath": log_path,
        "Name": f"/{record.name}",
        "RestartCount": record.restart_count,
        "Driver": known.driver,
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": list(known.exec_ids) or None,
        "HostConfig": host_config(record, options, config, known.ports),
        "GraphDriver": {"Data": None, "Name": known.driver},
    }
    shown |= _sizes(known.sizes)
    shown["Mounts"] = _mounts(record, config, known)
    shown["Config"] = _config(record, options, config, known.image)
    shown["NetworkSettings"] = _network_settings(record, known)
    return shown


def summary(
    record: ContainerRecord, now: float, *, config: Config | None = None, known: Known = NOTHING
) -> dict[str, object]:
    """One of what `GET /containers/json` answers. `now` is in seconds since 1970, for the words of `Status`."""
    options = recorded_options(record, ("entrypoint", "network"))
    path, arguments = _program(record, options, known.image, config)
    return {
        "Id": record.id,
        "Names": [f"/{record.name}"],
        "Image": record.image,
        "ImageID": record.image_digest,
        "Command": " ".join([path, *(f"'{word}'" if " " in word else word for word in arguments)]),
        "Created": int(record.created_at),
        "Ports": [port.summary() for port in known.ports],
        **_sizes(known.sizes),
        "Labels": dict(record.labels),
        "State": record.status,
        "Status": status_text(record, now),
        "HostConfig": {"NetworkMode": options.network},
        "Health": {"Status": health_of(record), "FailingStreak": _failing_streak(known)},
        "NetworkSettings": {"Networks": _networks(record, known)},
        "Mounts": _mounts(record, config, known),
    }


def _program(
    record: ContainerRecord, options: RunOptions, image: ImageConfig, config: Config | None
) -> tuple[str, list[str]]:
    words: Sequence[str] = config.process.args if config and config.process else ()
    if not words and options.entrypoint is not None:
        words = (*options.entrypoint, *record.command)
    elif not words:
        words = (*image.entrypoint, *(record.command or image.cmd))
    return (words[0], list(words[1:])) if words else ("", [])


def _time(seconds: float) -> str:
    """RFC 3339 with as many decimals as there are; a float holds microseconds."""
    if seconds <= 0:
        return NEVER
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return f"{text.rstrip('0').rstrip('.')}Z"


def _state(record: ContainerRecord, known: Known) -> dict[str, object]:
    living = record.status in LIVING
    shown: dict[str, object] = {
        "Status": record.status,
        "Running": living,
        "Paused": record.status == "paused",
        "Restarting": record.status == "restarting",
        "OOMKilled": record.oom_killed,
        "Dead": record.status == "dead",
        "Pid": record.pid if living and record.status != "restarting" else 0,
        "ExitCode": exit_code(record),
        "Error": record.error or _unknown(record),
        "StartedAt": _time(record.started_at),
        "FinishedAt": _time(record.finished_at),
    }
    if known.health is not None or record.health:
        no_checks: dict[str, object] = {"Status": record.health, "FailingStreak": 0, "Log": []}
        shown["Health"] = no_checks | dict(known.health or {})
    return shown


def _unknown(record: ContainerRecord) -> str:
    return "the exit code is unknown: nobody was there to be told" if record.exit_code is None else ""


def _failing_streak(known: Known) -> object:
    return (known.health or {}).get("FailingStreak", 0)


def _sizes(sizes: Sizes | None) -> dict[str, object]:
    return {"SizeRw": sizes.changed, "SizeRootFs": sizes.root} if sizes else {}


def _mounts(record: ContainerRecord, config: Config | None, known: Known) -> list[dict[str, object]]:
    """What was asked for, by the options or by the image; the source as the launch found it."""
    launched = {mount.destination: mount for mount in (config.mounts if config else ())}
    asked = mounts_of(record)
    places = {mount.destination for mount in asked}
    more = (Mount(place, "volume") for place in known.volumes if place not in places)
    return [
        _volume_point(mount, *known.volumes.get(mount.destination, (mount.source, "", "ro" not in mount.options)))
        if mount.type == "volume"
        else _mount_point(mount, launched.get(mount.destination, mount))
        for mount in (*asked, *more)
    ]


def _volume_point(mount: Mount, name: str, folder: str, writable: bool) -> dict[str, object]:
    return {
        "Type": "volume",
        "Name": name,
        "Source": folder,
        "Destination": mount.destination,
        "Driver": "local",
        "Mode": "ro" if not writable else "z" if mount.source else "",
        "RW": writable,
        "Propagation": "",
    }


def _mount_point(mount: Mount, launched: Mount) -> dict[str, object]:
    bind = mount.type == "bind"
    propagation = next((word for word in mount.options if word in PROPAGATIONS), "rprivate")
    return {
        "Type": mount.type,
        "Source": launched.source if bind else "",
        "Destination": mount.destination,
        "Mode": "ro" if bind and "ro" in mount.options else "",
        "RW": "ro" not in mount.options,
        "Propagation": propagation if bind else "",
    }


def _config(
    record: ContainerRecord, options: RunOptions, config: Config | None, image: ImageConfig
) -> dict[str, object]:
    shown: dict[str, object] = {
        "Hostname": (config.hostname if config else "") or options.hostname or record.short_id,
        "Domainname": options.domainname or "",
        "User": options.user if options.user is not None else image.user,
        "AttachStdin": options.interactive,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": options.tty,
        "OpenStdin": options.interactive,
        "StdinOnce": options.interactive,
        "Env": _environment(options, config, image),
        "Cmd": list(record.command or (image.cmd if options.entrypoint is None else ())) or None,
        "Image": record.image,
        "Volumes": {**image.volumes, **{mount.destination: {} for mount in options.volumes if _is_own(mount)}} or None,
        "WorkingDir": options.workdir or image.working_dir,
        "Entrypoint": list(options.entrypoint if options.entrypoint is not None else image.entrypoint) or None,
        "OnBuild": None,
        "Labels": dict(record.labels),
    }
    if image.exposed_ports:
        shown["ExposedPorts"] = dict(image.exposed_ports)
    return shown | _ending(record, options, image)


def _is_own(mount: Mount) -> bool:
    return mount.type == "volume" and not mount.source


def _environment(options: RunOptions, config: Config | None, image: ImageConfig) -> list[str]:
    asked = {entry.partition("=")[0]: entry for entry in (*image.env, *options.env)}
    if config is None or config.process is None:
        return list(asked.values())
    hidden = ENGINE_VARIABLES - asked.keys()
    return [entry for entry in config.process.env if entry.partition("=")[0] not in hidden]


def _ending(record: ContainerRecord, options: RunOptions, image: ImageConfig) -> dict[str, object]:
    """How it is asked whether it is well, and asked to end: said only where somebody chose it."""
    shown: dict[str, object] = {}
    if image.healthcheck is not None:
        check = image.healthcheck
        times = {"Interval": check.interval, "Timeout": check.timeout, "StartPeriod": check.start_period}
        counts = {"StartInterval": check.start_interval, "Retries": check.retries}
        shown["Healthcheck"] = {"Test": list(check.test)} | {
            key: value for key, value in (times | counts).items() if value
        }
    name = signal_name(options.stop_signal) if options.stop_signal is not None else image.stop_signal
    if name:
        shown["StopSignal"] = name
    timeout = record.options.get("stop_timeout")
    if isinstance(timeout, int | float):
        shown["StopTimeout"] = int(timeout)
    return shown


def signal_name(number: int) -> str:
    """SIGTERM for 15; SIGRTMIN+3 for 37."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}" if number > signal.SIGRTMIN else str(number)


def _network_settings(record: ContainerRecord, known: Known) -> dict[str, object]:
    return {
        "SandboxID": "",
        "SandboxKey": known.sandbox,
        "Ports": port_map(known.ports),
        "Networks": _networks(record, known),
    }


def _networks(record: ContainerRecord, known: Known) -> dict[str, object]:
    return {name: _ENDPOINT | dict(known.networks.get(name, {})) for name in known.networks or networks_of(record)}


_ENDPOINT: dict[str, object] = {
    "IPAMConfig": None,
    "Links": None,
    "Aliases": None,
    "MacAddress": "",
    "DriverOpts": None,
    "GwPriority": 0,
    "NetworkID": "",
    "EndpointID": "",
    "Gateway": "",
    "IPAddress": "",
    "IPPrefixLen": 0,
    "IPv6Gateway": "",
    "GlobalIPv6Address": "",
    "GlobalIPv6PrefixLen": 0,
    "DNSNames": None,
}
