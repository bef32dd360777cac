"""What an engine keeps of this machine's kernel between runs: control groups, compiled filters, loaded device programs,
which file systems can map ids. All of it is found once and used for every launch."""

from __future__ import annotations

import functools
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

from kernelbox.engine.layer_mounts import LayerMounts
from kernelbox.linux import cgroups, devices, seccomp
from kernelbox.linux.features import Features, probe
from kernelbox.native import check as check_native
from kernelbox.native import lib
from kernelbox.oci import codec
from kernelbox.oci.runtime_spec import Config, DeviceRule, Resources

__all__ = ["Kernel", "device_rules", "limits_of", "seccomp_code"]


_MOST_PROGRAMS = 32


class _Program(int):
    """The descriptor of a loaded program. One that `Kernel` no longer keeps is closed when nobody has it any more:
    neither a plan that is kept, nor a launch that has yet to send it."""

    _closed = False

    def close(self, close: Callable[[int], None] = os.close) -> None:  # at the interpreter's end there is no `os`
        if not self._closed:
            self._closed = True
            close(self)

    def __del__(self) -> None:
        self.close()


class Kernel:
    """Keeps device programs and mounted layers until `close`. Safe for several threads."""

    def __init__(self) -> None:
        self.hierarchy = cgroups.detect()
        self.features: Features = probe()
        self.layers = LayerMounts()
        self._programs: OrderedDict[tuple[devices.Rule, ...], _Program] = OrderedDict()
        self._can_map: dict[int, bool] = {}
        self._mutex = threading.Lock()

    def close(self) -> None:
        self.layers.close()
        while self._programs:
            self._programs.popitem()[1].close()

    def device_program(self, rules: tuple[devices.Rule, ...]) -> int:
        """A loaded device filter for these rules: a descriptor that is open for as long as this very object is kept, or
        until `close`."""
        with self._mutex:
            program = self._programs.get(rules)
            if program is None:
                code = devices.filter_program(rules)
                loaded = lib.kb_bpf_load_device_filter(code, len(code) // 8)
                program = self._programs[rules] = _Program(check_native(loaded, "load a device filter"))
                if len(self._programs) > _MOST_PROGRAMS:
                    self._programs.popitem(last=False)
            self._programs.move_to_end(rules)
            return program

    def can_map(self, path: str | os.PathLike[str], userns: int) -> bool:
        """Whether ids can be mapped on the file system at `path` (mount_setattr(2), MOUNT_ATTR_IDMAP): tried, then
        kept."""
        device = os.stat(path).st_dev
        known = self._can_map.get(device)
        if known is None:
            known = self._can_map[device] = _try_map(path, userns)
        return known


def _try_map(path: str | os.PathLike[str], userns: int) -> bool:
    tree = lib.kb_open_tree(lib.AT_FDCWD, os.fsencode(path), lib.OPEN_TREE_CLONE)
    if tree < 0:
        return False
    try:
        return bool(lib.kb_mount_setattr(tree, b"", lib.AT_EMPTY_PATH, lib.MOUNT_ATTR_IDMAP, 0, 0, userns) == 0)
    finally:
        os.close(tree)


def limits_of(resources: Resources | None) -> cgroups.Limits:
    """The OCI resources as limits of control groups."""
    if resources is None:
        return cgroups.Limits()
    memory, cpu, block = resources.memory, resources.cpu, resources.block_io
    given: dict[str, object] = {}
    if memory:
        given |= {"memory": memory.limit, "memory_swap": memory.swap, "memory_reservation": memory.reservation}
    if cpu:
        given |= {"cpu_shares": cpu.shares, "cpu_quota": cpu.quota, "cpu_period": cpu.period}
        given |= {"cpuset_cpus": cpu.cpus or None, "cpuset_mems": cpu.mems or None}
    if resources.pids:
        given["pids"] = resources.pids.limit if resources.pids.limit > 0 else -1
    if block:
        given["blkio_weight"] = block.weight
        for name in ("read_bps", "write_bps", "read_iops", "write_iops"):
            throttles = getattr(block, f"throttle_{name}_device")
            given[f"device_{name}"] = tuple((each.major, each.minor, each.rate) for each in throttles)
    return cgroups.Limits(**given)  # type: ignore[arg-type]


@functools.lru_cache(maxsize=128)
def device_rules(rules: tuple[DeviceRule, ...], *, bundle: bool) -> tuple[devices.Rule, ...]:
    """The OCI device rules as those of the device controller. A bundle's are exceptions to a rule that it need not
    write, that nothing is allowed, and the devices that every container has are allowed last (runtime-spec,
    config-linux.md, "Default Devices")."""
    given = tuple(
        devices.Rule(rule.allow, rule.type or "a", rule.major, rule.minor, rule.access or "rwm")  # type: ignore[arg-type]
        for rule in rules
    )
    return (devices.DENY_ALL, *given, *devices.DEFAULT_RULES[1:]) if bundle else given


@functools.lru_cache(maxsize=32)
def _default_code(held: tuple[str, ...]) -> bytes:
    return seccomp.compile(seccomp.default_profile(held))


def seccomp_code(config: Config, kind: str, held: Sequence[str]) -> bytes:
    """The compiled filter; empty for none. `kind` is "default", "unconfined" or "custom" (the one in the
    configuration)."""
    if kind == "default":
        return _default_code(tuple(held))
    if kind == "custom" and config.linux and config.linux.seccomp:
        return seccomp.compile(seccomp.from_oci(codec.encode(config.linux.seccomp)))
    return b""
