"""Whose a file is: owners and extended attributes, as a container has them and as the machine has them."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from kernelbox.errors import InvalidOption

__all__ = ["MOST_ATTRIBUTES", "NOBODY", "IdShift", "is_kept", "read_attributes", "set_attributes"]

NOBODY = 65_534
MOST_ATTRIBUTES = 1 << 20
"""Bytes of all extended attributes of one file."""

_CAPABILITY = "security.capability"
_REVISION, _REVISION_2, _REVISION_3 = 0xFF000000, 0x02000000, 0x03000000
_SIZE_2, _SIZE_3 = 20, 24  # struct vfs_cap_data and vfs_ns_cap_data


@dataclass(frozen=True, slots=True)
class IdShift:
    """The ids 0 to `count` - 1 of a container are `start` to `start + count - 1` of the machine.

    `group_start` is where its groups start, where that is not `start`: for an ordinary user whose own two ids are the
    container's root."""

    start: int
    count: int
    group_start: int | None = None

    def inside(self, user: int, group: int) -> tuple[int, int]:
        """The container's ids of the machine's; 65534 for those that it does not have."""
        return self._inside(user, self.start), self._inside(group, self._groups)

    def outside(self, user: int, group: int) -> tuple[int, int]:
        """The machine's ids of the container's. Raises InvalidOption for those that it does not have."""
        for each in (user, group):
            if not 0 <= each < self.count:
                raise InvalidOption(
                    f"the container has no id {each}, only 0 to {self.count - 1}",
                    hint="without owners, what is copied belongs to the container's root",
                )
        return self.start + user, self._groups + group

    @property
    def _groups(self) -> int:
        return self.start if self.group_start is None else self.group_start

    def _inside(self, number: int, start: int) -> int:
        return number - start if start <= number < start + self.count else NOBODY


def is_kept(name: str) -> bool:
    """Whether an extended attribute goes into archives and is taken from them. Overlay's own would make a file vanish,
    or show another; "trusted" and "system" ones are for the machine to give."""
    return name == _CAPABILITY or (name.startswith("user.") and not name.startswith("user.overlay."))


def read_attributes(fd: int, ids: IdShift | None) -> dict[str, bytes]:
    """The attributes of an open file or folder that go into an archive. Raises InvalidOption for more than
    MOST_ATTRIBUTES bytes."""
    found: dict[str, bytes] = {}
    for name in filter(is_kept, _names(fd)):
        try:
            value = os.getxattr(fd, name)
        except OSError as error:
            if error.errno != errno.ENODATA:  # taken away meanwhile
                raise
        else:
            found[name] = _capability_inside(value, ids) if name == _CAPABILITY else value
        if sum(map(len, found.values())) > MOST_ATTRIBUTES:
            raise InvalidOption(f"a file has more than {MOST_ATTRIBUTES >> 20} MiB of extended attributes")
    return found


def _names(fd: int) -> list[str]:
    try:
        return sorted(os.listxattr(fd))
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return []
        raise


def set_attributes(thing: int | str, attributes: Mapping[str, bytes], ids: IdShift | None) -> int:
    """Sets those that are kept. Returns how many the file system cannot hold, or the caller may not set (the
    capabilities of a program, as an ordinary user)."""
    refused = 0
    for name, value in attributes.items():
        if not is_kept(name):
            continue
        try:
            os.setxattr(thing, name, _capability_outside(value, ids) if name == _CAPABILITY else value)
        except OSError as error:
            if error.errno != errno.ENOTSUP and (error.errno, name) != (errno.EPERM, _CAPABILITY):
                raise
            refused += 1
    return refused


def _capability_inside(value: bytes, ids: IdShift | None) -> bytes:
    """Capabilities that hold for the container's root only become plain ones: its id means nothing elsewhere."""
    if len(value) != _SIZE_3:
        return value
    magic, root = struct.unpack_from("<I", value)[0], struct.unpack_from("<I", value, _SIZE_2)[0]
    if magic & _REVISION != _REVISION_3 or root != (ids.start if ids else 0):
        return value
    return struct.pack("<I", _REVISION_2 | magic & ~_REVISION) + value[4:_SIZE_2]


def _capability_outside(value: bytes, ids: IdShift | None) -> bytes:
    """Plain capabilities become such that hold for the container's root only, so that the file is nothing special on
    the machine."""
    if len(value) != _SIZE_2 or ids is None:
        return value
    magic = struct.unpack_from("<I", value)[0]
    if magic & _REVISION != _REVISION_2:
        return value
    return struct.pack("<I", _REVISION_3 | magic & ~_REVISION) + value[4:] + struct.pack("<I", ids.start)
