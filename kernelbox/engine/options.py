"""The options of a run: one frozen value, made from what people write.

`RunOptions.make` is the library's way in and takes what docker-py takes; `RunOptions.from_arguments` is the command
line's: there a variable without a value is the caller's and an entry point is one word, as in `docker run`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from typing import Any

from kernelbox.engine import device_options, life_options, mount_options, profiles, security_options, volume_options
from kernelbox.engine import limit_values as limits
from kernelbox.engine import option_values as values
from kernelbox.engine.arguments import add_to_argparse, parse_arguments
from kernelbox.engine.device_options import DeviceRate, DeviceRequest
from kernelbox.engine.life_options import RestartPolicy
from kernelbox.engine.option_table import BY_NAME, OPTIONS, Option
from kernelbox.engine.security_options import Security
from kernelbox.errors import InvalidOption, NotSupported
from kernelbox.oci.platform import Platform
from kernelbox.oci.runtime_spec import DeviceRule, Mount, Rlimit
from kernelbox.oci.sysctl_names import namespace_of
from kernelbox.oci.value import frozen

__all__ = ["BY_NAME", "OPTIONS", "Option", "RunOptions", "add_to_argparse", "as_a_program_says", "parse_arguments"]

PARSERS: dict[str, Callable[[object], Any]] = {
    "name": values.name,
    "platform": values.platform,
    "pull": values.choice("pull"),
    "profile": values.choice("profile"),
    "timeout": values.duration,
    "stop_signal": values.stop_signal,
    "stop_timeout": values.integer_between(-1, 1 << 31),
    "init": values.flag,
    "restart": life_options.restart_policy,
    "health_cmd": values.text,
    "health_interval": values.duration,
    "health_timeout": values.duration,
    "health_retries": values.integer_between(1, 1 << 20, zero_is_unset=True),
    "health_start_period": values.duration,
    "health_start_interval": values.duration,
    "no_healthcheck": values.flag,
    "log_driver": life_options.log_driver,
    "log_opt": life_options.log_opts,
    "labels": values.pairs,
    "annotations": values.annotation_pairs,
    "interactive": values.flag,
    "tty": values.flag,
    "user": values.line,
    "group_add": values.texts,
    "workdir": values.absolute_path,
    "env": values.environment,
    "env_file": values.texts,
    "entrypoint": values.entrypoint,
    "umask": values.umask,
    "hostname": values.hostname,
    "domainname": values.hostname,
    "cpus": limits.cpus,
    "cpu_shares": values.integer_between(2, 262_144, zero_is_unset=True),
    "cpu_period": values.integer_between(1_000, 1_000_000, zero_is_unset=True),
    "cpu_quota": values.integer_between(1_000, 1 << 50, zero_is_unset=True),
    "cpuset_cpus": limits.cpu_list,
    "cpuset_mems": limits.cpu_list,
    "memory": limits.memory,
    "memory_swap": limits.memory_swap,
    "memory_reservation": limits.memory,
    "pids_limit": limits.pids_limit,
    "blkio_weight": values.integer_between(10, 1000, zero_is_unset=True),
    "oom_score_adj": values.integer_between(-1000, 1000),
    "ulimits": limits.ulimits,
    "shm_size": limits.size,
    "cap_add": values.capabilities,
    "cap_drop": values.capabilities,
    "privileged": values.flag,
    "security_opt": values.texts,
    "userns": values.choice("userns"),
    "read_only": values.flag,
    "network": values.network,
    "pid": values.choice("pid"),
    "ipc": values.choice("ipc"),
    "uts": values.choice("uts"),
    "cgroupns": values.choice("cgroupns"),
    "volumes_from": volume_options.volumes_from,
    "tmpfs": mount_options.tmpfs,
    "devices": device_options.devices,
    "device_cgroup_rules": device_options.device_rules,
    "device_read_bps": device_options.rates(device_options.bytes_per_second),
    "device_write_bps": device_options.rates(device_options.bytes_per_second),
    "device_read_iops": device_options.rates(device_options.operations_per_second),
    "device_write_iops": device_options.rates(device_options.operations_per_second),
    "sysctls": device_options.sysctls,
}
"""Option name to the function that reads its value."""
NOTING_PARSERS: dict[str, Callable[[object, list[str]], tuple[Mount, ...]]] = {
    "volumes": mount_options.volumes,
    "mounts": mount_options.mounts,
}
"""Readers that may have something to say about what they leave out."""

# What docker-py, the API and other engines call our options, for "did you mean"
OTHER_NAMES = {
    "environment": "env",
    "working_dir": "workdir",
    "mem_limit": "memory",
    "mem_reservation": "memory_reservation",
    "memswap_limit": "memory_swap",
    "nano_cpus": "cpus",
    "network_mode": "network",
    "net": "network",
    "pid_mode": "pid",
    "ipc_mode": "ipc",
    "uts_mode": "uts",
    "userns_mode": "userns",
    "volume": "volumes",
    "mount": "mounts",
    "device": "devices",
    "label": "labels",
    "ulimit": "ulimits",
    "sysctl": "sysctls",
    "stdin_open": "interactive",
    "stdin": "interactive",
    "domain_name": "domainname",
    "cgroup_ns": "cgroupns",
}


@frozen
class RunOptions:
    """One field per option, in its plain form: bytes, seconds, cores, "NAME=value", mounts as config.json has them.

    None is "not asked for". `security` is what `security_opt` means; `notes` are sentences about what was ignored."""

    name: str | None = None
    platform: Platform | None = None
    pull: str | None = None
    profile: str | None = None
    timeout: float | None = None
    stop_signal: int | None = None
    stop_timeout: int | None = None
    init: bool = False
    restart: RestartPolicy = RestartPolicy()
    health_cmd: str | None = None
    health_interval: float | None = None
    health_timeout: float | None = None
    health_retries: int | None = None
    health_start_period: float | None = None
    health_start_interval: float | None = None
    no_healthcheck: bool = False
    log_driver: str = "json-file"
    log_opt: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    interactive: bool = False
    tty: bool = False
    user: str | None = None
    group_add: tuple[str, ...] = ()
    workdir: str | None = None
    env: tuple[str, ...] = ()
    env_file: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    umask: int | None = None
    hostname: str | None = None
    domainname: str | None = None
    cpus: float | None = None
    cpu_shares: int | None = None
    cpu_period: int | None = None
    cpu_quota: int | None = None
    cpuset_cpus: str | None = None
    cpuset_mems: str | None = None
    memory: int | None = None
    memory_swap: int | None = None
    memory_reservation: int | None = None
    pids_limit: int | None = None
    blkio_weight: int | None = None
    device_read_bps: tuple[DeviceRate, ...] = ()
    device_write_bps: tuple[DeviceRate, ...] = ()
    device_read_iops: tuple[DeviceRate, ...] = ()
    device_write_iops: tuple[DeviceRate, ...] = ()
    oom_score_adj: int | None = None
    ulimits: tuple[Rlimit, ...] = ()
    shm_size: int | None = None
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    privileged: bool = False
    security_opt: tuple[str, ...] = ()
    userns: str = "auto"
    read_only: bool = False
    network: str = "none"
    pid: str = "private"
    ipc: str = "private"
    uts: str = "private"
    cgroupns: str = "private"
    sysctls: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[Mount, ...] = ()
    mounts: tuple[Mount, ...] = ()
    volumes_from: tuple[str, ...] = ()
    tmpfs: tuple[Mount, ...] = ()
    devices: tuple[DeviceRequest, ...] = ()
    device_cgroup_rules: tuple[DeviceRule, ...] = ()
    security: Security = security_options.DEFAULT
    notes: tuple[str, ...] = ()

    @classmethod
    def make(cls, **given: object) -> RunOptions:
        """The options as given by a program; None means "not given". Raises InvalidOption or NotSupported."""
        chosen: dict[str, Any] = {}
        notes: list[str] = []
        for name, value in given.items():
            if value is not None:
                chosen[name] = _read(name, value, notes)
        if "profile" in chosen:
            _apply_profile(chosen, notes)
        if "env_file" in chosen:
            chosen["env"] = (*_env_of_files(chosen["env_file"], None), *chosen.get("env", ()))
        if "security_opt" in chosen or "profile" in chosen:
            chosen["security"] = _security(chosen, notes)
        if chosen:
            _check_together(chosen)
        if notes:
            chosen["notes"] = tuple(notes)
        return cls(**chosen)

    @classmethod
    def from_arguments(cls, given: Mapping[str, object], environ: Mapping[str, str]) -> RunOptions:
        """The options as parsed from a command line; `environ` is the caller's, for variables given by name alone."""
        return cls.make(**as_a_program_says(given, environ))

    @property
    def device_rates(self) -> tuple[tuple[str, tuple[DeviceRate, ...]], ...]:
        """The rates asked for, by option name."""
        every = (
            ("device_read_bps", self.device_read_bps),
            ("device_write_bps", self.device_write_bps),
            ("device_read_iops", self.device_read_iops),
            ("device_write_iops", self.device_write_iops),
        )
        return tuple(each for each in every if each[1])


def as_a_program_says(given: Mapping[str, object], environ: Mapping[str, str]) -> dict[str, Any]:
    """What a command line says, for `make`: there NAME alone is the caller's variable, and an entry point one word.

    Raises InvalidOption."""
    chosen = dict(given)
    entries: tuple[str, ...] = ()
    if chosen.get("env_file") is not None:
        entries = _env_of_files(values.texts(chosen.pop("env_file")), environ)
    if chosen.get("env") is not None:
        entries += _inherit(values.texts(chosen.pop("env")), environ)
    if entries:
        chosen["env"] = list(entries)
    entry_point = chosen.get("entrypoint")
    if isinstance(entry_point, str):
        chosen["entrypoint"] = [entry_point] if entry_point else []
    return chosen


def _read(name: str, value: object, notes: list[str]) -> Any:
    try:
        if name in PARSERS:
            return PARSERS[name](value)
        if name in NOTING_PARSERS:
            return NOTING_PARSERS[name](value, notes)
    except (InvalidOption, NotSupported) as error:
        raise type(error)(f"{name}: {error.message}", hint=error.hint) from None
    meant = OTHER_NAMES.get(name)
    hint = f"did you mean {meant!r}?" if meant else values.near(name, BY_NAME)
    raise InvalidOption(f"unknown option {name!r}", hint=hint)


def _apply_profile(chosen: dict[str, Any], notes: list[str]) -> None:
    name = chosen["profile"]
    profile = profiles.PROFILES[name]
    profiles.check(name, chosen)
    for option, value in profile.options.items():
        chosen.setdefault(option, _read(option, value, notes))
    if profile.read_only:
        chosen["read_only"] = True
    if profile.cap_drop_all:
        chosen["cap_drop"] = ("CAP_ALL",)


def _security(chosen: Mapping[str, Any], notes: list[str]) -> Security:
    security_opt: tuple[str, ...] = chosen.get("security_opt", ())
    try:
        security = security_options.parse(security_opt, notes)
    except (InvalidOption, NotSupported) as error:
        raise type(error)(f"security_opt: {error.message}", hint=error.hint) from None
    if "profile" not in chosen:
        return security
    opened = any(each.startswith("no-new-privileges") for each in security_opt) and not security.no_new_privileges
    if opened or security.seccomp == "unconfined" or security.unmask:
        raise InvalidOption(f"security_opt contradicts the profile {chosen['profile']!r}")
    return Security(True, security.seccomp, (), security.mask)


def _check_together(chosen: Mapping[str, Any]) -> None:
    memory, swap, reservation = (chosen.get(name) for name in ("memory", "memory_swap", "memory_reservation"))
    if swap is not None and memory is None:
        raise InvalidOption("memory_swap is a limit on memory and swap together", hint="give memory too")
    if memory is not None and swap is not None and 0 <= swap < memory:
        raise InvalidOption(f"memory_swap ({swap}) is less than memory ({memory}), which it includes")
    if memory is not None and reservation is not None and reservation > memory:
        raise InvalidOption(f"memory_reservation ({reservation}) is more than memory ({memory})")
    if chosen.get("cpus") is not None and (chosen.get("cpu_quota") or chosen.get("cpu_period")):
        raise InvalidOption("cpus and cpu_quota or cpu_period say the same thing", hint="give one of them")
    shared = [name for name in values.SHARED if str(chosen.get(name, "")).startswith("container:")]
    if "uts" in shared and (chosen.get("hostname") or chosen.get("domainname")):
        raise InvalidOption("hostname and domainname would change the other container's")
    if "network" in shared and chosen.get("hostname"):
        raise InvalidOption(
            "conflicting options: hostname and the network mode",
            hint="in another container's network it has that one's host name",
        )
    if chosen.get("uts") == "host" and (chosen.get("hostname") or chosen.get("domainname")):
        raise InvalidOption("hostname and domainname would change the machine's with uts='host'")
    for setting in chosen.get("sysctls", ()):
        namespace = namespace_of(setting)
        if namespace and chosen.get(namespace) == "host":
            raise InvalidOption(f"sysctls: {setting} would change the machine's with {namespace}='host'")
    _check_targets(chosen)


def _check_targets(chosen: Mapping[str, Any]) -> None:
    seen: set[str] = set()
    for option in ("volumes", "mounts", "tmpfs"):
        for mount in chosen.get(option, ()):
            if mount.destination in seen:
                raise InvalidOption(f"{option}: {mount.destination!r} is the target of two mounts")
            seen.add(mount.destination)


def _env_of_files(paths: tuple[str, ...], environ: Mapping[str, str] | None) -> tuple[str, ...]:
    from kernelbox.engine import env_file

    try:
        entries = tuple(entry for path in paths for entry in env_file.read(path))
        return values.environment(entries) if environ is None else _inherit(entries, environ)
    except InvalidOption as error:
        raise InvalidOption(f"env_file: {error.message}", hint=error.hint) from None


def _inherit(entries: Iterable[str], environ: Mapping[str, str]) -> tuple[str, ...]:
    """As `docker run -e`: NAME alone is the caller's value, and nothing where the caller has none."""
    whole = []
    for entry in entries:
        if "=" in entry:
            whole.append(entry)
        elif entry in environ:
            whole.append(f"{entry}={environ[entry]}")
    return tuple(whole)
