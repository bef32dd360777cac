"""Mount options as people write them, sorted into what the kernel knows them as: see `parse_options`."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass

from kernelbox.native import lib

__all__ = ["PROPAGATION", "MountOptions", "parse_options"]

_ATIME = lib.MOUNT_ATTR__ATIME


@dataclass(frozen=True, slots=True)
class MountOptions:
    """`set` and `clear` are MOUNT_ATTR_* bits of one mount, `recursive_set` and `recursive_clear` those of a whole tree
    (mount_setattr(2)); `flags` says the same and more as MS_* bits, for mount(2). `data` goes to the file system:
    (name, value), None for a flag. `propagation` is MS_SHARED, MS_PRIVATE, MS_SLAVE, MS_UNBINDABLE or 0."""

    set: int = 0
    clear: int = 0
    recursive_set: int = 0
    recursive_clear: int = 0
    flags: int = 0
    propagation: int = 0
    recursive_propagation: bool = False
    bind: bool = False
    recursive: bool = False
    idmap: bool = False
    recursive_idmap: bool = False
    copy_up: bool = False
    data: tuple[tuple[str, str | None], ...] = ()

    @property
    def text(self) -> str:
        """`data` as one string, for mount(2)."""
        return ",".join(name if value is None else f"{name}={value}" for name, value in self.data)


@dataclass(frozen=True, slots=True)
class _Attribute:
    """Bits of MOUNT_ATTR_* to set and to clear, and of MS_*."""

    set: int
    clear: int
    flag: int = 0
    clear_flag: int = 0


def _on(name: str) -> _Attribute:
    return _Attribute(getattr(lib, f"MOUNT_ATTR_{name}"), 0, flag=getattr(lib, f"MS_{name}"))


def _off(name: str) -> _Attribute:
    return _Attribute(0, getattr(lib, f"MOUNT_ATTR_{name}"), clear_flag=getattr(lib, f"MS_{name}"))


_MS_ATIME = lib.MS_NOATIME | lib.MS_RELATIME | lib.MS_STRICTATIME


def _atime(attribute: int, flag: int) -> _Attribute:
    # The three ways to treat access times are one field: mount_setattr(2) wants all of it cleared to change it.
    return _Attribute(attribute, _ATIME, flag=flag, clear_flag=_MS_ATIME)


_NOATIME = _atime(lib.MOUNT_ATTR_NOATIME, lib.MS_NOATIME)
_RELATIME = _atime(lib.MOUNT_ATTR_RELATIME, lib.MS_RELATIME)
_STRICTATIME = _atime(lib.MOUNT_ATTR_STRICTATIME, lib.MS_STRICTATIME)

# OCI runtime-spec, config.md, "Linux mount options"; each has a twin with "r" in front for the whole tree.
_ATTRIBUTES = {
    "ro": _on("RDONLY"),
    "rw": _off("RDONLY"),
    "nosuid": _on("NOSUID"),
    "suid": _off("NOSUID"),
    "nodev": _on("NODEV"),
    "dev": _off("NODEV"),
    "noexec": _on("NOEXEC"),
    "exec": _off("NOEXEC"),
    "nosymfollow": _on("NOSYMFOLLOW"),
    "symfollow": _off("NOSYMFOLLOW"),
    "nodiratime": _on("NODIRATIME"),
    "diratime": _off("NODIRATIME"),
    "noatime": _NOATIME,
    "atime": _RELATIME,
    "relatime": _RELATIME,
    "norelatime": _STRICTATIME,
    "strictatime": _STRICTATIME,
    "nostrictatime": _RELATIME,
}

# Options of the file system's superblock: the new mount API takes them by name, mount(2) as a flag.
_SUPERBLOCK = {
    "sync": lib.MS_SYNCHRONOUS,
    "dirsync": lib.MS_DIRSYNC,
    "lazytime": lib.MS_LAZYTIME,
    "mand": lib.MS_MANDLOCK,
}
_SUPERBLOCK_OFF = {"async": "sync", "nolazytime": "lazytime", "nomand": "mand"}
_FLAGS = {"remount": lib.MS_REMOUNT, "silent": lib.MS_SILENT, "iversion": lib.MS_I_VERSION}
_NOTHING = frozenset({"defaults", "loud", "noiversion", "nofail", "_netdev"})
PROPAGATION = {
    "shared": lib.MS_SHARED,
    "private": lib.MS_PRIVATE,
    "slave": lib.MS_SLAVE,
    "unbindable": lib.MS_UNBINDABLE,
}


def parse_options(options: Iterable[str]) -> MountOptions:
    """Options such as ["ro", "nosuid", "size=64k", "rshared"]: those of fstab, mount(8) and the OCI runtime-spec.

    Later ones win over earlier ones. What no list knows goes to the file system, which refuses what it does not
    know."""
    return _read(tuple(options))


@functools.lru_cache(maxsize=256)
def _read(options: tuple[str, ...]) -> MountOptions:
    reading = _Reading()
    for option in filter(None, options):
        reading.take(option)
    return reading.result()


class _Reading:
    """The options read so far."""

    def __init__(self) -> None:
        self.one = _Attribute(0, 0)
        self.tree = _Attribute(0, 0)
        self.flags = 0
        self.named: dict[str, bool] = {}
        self.data: dict[str, str | None] = {}
        self.propagation, self.recursive_propagation = 0, False

    def take(self, option: str) -> None:
        base = option.removeprefix("r")
        if option in _ATTRIBUTES:
            self.one = _add(self.one, _ATTRIBUTES[option])
        elif option.startswith("r") and base in _ATTRIBUTES:
            self.tree = _add(self.tree, _ATTRIBUTES[base])
        elif option in PROPAGATION or (option.startswith("r") and base in PROPAGATION):
            self.recursive_propagation = option not in PROPAGATION
            self.propagation = PROPAGATION[base if self.recursive_propagation else option]
        elif option in ("bind", "rbind", "idmap", "ridmap", "tmpcopyup"):
            self.named[option] = True
        elif option in _SUPERBLOCK:
            self.flags |= _SUPERBLOCK[option]
            self.data[option] = None
        elif option in _SUPERBLOCK_OFF:
            self.flags &= ~_SUPERBLOCK[_SUPERBLOCK_OFF[option]]
            self.data.pop(_SUPERBLOCK_OFF[option], None)
        elif option in _FLAGS:
            self.flags |= _FLAGS[option]
        elif option not in _NOTHING:
            name, equals, value = option.partition("=")
            self.data.pop(name, None)
            self.data[name] = value if equals else None

    def result(self) -> MountOptions:
        bind, recursive = "bind" in self.named, "rbind" in self.named
        flags = self.flags | self.one.flag | (lib.MS_BIND if bind or recursive else 0)
        return MountOptions(
            set=self.one.set,
            clear=self.one.clear,
            recursive_set=self.tree.set,
            recursive_clear=self.tree.clear,
            flags=flags | (lib.MS_REC if recursive else 0),
            propagation=self.propagation,
            recursive_propagation=self.recursive_propagation,
            bind=bind or recursive,
            recursive=recursive,
            idmap="idmap" in self.named or "ridmap" in self.named,
            recursive_idmap="ridmap" in self.named,
            copy_up="tmpcopyup" in self.named,
            data=tuple(self.data.items()),
        )


def _add(before: _Attribute, new: _Attribute) -> _Attribute:
    return _Attribute(
        set=before.set & ~new.clear | new.set,
        # A bit that is set need not be cleared first, except in the access time field.
        clear=(before.clear & (~new.set | _ATIME)) | new.clear,
        flag=before.flag & ~new.clear_flag | new.flag,
    )
