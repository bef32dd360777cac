"""What the control groups are told, and the checks that only the machine can answer."""

from __future__ import annotations

from collections.abc import Sequence

from kernelbox.engine import hardening
from kernelbox.engine.device_options import DeviceRate
from kernelbox.engine.limit_values import format_list, parse_list
from kernelbox.engine.machine import Machine
from kernelbox.engine.options import RunOptions
from kernelbox.engine.profiles import PROFILES
from kernelbox.engine.sources import Sources
from kernelbox.errors import InvalidOption
from kernelbox.oci.runtime_spec import BlockIo, Cpu, DeviceRule, Memory, Pids, Resources, ThrottleDevice
from kernelbox.oci.units import format_size

_DEFAULT = Resources(devices=hardening.DEVICE_RULES, pids=Pids(hardening.PIDS_LIMIT))


def build(options: RunOptions, machine: Machine, sources: Sources) -> Resources:
    """The resources section. Raises InvalidOption for what this machine does not have."""
    memory, cpu, block_io = _memory(options, machine), _cpu(options, machine), _block_io(options, sources)
    devices = _devices(options, sources)
    if (memory or cpu or block_io or options.pids_limit) is None and devices is hardening.DEVICE_RULES:
        return _DEFAULT
    pids = Pids(hardening.PIDS_LIMIT if options.pids_limit is None else options.pids_limit)
    return Resources(devices, memory, cpu, pids, block_io)


def _memory(options: RunOptions, machine: Machine) -> Memory | None:
    limit = options.memory
    if limit is None and options.profile:
        limit = min(PROFILES[options.profile].memory, machine.memory)
    for name, size in (("memory", limit), ("memory_reservation", options.memory_reservation)):
        if size is not None and size > machine.memory:
            raise InvalidOption(
                f"{name}: {format_size(size)} is more than this machine has ({format_size(machine.memory)})",
                hint=f"leave {name} out for no limit",
            )
    if limit is None and options.memory_reservation is None:
        return None
    # without a word about swap there is none: a limit on memory is meant as one, and swapping makes figures unsteady
    swap = options.memory_swap if options.memory_swap is not None else limit
    return Memory(limit=limit, reservation=options.memory_reservation, swap=swap)


def _cpu(options: RunOptions, machine: Machine) -> Cpu | None:
    cpus = options.cpus
    if cpus is None and options.profile and not options.cpu_quota:
        cpus = min(PROFILES[options.profile].cpus, machine.cpus)
    if cpus is not None and cpus > machine.cpus:
        raise InvalidOption(
            f"cpus: {cpus:g} is more than this machine has ({machine.cpus})", hint="leave cpus out for no limit"
        )
    _check_within("cpuset_cpus", options.cpuset_cpus, machine.cpuset, "processors")
    _check_within("cpuset_mems", options.cpuset_mems, machine.mems, "memory nodes")
    cpu = Cpu(
        shares=options.cpu_shares,
        quota=options.cpu_quota if cpus is None else round(cpus * hardening.CPU_PERIOD),
        period=options.cpu_period if cpus is None else hardening.CPU_PERIOD,
        cpus=options.cpuset_cpus or "",
        mems=options.cpuset_mems or "",
    )
    return None if cpu == _NO_CPU else cpu


_NO_CPU = Cpu()


def _check_within(option: str, asked: str | None, available: frozenset[int], what: str) -> None:
    if asked is None:
        return
    outside = parse_list(asked) - available
    if outside:
        raise InvalidOption(
            f"{option}: this machine has no {format_list(outside)}", hint=f"its {what} are {format_list(available)}"
        )


def _block_io(options: RunOptions, sources: Sources) -> BlockIo | None:
    if options.blkio_weight is None and not options.device_rates:
        return None
    return BlockIo(
        weight=options.blkio_weight,
        throttle_read_bps_device=_throttles(options.device_read_bps, sources),
        throttle_write_bps_device=_throttles(options.device_write_bps, sources),
        throttle_read_iops_device=_throttles(options.device_read_iops, sources),
        throttle_write_iops_device=_throttles(options.device_write_iops, sources),
    )


def _throttles(rates: Sequence[DeviceRate], sources: Sources) -> tuple[ThrottleDevice, ...]:
    nodes = [(sources.devices[rate.path], rate.rate) for rate in rates]
    return tuple(ThrottleDevice(node.major, node.minor, rate) for node, rate in nodes)


def _devices(options: RunOptions, sources: Sources) -> tuple[DeviceRule, ...]:
    if options.privileged:
        return (hardening.ALLOW_ALL,)
    if not options.devices and not options.device_cgroup_rules:
        return hardening.DEVICE_RULES
    asked = []
    for request in options.devices:
        node = sources.devices[request.source]
        asked.append(DeviceRule(True, node.type, node.major, node.minor, request.access))
    return (*hardening.DEVICE_RULES, *asked, *options.device_cgroup_rules)
