"""A bundle as `runc spec` makes one, on the small root file system."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import leaks
import pytest

CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]


@pytest.fixture
def bundle(tmp_path: Path, busybox_rootfs: Path) -> Path:
    folder = tmp_path / "bundle"
    folder.mkdir()
    hidden = ["nosuid", "noexec", "nodev"]
    config = {
        "ociVersion": "1.0.2",
        "process": {
            "args": ["sh"], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}, "noNewPrivileges": True,
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), CAPABILITIES),
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
        },
        "root": {"path": str(busybox_rootfs), "readonly": True},
        "hostname": "bundle",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*hidden, "ro"]},
        ],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount", "cgroup")],
            "maskedPaths": ["/proc/kcore", "/sys/firmware"],
            "readonlyPaths": ["/proc/sys"],
        },
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def orphans() -> Iterator[None]:
    """The first processes of containers whose monitor was killed come to us, and elsewhere to init, to be waited
    for."""

    def zombies() -> list[int]:
        return [p.pid for p in leaks.processes() if (p.parent, p.state) == (os.getpid(), "Z") and p.session == p.pid]

    assert not zombies()
    yield
    for pid in zombies():
        os.waitpid(pid, 0)
