"""What an OCI configuration can ask for that this runtime does not do: refused with a sentence, never left out
silently."""

from __future__ import annotations

from kernelbox.errors import InvalidOption, NotSupported
from kernelbox.linux.namespaces import time_is_entered_by_exec
from kernelbox.oci.runtime_spec import Config
from kernelbox.oci.sysctl_names import namespace_of

__all__ = ["refuse_contradictions", "refuse_unsupported"]


def refuse_unsupported(config: Config) -> None:
    """Raises NotSupported naming the first field that cannot be honoured."""
    asked = _of_process(config) | _of_linux(config) | _of_mounts(config)
    for field, wanted in asked.items():
        if wanted:
            raise NotSupported(f"{field} is not supported", hint="leave it out of the configuration")
    own = {space.type for space in config.linux.namespaces if not space.path} if config.linux else set()
    if "time" in own and not time_is_entered_by_exec():
        raise NotSupported("a time namespace needs Linux 6.3 or newer: before, the program itself is not in it")


def refuse_contradictions(config: Config) -> None:
    """Raises InvalidOption for what would reach beyond the container, or cannot be meant."""
    if config.linux is None:
        return
    own = {space.type for space in config.linux.namespaces if not space.path}
    for field, value, kind in (
        ("hostname", config.hostname, "uts"),
        ("domainname", config.domainname, "uts"),
        ("linux.timeOffsets", config.linux.time_offsets, "time"),
    ):
        if value and kind not in own:
            raise InvalidOption(f"{field} needs a new {kind} namespace")
    for name in config.linux.sysctl:
        namespace = namespace_of(name.replace("/", "."))
        if namespace is None:
            raise InvalidOption(f"linux.sysctl: {name} is a setting of the whole machine, not of a container")
        if namespace not in own:
            raise InvalidOption(f"linux.sysctl: {name} needs a new {namespace} namespace")
    if config.process and config.process.terminal and all(mount.type != "devpts" for mount in config.mounts):
        raise InvalidOption("process.terminal needs a mount of type devpts")


def _of_process(config: Config) -> dict[str, object]:
    process = config.process
    if process is None:
        return {}
    return {
        "process.apparmorProfile": process.apparmor_profile,
        "process.selinuxLabel": process.selinux_label,
        "process.scheduler": process.scheduler,
        "process.ioPriority": process.io_priority,
        "process.execCPUAffinity": process.exec_cpu_affinity,
    }


def _of_linux(config: Config) -> dict[str, object]:
    linux = config.linux
    if linux is None:
        return {}
    asked: dict[str, object] = {
        "linux.intelRdt": linux.intel_rdt,
        "linux.personality": linux.personality,
        "linux.mountLabel": linux.mount_label,
    }
    resources = linux.resources
    if resources is None:
        return asked
    return asked | {
        "linux.resources.hugepageLimits": resources.hugepage_limits,
        "linux.resources.network": resources.network,
        "linux.resources.rdma": resources.rdma,
        "linux.resources.unified": resources.unified,
        "linux.resources.memory.disableOOMKiller": resources.memory and resources.memory.disable_oom_killer,
        "linux.resources.cpu.realtimeRuntime": resources.cpu and resources.cpu.realtime_runtime,
        "linux.resources.cpu.idle": resources.cpu and resources.cpu.idle,
    }


def _of_mounts(config: Config) -> dict[str, object]:
    own = config.linux.uid_mappings if config.linux else ()
    return {
        f"mounts: the option tmpcopyup of {mount.destination}": "tmpcopyup" in mount.options for mount in config.mounts
    } | {
        f"mounts: an id mapping of its own for {mount.destination}": mount.uid_mappings and mount.uid_mappings != own
        for mount in config.mounts
    }
