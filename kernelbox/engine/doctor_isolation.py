"""Checks of what keeps a container apart: namespaces, mounts, mapped ids, system call and device filters.

They are made where a container's plan would run: as root here; for an ordinary user in a helper process, inside a user
namespace of its own, where that user is root.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from kernelbox.engine.doctor_check import Check, degraded, missing, nearest_folder, tried, works
from kernelbox.errors import KernelBoxError, KernelError
from kernelbox.linux import devices, idmap, mounts, namespaces, overlay, seccomp
from kernelbox.linux.cgroups import detect
from kernelbox.linux.descriptor import Descriptor
from kernelbox.linux.features import can_idmap
from kernelbox.linux.idmap import IdRange
from kernelbox.native import check as check_native
from kernelbox.native import ffi, lib

__all__ = ["NAMESPACES", "checks", "write_inside"]

NAMESPACES = {
    "user": "ids of its own: root inside is nobody outside",
    "mnt": "files and mounts of its own",
    "pid": "processes of its own",
    "net": "network interfaces of its own",
    "ipc": "shared memory and message queues of its own",
    "uts": "a host name of its own",
    "cgroup": "control groups of its own",
    "time": "clocks of its own",
}
"""What each kind of namespace gives a container."""

_INSIDE = "from kernelbox.engine.doctor_isolation import write_inside; write_inside(sys.argv[2])"
_PID = "from kernelbox.native import lib; print(-lib.kb_unshare(int(sys.argv[2])))"
_MAPPED = "from kernelbox.engine.doctor_isolation import map_inside; map_inside(sys.argv[2])"
_PACKAGES = str(Path(__file__).parents[2])
_SECONDS = 30.0
_USERNS_MENDS = (
    ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=28633"),
    ("kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"),
)


def checks(store: Path) -> tuple[Check, ...]:
    """`store` is the folder of the store; it need not be there."""
    spaces = [tried(f"{kind} namespace", functools.partial(_namespace, kind)) for kind in NAMESPACES]
    folder = nearest_folder(store)
    rest = _rest(folder) if os.geteuid() == 0 else tried("mounts", lambda: _rest_inside(folder))
    return (*(check for found in spaces for check in found), *rest)


def _rest(folder: Path) -> tuple[Check, ...]:
    attempts: dict[str, Callable[[], Check | Iterable[Check]]] = {
        "mount calls": _mount_calls,
        "overlay": functools.partial(_overlays, folder),
        "mapped ids": functools.partial(_mapped, folder),
        "system call filter": _seccomp,
        "device filter": _devices,
    }
    return tuple(check for name, attempt in attempts.items() for check in tried(name, attempt))


def _rest_inside(folder: Path) -> tuple[Check, ...]:
    try:
        said = _helper(_INSIDE, str(folder))
    except KernelBoxError as error:
        return (missing("mounts", f"could not be tried in a user namespace: {error.message}", userns_mend()),)
    return tuple(Check(**each) for each in json.loads(said))


def _helper(code: str, argument: str) -> str:
    """What another Python prints that runs `code`. Raises KernelBoxError with its last words where it fails."""
    # with -P, or Python would import what lies in the current folder
    command = [sys.executable, "-P", "-c", f"import sys; sys.path.append(sys.argv[1]); {code}", _PACKAGES, argument]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_SECONDS)
    if done.returncode:
        raise KernelBoxError((done.stderr.strip().splitlines() or ["it ended without a word"])[-1])
    return done.stdout


def write_inside(folder: str) -> None:
    """For the helper process of an ordinary user: enters a user namespace and writes the checks as JSON."""
    uid, gid = os.geteuid(), os.getegid()
    check_native(lib.kb_unshare(lib.CLONE_NEWUSER | lib.CLONE_NEWNS), "make a user namespace")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    fields = ("name", "state", "detail", "mend")
    json.dump([{name: getattr(check, name) for name in fields} for check in _rest(Path(folder))], sys.stdout)


# -- namespaces ------------------------------------------------------------------------------------------------------


def _namespace(kind: str) -> Check:
    name = f"{kind} namespace"
    error = _try_namespace(kind)
    if not error:
        return works(name, NAMESPACES[kind])
    detail = f"{NAMESPACES[kind]}: {os.strerror(error).lower()}"
    if kind == "time":
        return degraded(name, f"{detail}; containers share the machine's clocks", "a kernel with CONFIG_TIME_NS")
    return missing(name, detail, userns_mend())


def _try_namespace(kind: str) -> int:
    """0 or errno. As an ordinary user together with a user namespace, as a container's."""
    root = os.geteuid() == 0
    flags = namespaces.KINDS[kind].flag | (0 if root else lib.CLONE_NEWUSER)
    if kind == "pid":  # it would end at once without a first process, so a helper makes it for its children
        return int(_helper(_PID, str(flags)))
    uids, gids = (f"0 {each} 1".encode() for each in ((0, 0) if root else (os.geteuid(), os.getegid())))
    maps = (uids, gids) if flags & lib.CLONE_NEWUSER else (ffi.NULL, ffi.NULL)
    descriptors = ffi.new("int[8]")
    result = lib.kb_make_namespaces(flags, *maps, descriptors)
    for descriptor in descriptors:
        if descriptor >= 0:
            os.close(descriptor)
    return max(0, -int(result))


def userns_mend(sysctl: Path = Path("/proc/sys")) -> str:
    """The command for the setting that forbids user namespaces, if it is one of those known."""
    for file, forbids, command in _USERNS_MENDS:
        path = sysctl / file
        if path.exists() and path.read_text().strip() == forbids:
            return command
    return ""


# -- mounts and mapped ids -------------------------------------------------------------------------------------------


def _mount_calls() -> Check:
    name = "mount calls"
    try:
        mounts.detached("tmpfs").close()
    except KernelBoxError as error:
        return missing(
            name, f"fsopen, fsmount, open_tree: {error.message}", "Linux 5.15 or newer, and no filter on mount calls"
        )
    return works(name, "fsopen, fsmount, open_tree: mounts are made before anything can see them")


def _overlays(folder: Path) -> Iterator[Check]:
    mend = "modprobe overlay"
    with ExitStack() as opened:
        tmpfs = opened.enter_context(mounts.detached("tmpfs", {"size": "64k"}))
        layers = _layers(tmpfs, opened)
        try:  # before Linux 6.13 layers must be on a mount that is attached
            overlay.by_path(["/usr", "/etc"]).close()
        except KernelBoxError as error:
            yield missing("overlay", error.message, mend)
            return
        yield works("overlay", "folders as read-only layers under a layer of the container's own")
        try:
            overlay.by_descriptor([layers["lower"]], layers["upper"], layers["work"]).close()
            yield works("overlay by descriptor", "layers need no path, and no path is looked up twice")
        except KernelBoxError:
            yield degraded("overlay by descriptor", "layers are given by path instead", "Linux 6.13 or newer")
        yield _mapped_overlay(folder, tmpfs, layers, opened)
    yield from tried("overlay on the store", lambda: _store_overlay(folder))


def _layers(tmpfs: mounts.Mount, opened: ExitStack) -> Mapping[str, Descriptor]:
    folders = {}
    for name in ("lower", "upper", "work"):
        os.mkdir(name, 0o700, dir_fd=tmpfs.fileno())
        fd = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=tmpfs.fileno())
        folders[name] = opened.enter_context(Descriptor(fd))
    return folders


def _mapped_overlay(folder: Path, tmpfs: mounts.Mount, layers: Mapping[str, Descriptor], opened: ExitStack) -> Check:
    name = "overlay of mapped layers"
    try:
        userns = opened.enter_context(_userns())
        with mounts.clone(layers["lower"]) as lower:
            lower.change(userns=userns.fileno())
            overlay.detached([lower], layers["upper"], layers["work"]).close()
    except KernelBoxError:  # before Linux 6.15 mounts are cloned, and before 6.13 are layers, where they are attached
        if reason := attached_overlay_refused(folder):
            return degraded(name, f"{reason}; files of images belong to nobody inside", "Linux 5.19 or newer, as root")
    return works(name, "files of images belong to the container's root while it looks at them")


def attached_overlay_refused(folder: Path) -> str:
    """Why there can be no overlay of mapped layers that lie in `folder` and are attached, in a mount namespace of a
    helper process; nothing where there can be."""
    with tempfile.TemporaryDirectory(prefix="kernelbox-doctor-", dir=folder) as scratch:
        for name in ("lower", "upper", "work"):
            Path(scratch, name).mkdir()
        try:
            return _helper(_MAPPED, scratch).strip()
        except KernelBoxError as error:
            return error.message


def map_inside(scratch: str) -> None:
    """For that process: prints why not."""
    lower, upper, work = (Path(scratch, name) for name in ("lower", "upper", "work"))
    try:
        check_native(lib.kb_unshare(lib.CLONE_NEWNS), "make a mount namespace")
        mounts.set_attributes("/", propagation=lib.MS_PRIVATE, recursive=True)
        with _userns() as userns, mounts.clone(lower) as mapped:
            mapped.change(userns=userns.fileno())
            mapped.move(lower)
            overlay.by_path([lower], upper, work).close()
    except KernelBoxError as error:
        print(error.message)


def _store_overlay(folder: Path) -> Check:
    name = "overlay on the store"
    with tempfile.TemporaryDirectory(prefix="kernelbox-doctor-", dir=folder) as scratch:
        upper, work = Path(scratch, "upper"), Path(scratch, "work")
        upper.mkdir()
        work.mkdir()
        try:
            overlay.by_path(["/usr"], upper, work).close()
        except KernelError as error:
            kind = file_system(folder)
            return missing(
                name,
                f"{kind} cannot hold changes: {error.message}",
                "set KERNELBOX_ROOT to a folder on ext4, xfs or tmpfs",
            )
    return works(name, f"changes are kept on {file_system(folder)} ({folder})")


def _mapped(folder: Path) -> Iterator[Check]:
    with _userns() as userns:
        for name, path in (("mapped ids on /", Path("/")), ("mapped ids on the store", folder)):
            kind = file_system(path)
            if can_idmap(path, userns):
                yield works(name, f"mounts of {kind} can show files with other owners")
            else:
                detail = f"mounts of {kind} cannot show files with other owners: files of root belong to nobody inside"
                yield degraded(name, detail, "root, and Linux 5.19 or newer with ext4, xfs, btrfs or tmpfs")


def _userns() -> Descriptor:
    """As a container's: root inside is somebody else outside; inside a user namespace there is only ourselves."""
    whole = idmap.translate(idmap.parse(Path("/proc/self/uid_map").read_text()), 1) is not None
    ranges = [IdRange(0, 1 if whole else 0, 1)]
    return idmap.userns(ranges, ranges)


def file_system(path: Path) -> str:
    """The type of the file system at `path`, such as ext4."""
    device = path.stat().st_dev
    numbers = (os.major(device), os.minor(device))
    found = [mount for mount in mounts.mountinfo() if mount.device == numbers]
    if not found:  # btrfs and overlay show other numbers to stat(2): the longest mount point above it is the one
        found = [mount for mount in mounts.mountinfo() if path.is_relative_to(mount.target)]
    return max(found, key=lambda mount: len(mount.target)).fstype


# -- filters ---------------------------------------------------------------------------------------------------------


def _seccomp() -> Check:
    name = "system call filter"
    if not Path("/proc/sys/kernel/seccomp/actions_avail").exists():
        return missing(name, "this kernel has no seccomp filters", "a kernel with CONFIG_SECCOMP_FILTER")
    code = seccomp.compile(seccomp.default_profile(()))
    return works(name, f"compiled by libseccomp to {len(code) // 8} instructions")


def _devices() -> Check:
    name = "device filter"
    hierarchy = detect()
    code = devices.filter_program([devices.DENY_ALL])
    if hierarchy.unified is not None:
        program = lib.kb_bpf_load_device_filter(code, len(code) // 8)
        if program >= 0:
            os.close(program)
            return works(name, "by BPF programs on v2 control groups")
    tree = hierarchy.controllers.get("devices")
    if tree is not None and tree.base is not None:
        return works(name, f"by the devices control group of {tree.path}")
    return degraded(
        name,
        "only devices that are made for it exist in a container, and it may make no others",
        "root, for a filter too",
    )
