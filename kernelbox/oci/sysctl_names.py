"""Which kernel settings are a namespace's own, and so may be a container's; all others are the machine's."""

from __future__ import annotations

__all__ = ["namespace_of"]

_IPC = frozenset(
    [
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
    ]
)


def namespace_of(name: str) -> str | None:
    """ "network", "ipc" or "uts", by the names that config.json has for them; None for a setting of the machine."""
    if name.startswith("net."):
        return "network"
    if name in _IPC or name.startswith("fs.mqueue."):
        return "ipc"
    return "uts" if name == "kernel.domainname" else None
