"""Paths of a container, from outside: resolved once, by openat2(2) beneath the container's root, to a descriptor that
is then used.

What is in a container is hostile and changes while we look. So a path is never looked up twice, never through a path of
the machine, and what an open descriptor says counts, not what a name said before.
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from contextlib import suppress
from dataclasses import dataclass

from kernelbox.errors import Conflict, InvalidOption, KernelBoxError, KernelError, NotFound
from kernelbox.linux.descriptor import Descriptor
from kernelbox.native import lib

__all__ = [
    "INSIDE",
    "MOST_DEPTH",
    "MOST_PATH",
    "PathStat",
    "clean",
    "go_file_mode",
    "open_child",
    "open_inside",
    "refusal",
    "remove",
    "stat_path",
]

INSIDE: int = lib.RESOLVE_IN_ROOT | lib.RESOLVE_NO_MAGICLINKS
"""How a path of a container is resolved: "/" and ".." end at the root, as for a program inside."""
MOST_PATH = 4096
"""Bytes of the longest path: PATH_MAX."""
MOST_DEPTH = 256
"""Levels of folders that are walked. Each takes a descriptor, and a hostile tree must not take them all."""

_ONE_NAME: int = lib.RESOLVE_BENEATH | lib.RESOLVE_NO_MAGICLINKS | lib.RESOLVE_NO_SYMLINKS
_MOST_LINKS = 40  # the kernel's own bound

_GO_DIR, _GO_SYMLINK, _GO_DEVICE, _GO_FIFO, _GO_SOCKET = 1 << 31, 1 << 27, 1 << 26, 1 << 25, 1 << 24
_GO_SETUID, _GO_SETGID, _GO_CHARACTERS, _GO_STICKY, _GO_IRREGULAR = 1 << 23, 1 << 22, 1 << 21, 1 << 20, 1 << 19
_GO_KINDS = {
    stat.S_IFREG: 0,
    stat.S_IFDIR: _GO_DIR,
    stat.S_IFLNK: _GO_SYMLINK,
    stat.S_IFBLK: _GO_DEVICE,
    stat.S_IFCHR: _GO_DEVICE | _GO_CHARACTERS,
    stat.S_IFIFO: _GO_FIFO,
    stat.S_IFSOCK: _GO_SOCKET,
}


@dataclass(frozen=True, slots=True)
class PathStat:
    """What Docker's header X-Docker-Container-Path-Stat says of a path: `mode` in Go's bits, `mtime` in nanoseconds
    since 1970, `link_target` the path that a link ends at ("" for all else)."""

    name: str
    size: int
    mode: int
    mtime: int
    link_target: str

    @property
    def is_folder(self) -> bool:
        return bool(self.mode & _GO_DIR)

    @property
    def is_link(self) -> bool:
        return bool(self.mode & _GO_SYMLINK)

    @property
    def is_device(self) -> bool:
        return bool(self.mode & _GO_DEVICE)


def go_file_mode(mode: int) -> int:
    """A `st_mode` in the bits of Go's os.FileMode, which Docker's API speaks."""
    bits = _GO_KINDS.get(stat.S_IFMT(mode), _GO_IRREGULAR) | (mode & 0o777)
    for ours, theirs in ((stat.S_ISUID, _GO_SETUID), (stat.S_ISGID, _GO_SETGID), (stat.S_ISVTX, _GO_STICKY)):
        if mode & ours:
            bits |= theirs
    return bits


def clean(path: str) -> str:
    """The path from the root without "." and "..", which here mean what the text says, as for Docker; "/" or "/." at
    its end stays, for it says that a link is to be followed to a folder. Raises InvalidOption."""
    if not path:
        raise InvalidOption("a path in the container is needed, and this is empty")
    if "\0" in path:
        raise InvalidOption("a path in the container cannot contain a NUL")
    whole = posixpath.normpath("/" + path.lstrip("/"))
    if path.rstrip("/").rpartition("/")[2] == "." and path != "/":
        return f"{whole.rstrip('/')}/."
    return whole if whole == "/" or not path.endswith("/") else whole + "/"


def refusal(number: int, path: str) -> KernelBoxError:
    """The error for a path of a container that could not be opened: `number` is the kernel's reason."""
    if number == errno.ENOENT:
        return NotFound(f"no such file or directory in the container: {path}")
    if number == errno.ENOTDIR:
        return InvalidOption(f"not a directory: {path}")
    if number == errno.ELOOP:
        return InvalidOption(f"too many links, or one that may not be followed: {path}")
    if number == errno.ENAMETOOLONG:
        return InvalidOption(f"too long for a path, or for a name in it: {path[:60]}...")
    return KernelError(number, "open", f"{path} of the container")


def open_inside(root: int, path: str, flags: int) -> Descriptor:
    """What the path leads to in the file system whose root is the descriptor `root`. With O_NOFOLLOW and O_PATH a link
    at its end is itself opened.

    Raises NotFound, InvalidOption (not a folder where one is needed, too many links), KernelError."""
    found = lib.kb_openat2(root, os.fsencode(path), flags, 0, INSIDE)
    if found < 0:
        raise refusal(-found, path)
    return Descriptor(found)


def open_child(folder: int, name: str, flags: int, *, same_mount: bool = False) -> int:
    """A descriptor of the one name in the folder, links not followed, or -errno: -EXDEV where `same_mount` and
    something is mounted there."""
    resolve = _ONE_NAME | (lib.RESOLVE_NO_XDEV if same_mount else 0)
    return int(lib.kb_openat2(folder, os.fsencode(name), flags | os.O_NOFOLLOW, 0, resolve))


def stat_path(root: int, path: str) -> PathStat:
    """Of what is at the path; of a link at its end itself. Raises NotFound, InvalidOption, KernelError."""
    whole = clean(path)
    with open_inside(root, whole, os.O_PATH | os.O_NOFOLLOW) as found:
        status = os.fstat(found.fileno())
    target = _followed(root, whole) if stat.S_ISLNK(status.st_mode) else ""
    name = posixpath.basename(whole.rstrip("/")) or "/"
    return PathStat(name, status.st_size, go_file_mode(status.st_mode), status.st_mtime_ns, target)


def _followed(root: int, path: str) -> str:
    """Where the links of the path end, as far as there is something. Only a text: whoever uses it asks again."""
    reached: list[str] = []
    left, links = path.split("/")[::-1], 0
    while left:
        name = left.pop()
        if name == "..":
            del reached[-1:]
        if name in ("", ".", ".."):
            continue
        target = _read_link(root, "/".join(["", *reached, name]))
        if target is None:
            reached.append(name)
            continue
        links += 1
        if links > _MOST_LINKS:
            raise refusal(errno.ELOOP, path)
        if target.startswith("/"):
            reached.clear()
        left += target.split("/")[::-1]
    return "/" + "/".join(reached)


def _read_link(root: int, path: str) -> str | None:
    found = lib.kb_openat2(root, os.fsencode(path), os.O_PATH | os.O_NOFOLLOW, 0, INSIDE)
    if found < 0:
        return None
    with Descriptor(found):
        if not stat.S_ISLNK(os.fstat(found).st_mode):
            return None
        return os.readlink("", dir_fd=found)


def remove(folder: int, name: str, *, depth: int = 0) -> None:
    """Removes the name with everything in it; links are removed, not followed. What is gone already is well.

    Raises Conflict at something mounted in it (never removes what is there), InvalidOption for a tree deeper than
    MOST_DEPTH, KernelError."""
    found = open_child(folder, name, os.O_RDONLY | os.O_DIRECTORY, same_mount=True)
    if found == -errno.EXDEV:
        raise Conflict(
            f"something is mounted on {name}, which was to be removed", hint="unmount it, or keep the folder"
        )
    with suppress(FileNotFoundError):
        if found in (-errno.ENOTDIR, -errno.ELOOP):
            os.unlink(name, dir_fd=folder)
        elif found >= 0:
            with Descriptor(found):
                _empty(found, depth)
            os.rmdir(name, dir_fd=folder)
        elif found != -errno.ENOENT:
            raise refusal(-found, name)


def _empty(folder: int, depth: int) -> None:
    if depth >= MOST_DEPTH:
        raise InvalidOption(f"folders lie in each other deeper than {MOST_DEPTH} levels and cannot be replaced")
    for name in os.listdir(folder):
        remove(folder, name, depth=depth + 1)
