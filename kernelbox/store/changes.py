"""What a container changed in its file system: `docker diff`, from the upper folder of its overlay.

Overlay keeps there what was written or made; what was deleted has a whiteout; a folder that replaced another is opaque
(Documentation/filesystems/overlayfs.rst). Whether something was there before, the lower layers say.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from kernelbox.errors import InvalidOption, KernelBoxError, KernelError, NotSupported
from kernelbox.linux.descriptor import Descriptor
from kernelbox.native import lib
from kernelbox.store import inside
from kernelbox.store.ownership import IdShift

__all__ = ["Change", "changes"]

_RESOLVE: int = lib.RESOLVE_BENEATH | lib.RESOLVE_NO_MAGICLINKS | lib.RESOLVE_NO_SYMLINKS

Kind = Literal["C", "A", "D"]


@dataclass(frozen=True, slots=True)
class Change:
    """One line of `docker diff`: "A" was added, "C" changed (of a folder also: something in it), "D" deleted."""

    kind: Kind
    path: str


def changes(upper: int, lowers: Sequence[int], *, userxattr: bool, ids: IdShift | None = None) -> list[Change]:
    """The changes of a container, folders before what is in them, names in the order of their bytes.

    `upper` and `lowers` (the topmost first) are descriptors of the layers' folders; `userxattr` as the overlay was
    mounted; `ids` where the owners in `upper` are the machine's ids and those in `lowers` the container's. What was
    deleted with its folder, or is not a folder any more, is not listed apart. A file that was written, or whose owner,
    mode or time was set, is "C" even where it is as before.

    Raises InvalidOption for folders in each other deeper than 256 levels, NotSupported for a folder that overlay
    renamed ("redirect_dir"), KernelError."""
    comparison = _Comparison(lowers, "user.overlay." if userxattr else "trusted.overlay.", ids)
    try:
        with Descriptor(os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=upper)) as top:
            comparison.folder(top.fileno(), "", tuple(range(len(lowers))), 0, cut=False)
    except KernelBoxError:
        raise
    except OSError as error:
        raise KernelError(error.errno or errno.EIO, "read", f"{comparison.at or '/'} of the container") from error
    return comparison.found


class _Comparison:
    def __init__(self, lowers: Sequence[int], prefix: str, ids: IdShift | None) -> None:
        self._lowers = lowers
        self._prefix = prefix
        self._ids = ids
        self.found: list[Change] = []
        self.at = ""

    def folder(self, folder: int, path: str, below: tuple[int, ...], depth: int, *, cut: bool) -> None:
        """Compares what is in a folder of the upper layer with what was there before: the folders of the layers
        `below`. `cut`: what was there does not show through any more."""
        if depth >= inside.MOST_DEPTH:
            raise InvalidOption(f"folders lie in each other deeper than {inside.MOST_DEPTH} levels")
        if self._mark(folder, "redirect"):
            raise NotSupported(f"{path} was renamed by overlay itself, and what that changed cannot be told")
        cut = cut or self._mark(folder, "opaque") == b"y"
        here = set(os.listdir(folder))
        gone = self._names_below(path, below) - here if cut else set()
        for name in sorted(here | gone, key=os.fsencode):
            self.at = f"{path}/{name}"
            if name in here:
                self._name(folder, name, below, depth, cut=cut)
            else:
                self.found.append(Change("D", self.at))

    def _name(self, folder: int, name: str, below: tuple[int, ...], depth: int, *, cut: bool) -> None:
        path = self.at
        thing = inside.open_child(folder, name, os.O_PATH)
        if thing == -errno.ENOENT:  # the container runs, and has just removed it
            return
        if thing < 0:
            raise inside.refusal(-thing, path)
        with Descriptor(thing):
            status = os.fstat(thing)
            before, merged = self._look_below(path, below)
            if self._is_whiteout(thing, status):
                if before:
                    self.found.append(Change("D", path))
                return
            place = len(self.found)
            self.found.append(Change("C" if before else "A", path))
            if stat.S_ISDIR(status.st_mode):
                with Descriptor(os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=thing)) as opened:
                    self.folder(opened.fileno(), path, merged, depth + 1, cut=cut)
                if before and len(self.found) == place + 1 and not self._differs(status, before):
                    del self.found[place]  # it is only on the way to something that is as before

    # The lower layers

    def _look_below(self, path: str, layers: tuple[int, ...]) -> tuple[os.stat_result | None, tuple[int, ...]]:
        """What the container saw at the path before it changed anything, and the layers whose folders were merged in
        it; `layers` are those that were merged in the folder above."""
        first: os.stat_result | None = None
        merged: list[int] = []
        for layer in layers:
            thing = self._open_below(layer, path)
            if thing < 0:
                continue
            with Descriptor(thing):
                status = os.fstat(thing)
                if self._is_whiteout(thing, status):
                    break
                if not stat.S_ISDIR(status.st_mode):
                    first = first or status
                    break
                first = first or status
                merged.append(layer)
                if self._mark(thing, "opaque") == b"y":
                    break
        return first, tuple(merged)

    def _open_below(self, layer: int, path: str) -> int:
        """An O_PATH descriptor; negative where there is nothing. Layers do not change: a path in them may be looked up
        again, through folders only."""
        name = os.fsencode(path[1:] or ".")
        thing = int(lib.kb_openat2(self._lowers[layer], name, os.O_PATH | os.O_NOFOLLOW, 0, _RESOLVE))
        if thing < 0 and thing not in (-errno.ENOENT, -errno.ENOTDIR, -errno.ELOOP):
            raise inside.refusal(-thing, path)
        return thing

    def _names_below(self, path: str, layers: tuple[int, ...]) -> set[str]:
        """The names that the container saw in a folder of the lower layers."""
        names: set[str] = set()
        for layer in layers:
            with Descriptor(self._open_below(layer, path)) as thing:
                folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=thing.fileno())
            with Descriptor(folder):
                names.update(os.listdir(folder))
        return {name for name in names if self._look_below(f"{path}/{name}", layers)[0]}

    # What overlay says

    def _differs(self, after: os.stat_result, before: os.stat_result) -> bool:
        """Whether a folder's own owner or mode were changed, or it was something else before."""
        owner = (after.st_uid, after.st_gid)
        owner = self._ids.inside(*owner) if self._ids else owner
        return (after.st_mode, *owner) != (before.st_mode, before.st_uid, before.st_gid)

    def _is_whiteout(self, thing: int, status: os.stat_result) -> bool:
        if stat.S_ISCHR(status.st_mode):
            return status.st_rdev == 0
        if not stat.S_ISREG(status.st_mode) or status.st_size:
            return False
        return self._mark(thing, "whiteout") is not None

    def _mark(self, thing: int, name: str) -> bytes | None:
        """An attribute of overlay's own. By way of our own descriptor's link: an O_PATH one has no attributes."""
        try:
            return os.getxattr(f"/proc/self/fd/{thing}", self._prefix + name)
        except OSError as error:
            if error.errno in (errno.ENODATA, errno.ENOTSUP):
                return None
            raise
