"""OCI bundles for tests: the configuration that `runc spec` writes, by hand, so that no test needs runc for it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

Change = Callable[[dict[str, Any]], object]
Bundle = Callable[..., str]
"""What the fixture `bundle` gives: a function that takes a Change and returns the name of an image."""

CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
NOTHING = ["nosuid", "noexec", "nodev"]
MOUNTS = (
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {
        "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
        "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    {
        "destination": "/dev/pts", "type": "devpts", "source": "devpts",
        "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    {
        "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
        "options": [*NOTHING, "mode=1777", "size=65536k"],
    },
    {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": NOTHING},
    {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*NOTHING, "ro"]},
    {
        "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
        "options": [*NOTHING, "relatime", "ro"],
    },
)  # fmt: skip
MASKED = (
    *("/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list"),
    *("/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"),
)
READONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def config(root: str | os.PathLike[str] = "rootfs") -> dict[str, Any]:
    """As `runc spec` writes it, without a terminal; every part is the caller's own."""
    document = {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted", "ambient"), CAPABILITIES),
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": os.fspath(root), "readonly": True},
        "hostname": "runc",
        "mounts": MOUNTS,
        "linux": {
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount", "cgroup")],
            "maskedPaths": MASKED,
            "readonlyPaths": READONLY,
        },
    }
    copied: dict[str, Any] = json.loads(json.dumps(document))
    return copied


def rootless_config(uid: int, gid: int) -> dict[str, Any]:
    """As `runc spec --rootless` writes it for that user, without a terminal."""
    document = config()
    document["linux"] |= {
        "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "cgroup", "user")],
        "uidMappings": [{"containerID": 0, "hostID": uid, "size": 1}],
        "gidMappings": [{"containerID": 0, "hostID": gid, "size": 1}],
    }
    del document["linux"]["resources"]
    for mount in document["mounts"]:
        if mount["destination"] == "/sys":
            mount |= {"type": "none", "source": "/sys", "options": ["rbind", *NOTHING, "ro"]}
        elif mount["destination"] == "/dev/pts":
            mount["options"].remove("gid=5")
    return document


def write(folder: Path, document: dict[str, Any]) -> str:
    """Puts the configuration into the folder, which may be there already; the name of its image."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(document))
    return f"bundle:{folder}"


def args(*command: str) -> Change:
    """The change that sets the command."""
    return lambda document: document["process"].update(args=list(command))
