"""The image `host`: a copy-on-write view of this machine's own programs, with its secrets hidden.

An overlay's lowest layer is "/", above it lies a small tmpfs, the mask. What the mask does not hide and is on the list
shows through (/usr, /bin, /lib ...); /etc is replaced by copies of its harmless files; homes, /var, /run and everything
else are empty or absent. Where the running Python lives outside /usr, that folder is bound read-only, and so are other
file systems that are mounted below what is shown.

Root in the container is root to the files of the layer: what others may not read has to be hidden. In /usr, which
packages fill, there are no secrets; /opt and /usr/local are looked through.
"""

from __future__ import annotations

import os
import stat
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

from kernelbox.linux import mountinfo
from kernelbox.oci.image_config import ImageConfig
from kernelbox.oci.runtime_spec import Mount
from kernelbox.runtime.plan import Plan
from kernelbox.runtime.setup import HOST_MASK
from kernelbox.runtime.steps.base import Step
from kernelbox.runtime.steps.files import HideLower, MakeFolder, MakeLink, MakeOpaque, WriteFile
from kernelbox.runtime.steps.mounts import AttachInWorkshop, ClearWorkshop, MakeMount

__all__ = ["GROUP", "PASSWD", "binds", "closed_paths", "host_config", "mask_plan", "state_of_root"]

SHOWN = frozenset({"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "libo32", "opt"})

_EMPTY = {"root": 0o700, "home": 0o755, "mnt": 0o755, "media": 0o755, "srv": 0o755, "run": 0o755, "tmp": 0o1777,
          "proc": 0o555, "sys": 0o555, "dev": 0o755, "var": 0o755, "etc": 0o755}  # fmt: skip
_BELOW = {"var/tmp": 0o1777, "var/lib": 0o755, "var/cache": 0o755, "var/log": 0o755, "run/lock": 0o1777}

_ETC = (
    "bash.bashrc",
    "ca-certificates.conf",
    "debian_version",
    "fonts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "locale.alias",
    "localtime",
    "magic",
    "mime.types",
    "nsswitch.conf",
    "os-release",
    "pki",
    "profile",
    "profile.d",
    "protocols",
    "python3",
    "python3.11",
    "python3.12",
    "python3.13",
    "rpc",
    "services",
    "shells",
    "ssl/openssl.cnf",
    "terminfo",
    "timezone",
    "inputrc",
    "java-17-openjdk",
    "perl",
    "matplotlibrc",
)

PASSWD = (
    b"root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\nbin:x:2:2:bin:/bin:/usr/sbin/nologin\n"
    b"www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\nuser:x:1000:1000:user:/home:/bin/sh\n"
    b"nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
)
GROUP = (
    b"root:x:0:\ndaemon:x:1:\nbin:x:2:\nadm:x:4:\ntty:x:5:\ndisk:x:6:\nmail:x:8:\nwww-data:x:33:\nshadow:x:42:\nutmp:x:43:\n"
    b"staff:x:50:\nusers:x:100:\nuser:x:1000:\nnogroup:x:65534:\n"
)

_BOUND = (Path("/etc/alternatives"), Path("/etc/ssl/certs"))
"""Folders of /etc with hundreds of links: bound read-only, which takes a hundredth of the time of copying them."""

_MOST_FILES = 2000
_MOST_BYTES = 1 << 20

_BY_HAND = (Path("/opt"), Path("/usr/local"))
"""Where people put what no package brought, services with their secrets among it."""
_DEPTH = 3
_MOST_SEEN = 5000
_REMOTE = ("9p", "afs", "autofs", "ceph", "cifs", "fuse", "nfs", "smb")
"""Kinds of file systems (by how their names begin) that a start must not wait for."""


def state_of_root() -> tuple[int, ...]:
    """Changes when something appears in or goes from "/" and the folders filled by hand: the mask is then made anew, so
    that it is hidden too."""
    found = []
    for folder in (Path("/"), *_BY_HAND):
        if folder.exists():
            status = folder.stat()
            found += [status.st_ino, status.st_mtime_ns]
    return tuple(found)


def closed_paths(trees: Iterable[Path] = _BY_HAND) -> tuple[Path, ...]:
    """What other users may not read below these folders, the outermost of it; the running Python is never among it.
    Sockets and pipes count as closed. Upper folders are looked at first, and no more than `_MOST_SEEN` entries or
    `_DEPTH` folders down: the first run waits for it."""
    prefixes = (Path(sys.prefix), Path(sys.base_prefix))
    needed = {str(folder) for prefix in prefixes for folder in (prefix, *prefix.parents)}
    found, seen = [], 0
    waiting = deque((str(tree), 0) for tree in trees if tree.is_dir())
    while waiting and seen < _MOST_SEEN:
        folder, depth = waiting.popleft()
        device = os.stat(folder).st_dev
        for entry in os.scandir(folder):
            seen += 1
            if entry.is_symlink() or entry.path in needed:
                continue
            status = entry.stat(follow_symlinks=False)
            mode = status.st_mode
            if stat.S_ISDIR(mode) and mode & 0o005 == 0o005:
                if depth < _DEPTH and status.st_dev == device:  # what is mounted there is no part of the layer
                    waiting.append((entry.path, depth + 1))
            elif not (stat.S_ISREG(mode) and mode & 0o004):
                found.append(Path(entry.path))
    return tuple(sorted(found))


def _outermost(folders: Iterable[Path]) -> tuple[Path, ...]:
    every = sorted(set(folders))
    return tuple(folder for folder in every if not any(other in folder.parents for other in every))


def _mounted() -> tuple[Path, ...]:
    """Other file systems on and below what is shown, where the layer has only an empty folder. Those with something
    that others may not read are left out: a bound folder cannot hide it."""
    targets = [
        Path(mount.target)
        for mount in mountinfo.read()
        if mount.target.lstrip("/").partition("/")[0] in SHOWN and not mount.fstype.startswith(_REMOTE)
    ]
    return tuple(path for path in _outermost(targets) if not closed_paths([path]))


def python_folders() -> tuple[Path, ...]:
    """Where the running Python and its packages live, as far as that is not shown anyway; outer ones first."""
    folders = {Path(folder).resolve() for folder in (sys.prefix, sys.base_prefix)}
    return _outermost(folder for folder in folders if folder.parts[1:2] and folder.parts[1] not in SHOWN)


def _shown() -> tuple[Path, ...]:
    return tuple(Path("/", name) for name in sorted(SHOWN) if os.path.lexists(f"/{name}"))


def binds(*, rootless: bool) -> tuple[Mount, ...]:
    """Folders of the machine bound read-only: where Python lives, what is mounted below the shown folders, and for an
    ordinary user all of /usr and its like, as the kernel lets nobody but root make "/" a layer."""
    shown = tuple(path for path in _shown() if not path.is_symlink()) if rootless else _mounted()
    folders = (*shown, *python_folders(), *(folder for folder in _BOUND if folder.is_dir()))
    return tuple(Mount(str(f), "bind", str(f), ("rbind", "ro", "rro", "nosuid", "nodev")) for f in folders)


def host_config() -> ImageConfig:
    """This Python first on the PATH, a shell as the command."""
    prefix = Path(sys.prefix).resolve()
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    if str(prefix) != "/usr":
        path = f"{prefix}/bin:{path}"
    shell = "/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh"
    return ImageConfig(env=(f"PATH={path}", "LANG=C.UTF-8"), cmd=(shell,))


def mask_plan(*, rootless: bool = False, owner: int = 0, attached: bool = False) -> Plan:
    """Makes the mask, in the monitor, as the descriptor HOST_MASK; its files belong to `owner`. `attached`: the
    kernel can only clone mounts that are attached somewhere."""
    steps: list[Step] = [MakeMount("tmpfs", HOST_MASK, (("mode", "755"), ("size", "64m")))]
    shown = SHOWN | _EMPTY.keys() | {folder.parts[1] for folder in python_folders()}
    if rootless:
        for path in _shown():
            link = path.is_symlink()
            steps.append(
                MakeLink(path.name, os.readlink(path), HOST_MASK) if link else MakeFolder(path.name, HOST_MASK)
            )
    else:
        steps += [HideLower(name, HOST_MASK) for name in sorted(os.listdir("/")) if name not in shown]
    for name, mode in _EMPTY.items():
        steps.append(MakeFolder(name, HOST_MASK, mode, owner))
        if not rootless:
            steps.append(MakeOpaque(name, HOST_MASK, "trusted.overlay.opaque"))
    steps += [MakeFolder(name, HOST_MASK, mode, owner) for name, mode in _BELOW.items()]
    steps += _etc(owner)
    made = set(_EMPTY) | set(_BELOW)
    for folder in (*python_folders(), *_BOUND):
        steps += _mount_point(folder, made, rootless)
    if not rootless:
        for path in closed_paths():
            steps += [*_folders_above(path, made, owner), HideLower(str(path).lstrip("/"), HOST_MASK)]
    if attached:
        steps += [ClearWorkshop(("/host-mask",)), AttachInWorkshop(HOST_MASK, "/host-mask")]
    return Plan(tuple(steps))


def _mount_point(folder: Path, made: set[str], rootless: bool) -> Iterator[Step]:
    for parent in [*reversed(folder.parents), folder]:
        name = str(parent).lstrip("/")
        if name and name not in made:
            made.add(name)
            yield MakeFolder(name, HOST_MASK, 0o755, exists_ok=True)
            if "/" not in name and not rootless:  # a folder that would have been hidden: empty but for the mount point
                yield MakeOpaque(name, HOST_MASK, "trusted.overlay.opaque")


def _folders_above(path: Path, made: set[str], owner: int) -> Iterator[Step]:
    """As they are on the machine, whose content shows through them."""
    for parent in reversed(path.parents[:-1]):
        name = str(parent).lstrip("/")
        if name not in made:
            made.add(name)
            yield MakeFolder(name, HOST_MASK, stat.S_IMODE(parent.stat().st_mode), owner)


def _etc(owner: int) -> Iterator[Step]:
    yield WriteFile("etc/passwd", PASSWD, HOST_MASK, owner=owner)
    yield WriteFile("etc/group", GROUP, HOST_MASK, owner=owner)
    budget = _MOST_FILES
    made: set[str] = set()
    for name in _ETC:
        for step in _copy(Path("/etc", name), made, owner):
            budget -= 1
            if budget < 0:
                return
            yield step


def _copy(path: Path, made: set[str], owner: int) -> Iterator[Step]:
    """Copies what everybody may read anyway; links as links."""
    try:
        status = path.lstat()
    except OSError:  # not on this machine
        return
    name = str(path)[1:]
    for parent in reversed(path.parents[:-2]):
        above = str(parent)[1:]
        if above not in made:
            made.add(above)
            yield MakeFolder(above, HOST_MASK, owner=owner)
    if stat.S_ISLNK(status.st_mode):
        yield MakeLink(name, os.readlink(path), HOST_MASK)
    elif stat.S_ISDIR(status.st_mode) and status.st_mode & 0o005 == 0o005:
        made.add(name)
        yield MakeFolder(name, HOST_MASK, owner=owner)
        for child in sorted(path.iterdir()):
            yield from _copy(child, made, owner)
    elif stat.S_ISREG(status.st_mode) and status.st_mode & 0o004 and status.st_size <= _MOST_BYTES:
        yield WriteFile(name, path.read_bytes(), HOST_MASK, owner=owner)
