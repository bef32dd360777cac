"""The parts of `config.json` that few containers have: hooks, seccomp, scheduling, the rarer resources.

Reached as `kernelbox.oci.runtime_spec.NAME`; a module of its own so that the usual launch does not pay for it.
"""

from __future__ import annotations

from dataclasses import field
from typing import Annotated

from kernelbox.oci.codec import Choices, Int64, Uint32, Uint64
from kernelbox.oci.value import frozen

Action = Annotated[
    str,
    Choices(
        "SCMP_ACT_KILL",
        "SCMP_ACT_KILL_PROCESS",
        "SCMP_ACT_KILL_THREAD",
        "SCMP_ACT_TRAP",
        "SCMP_ACT_ERRNO",
        "SCMP_ACT_TRACE",
        "SCMP_ACT_ALLOW",
        "SCMP_ACT_LOG",
        "SCMP_ACT_NOTIFY",
    ),
]
Comparison = Annotated[
    str,
    Choices(
        "SCMP_CMP_NE",
        "SCMP_CMP_LT",
        "SCMP_CMP_LE",
        "SCMP_CMP_EQ",
        "SCMP_CMP_GE",
        "SCMP_CMP_GT",
        "SCMP_CMP_MASKED_EQ",
    ),
]


@frozen
class Hook:
    """A program run at a point of the container's life; `timeout` in seconds."""

    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout: Int64 | None = None


@frozen
class Hooks:
    """The hooks, each list run in its order."""

    prestart: tuple[Hook, ...] = ()
    create_runtime: tuple[Hook, ...] = ()
    create_container: tuple[Hook, ...] = ()
    start_container: tuple[Hook, ...] = ()
    poststart: tuple[Hook, ...] = ()
    poststop: tuple[Hook, ...] = ()


@frozen
class SyscallArgument:
    """A condition on argument `index` of a system call; `value_two` is the mask of SCMP_CMP_MASKED_EQ."""

    index: Uint32
    value: Uint64
    op: Comparison
    value_two: Uint64 | None = None


@frozen
class SyscallRule:
    """What happens to the calls named, when all of `args` hold."""

    names: tuple[str, ...]
    action: Action
    errno_ret: Uint32 | None = None
    args: tuple[SyscallArgument, ...] = ()


@frozen
class Seccomp:
    """A system call filter, to be compiled for `architectures` (SCMP_ARCH_X86_64 ...)."""

    default_action: Action
    default_errno_ret: Uint32 | None = None
    architectures: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    listener_path: str = ""
    listener_metadata: str = ""
    syscalls: tuple[SyscallRule, ...] = ()


@frozen
class Scheduler:
    """sched_setattr(2) of the container's process."""

    policy: str
    nice: Int64 | None = None
    priority: Int64 | None = None
    flags: tuple[str, ...] = ()
    runtime: Uint64 | None = None
    deadline: Uint64 | None = None
    period: Uint64 | None = None


@frozen
class IoPriority:
    """ioprio_set(2): IOPRIO_CLASS_RT, _BE or _IDLE, and 0 (first) to 7."""

    class_: str = field(metadata={"json": "class"})
    priority: Int64 | None = None


@frozen
class CpuAffinity:
    """CPU lists for processes that enter later, before and after they have joined the control group."""

    initial: str = ""
    final: str = ""


@frozen
class HugepageLimit:
    """Bytes of huge pages of one size ("2MB")."""

    page_size: str
    limit: Uint64


@frozen
class InterfacePriority:
    """The priority of what leaves through one network interface (net_prio, v1 only)."""

    name: str
    priority: Uint32


@frozen
class NetworkResources:
    """Class and priorities of the network controllers (v1 only)."""

    class_id: Uint32 | None = field(default=None, metadata={"json": "classID"})
    priorities: tuple[InterfacePriority, ...] = ()


@frozen
class RdmaLimit:
    """Handles and objects of one RDMA device."""

    hca_handles: Uint32 | None = None
    hca_objects: Uint32 | None = None


@frozen
class IntelRdt:
    """Cache and memory bandwidth classes of resctrl."""

    clos_id: str = field(default="", metadata={"json": "closID"})
    l3_cache_schema: str = ""
    mem_bw_schema: str = ""
    enable_cmt: bool = field(default=False, metadata={"json": "enableCMT"})
    enable_mbm: bool = field(default=False, metadata={"json": "enableMBM"})


@frozen
class Personality:
    """personality(2): LINUX or LINUX32."""

    domain: Annotated[str, Choices("LINUX", "LINUX32")]
    flags: tuple[str, ...] = ()


@frozen
class TimeOffset:
    """How far a clock of the time namespace is ahead of the machine's."""

    secs: Int64 | None = None
    nanosecs: Uint32 | None = None
