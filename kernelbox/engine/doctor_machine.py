"""Checks of where we are: the kernel, the user, a container around us, the store."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from kernelbox.engine import way_out
from kernelbox.engine.doctor_check import Check, degraded, missing, nearest_folder, tried, works
from kernelbox.engine.doctor_isolation import file_system
from kernelbox.engine.machine import this_machine
from kernelbox.errors import NotSupported, reason_of
from kernelbox.linux import capabilities, idmap
from kernelbox.store.paths import StorePaths

__all__ = ["around", "machine_checks", "nested", "store_checks"]

_OLDEST = (5, 15)
_LITTLE_ROOM = 1 << 30


def machine_checks(isolation: Iterable[Check]) -> tuple[Check, ...]:
    """`isolation` are the findings about namespaces: a container around us may be why they are missing."""
    refused = any(check.state == "missing" and check.name.endswith(" namespace") for check in isolation)
    attempts: dict[str, Callable[[], Check]] = {
        "Linux": _kernel,
        "user": _user,
        "nested": lambda: nested(refused),
        "id ranges": _ids,
        "way out": _way_out,
        "message queues": _queues,
    }
    return tuple(check for name, attempt in attempts.items() for check in tried(name, attempt))


def _kernel() -> Check:
    system = os.uname()
    numbers = tuple(int(part) for part in system.release.split("-")[0].split(".")[:2] if part.isdigit())
    if numbers < _OLDEST:
        return degraded(
            "Linux", f"{system.release}: too old for mapped ids and for killing a group at once", "Linux 5.15 or newer"
        )
    return works(
        "Linux",
        f"{system.release} on {system.machine}, {os.cpu_count()} processors, {_size(this_machine().memory)} of memory",
    )


def _user() -> Check:
    if os.geteuid():
        return works("user", f"{_user_name()}, not root: containers live in user namespaces of this user")
    if capabilities.current().effective & capabilities.parse(["SYS_ADMIN"]):
        return works("user", "root")
    return missing(
        "user",
        "root without CAP_SYS_ADMIN, which is not root enough to make containers",
        "run as an ordinary user, or outside",
    )


def nested(refused: bool, root: Path = Path("/")) -> Check:
    """Whether we are in a container ourselves; `refused`: new namespaces are."""
    name = "nested"
    kind = around(root)
    filtered = "Seccomp:\t2" in (root / "proc/self/status").read_text()
    if refused and (kind or filtered):
        what = f"a {kind} container" if kind else "a sandbox"
        by = "its system call filter" if filtered else "it"
        return missing(
            name,
            f"we are inside {what}, and {by} refuses new namespaces: no container can be started in here",
            "docker run --privileged ..., or --cap-add SYS_ADMIN --security-opt seccomp=unconfined",
        )
    return works(name, f"inside a {kind} container, which allows it" if kind else "not inside another container")


def around(root: Path = Path("/")) -> str:
    """The kind of container that this process is in, as its marks in the file system tell; empty for none."""
    if (root / ".dockerenv").exists():
        return "Docker"
    if (root / "run/.containerenv").exists():
        return "podman"
    if (root / "var/run/secrets/kubernetes.io").exists():
        return "Kubernetes"
    return ""


def _ids() -> Check:
    name = "id ranges"
    if os.geteuid() == 0:
        return works(name, "root gives each container 65536 ids of its own")
    user = _user_name()
    programs = [each for each in ("newuidmap", "newgidmap") if not shutil.which(each)]
    if programs:
        return degraded(
            name, f"without {' and '.join(programs)} only root exists in a container", "apt-get install uidmap"
        )
    counts = [
        sum(each.count for each in idmap.subordinate(user, Path(file))) for file in ("/etc/subuid", "/etc/subgid")
    ]
    if not all(counts):
        mend = f"usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}"
        return degraded(name, f"/etc/subuid and /etc/subgid give {user} none: only root exists in a container", mend)
    return works(name, f"{min(counts)} ids of /etc/subuid for containers of {user}")


def _way_out() -> Check:
    """Into the network, which an ordinary user's containers have by a program only."""
    name = "way out"
    if os.geteuid() == 0:
        return works(name, "root's containers can have the machine's network: --network host")
    missed = []
    for network in way_out.PACKAGES:
        try:
            way_out.program(network, rootless=True)
        except NotSupported as error:
            missed.append(error)
        else:
            return works(name, f"--network {network} gives containers of this user one")
    return degraded(name, f"this user's containers have no network: {missed[0].message}", missed[0].hint or "")


def _queues() -> Check:
    name = "message queues"
    machine = this_machine()
    if not machine.mqueue:
        return degraded(
            name,
            "this kernel has no POSIX message queues: /dev/mqueue is left out",
            "a kernel with CONFIG_POSIX_MQUEUE",
        )
    if not machine.host_mqueue:
        return works(
            name, "each container has its own; --ipc host has none, because this machine has not mounted its own"
        )
    return works(name, "each container has its own")


def store_checks(paths: StorePaths) -> Iterator[Check]:
    """The folder is looked at where it is, or would be."""
    yield from tried("store", lambda: _store(paths))


def _store(paths: StorePaths) -> Check:
    name = "store"
    mend = "set KERNELBOX_ROOT to a folder that you may write"
    folder = nearest_folder(paths.root)
    below = folder / paths.root.relative_to(folder).parts[0] if folder != paths.root else folder
    if os.path.exists(below) and not os.path.isdir(below):
        return missing(name, f"{below} is not a folder", mend)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return missing(name, f"{paths.root} cannot be written: {reason_of(error)}", mend)
    free = shutil.disk_usage(folder).free
    detail = f"{paths.root} on {file_system(folder)}, {_size(free)} free"
    if free < _LITTLE_ROOM:
        return degraded(
            name, f"{detail}: little room for what containers write", "free some space, or set KERNELBOX_ROOT"
        )
    return works(name, detail if folder == paths.root else f"{detail}; made at the first run")


def _size(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB"


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
