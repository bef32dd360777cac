"""What every container gets unless it asks otherwise: the tables of isolation.

Where a table follows Docker or podman it says so; where it is stricter, why.
"""

from __future__ import annotations

from kernelbox.linux import devices
from kernelbox.oci.runtime_spec import DeviceRule, Rlimit

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Docker's PATH for images that set none."""

PIDS_LIMIT = 2048
OOM_SCORE_ADJ = 500
"""Raised, so that when memory is out the kernel ends a container before the notebook that started it."""
UMASK = 0o022
SHM_SIZE = 64 << 20
CPU_PERIOD = 100_000

NO_CORE = Rlimit("RLIMIT_CORE", hard=0, soft=0)
"""No core files: core_pattern is the machine's, and a handler there would run outside with the container's data."""

MASKED_PATHS: tuple[str, ...] = (
    # what steers the machine, or waits for a mistake in a driver
    "/proc/acpi",
    "/proc/asound",
    "/proc/bootconfig",
    "/proc/driver",
    "/proc/dynamic_debug",
    "/proc/mtrr",
    "/proc/scsi",
    # the memory, addresses, keys and command line of the machine's kernel
    "/proc/cmdline",
    "/proc/config.gz",
    "/proc/iomem",
    "/proc/ioports",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/key-users",
    "/proc/keys",
    "/proc/kmsg",
    "/proc/kpagecgroup",
    "/proc/kpagecount",
    "/proc/kpageflags",
    "/proc/modules",
    "/proc/pagetypeinfo",
    "/proc/slabinfo",
    "/proc/vmallocinfo",
    # what other people's programs do, finely enough to spy on them
    "/proc/interrupts",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/schedstat",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    # serial numbers and firmware of the machine, and the kernel's own workshops
    "/sys/devices/virtual/dmi",
    "/sys/firmware",
    "/sys/fs/bpf",
    "/sys/fs/pstore",
    "/sys/fs/selinux",
    "/sys/kernel/boot_params",
    "/sys/kernel/debug",
    "/sys/kernel/notes",
    "/sys/kernel/security",
    "/sys/kernel/tracing",
    "/sys/kernel/vmcoreinfo",
)
"""Docker's and podman's masked paths and more; those that a machine does not have are skipped at launch. With them go
the machine's `throttle_counters`, by which one container feels what others compute."""

READONLY_PATHS: tuple[str, ...] = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def _rule(rule: devices.Rule) -> DeviceRule:
    return DeviceRule(rule.allow, "" if rule.kind == "a" else rule.kind, rule.major, rule.minor, rule.access)


ALLOW_ALL = _rule(devices.Rule(allow=True))
DEVICE_RULES: tuple[DeviceRule, ...] = tuple(map(_rule, devices.DEFAULT_RULES))
"""Docker's rules without its two that let any node be made (making nodes needs a capability that nobody has here), and
without the machine's console: /dev/console is a terminal of the container's own."""
