"""What an image has at the place of an empty volume is copied into it when it is first used, as Docker does.

It is first copied beside the volume's folder. When all of it is there it is renamed from `copy.new` to `copy`, and
then moved in, name by name: whoever is killed before that leaves what is thrown away, and after that what the next one
who uses the volume moves in.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from kernelbox.errors import InvalidOption, KernelBoxError, KernelError, NotFound, StoreError, reason_of
from kernelbox.linux.descriptor import Descriptor
from kernelbox.store import inside, ownership, tar_in, tar_out
from kernelbox.store.ownership import IdShift
from kernelbox.store.tar_entries import Entry, Kind
from kernelbox.store.tar_rewrite import as_file, rewrite
from kernelbox.store.volume_names import DATA

__all__ = ["copy_into", "fill", "resume"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_UNFINISHED, _WHOLE, _LOCK = "copy.new", "copy", "lock"


def fill(volume: Path, root: int, target: str) -> None:
    """Copies what is at `target` beneath the image's root, a descriptor, into the volume of that folder, if that is
    empty. Owners, modes, times, the attributes that go into archives, and links come too; sockets and devices do not.
    Nothing where there is no folder there. Idempotent; several may do it at once.

    Raises StoreError where it cannot be copied: the volume is then as it was."""
    try:
        with Descriptor(os.open(volume, _FOLDER)) as opened, _locked(opened.fileno()):
            folder = opened.fileno()
            _move_in(folder)
            inside.remove(folder, _UNFINISHED)
            if not _is_empty(volume / DATA):
                return
            try:
                os.mkdir(_UNFINISHED, 0o700, dir_fd=folder)
                with Descriptor(os.open(_UNFINISHED, _FOLDER, dir_fd=folder)) as fresh:
                    found = copy_into(fresh.fileno(), root, target)
                if found:
                    os.rename(_UNFINISHED, _WHOLE, src_dir_fd=folder, dst_dir_fd=folder)
            finally:
                inside.remove(folder, _UNFINISHED)
            _move_in(folder)
    except (OSError, KernelBoxError) as error:
        raise _refused(error, target, volume.name) from error


def resume(volume: Path) -> None:
    """Finishes what somebody was killed over who had copied all of it. Raises StoreError."""
    if not os.path.lexists(volume / _WHOLE):
        return
    try:
        with Descriptor(os.open(volume, _FOLDER)) as opened, _locked(opened.fileno()):
            _move_in(opened.fileno())
    except OSError as error:
        raise StoreError(
            f"what is half copied into the volume {volume.name} cannot be moved in: {reason_of(error)}"
        ) from error


def copy_into(folder: int, root: int, target: str, ids: IdShift | None = None) -> bool:
    """Copies what is at `target` beneath `root` into the empty folder, and makes that folder like it; False where there
    is no folder at `target`. `ids`: whose the owners are to be on disk. Raises KernelBoxError, OSError."""
    owners = os.geteuid() == 0  # an ordinary user gives nothing away: all of it belongs to the container's root
    try:
        place = inside.open_inside(root, f"{inside.clean(target).rstrip('/')}/.", os.O_RDONLY | os.O_DIRECTORY)
    except (NotFound, InvalidOption):
        return False
    with place:
        packed = tar_out.pack(place.fileno(), "/", one_file_system=True)
        with contextlib.closing(packed):
            archive = as_file(rewrite(packed, _without_devices))
            tar_in.unpack(folder, "/", archive, ids=ids, copy_owner=owners)
        _make_alike(place.fileno(), os.fstat(place.fileno()), folder, ids)
    return True


def _is_empty(data: Path) -> bool:
    """One that is closed to an ordinary user has been a container's: only that can have made it so."""
    try:
        return not os.listdir(data)
    except PermissionError:
        return False


def _without_devices(entry: Entry) -> Entry | None:
    """No container could use them; and a layer has 0:0 where it hides something."""
    return None if entry.kind in (Kind.CHARACTERS, Kind.BLOCKS) else entry


def _make_alike(of: int, status: os.stat_result, folder: int, ids: IdShift | None = None) -> None:
    """Owner, attributes, mode and time of the one folder for the other; `status` is that of the one."""
    if os.geteuid() == 0:
        owner = (status.st_uid, status.st_gid)
        os.chown(folder, *(ids.outside(*owner) if ids else owner))
    ownership.set_attributes(folder, ownership.read_attributes(of, None), ids)
    os.chmod(folder, stat.S_IMODE(status.st_mode))
    os.utime(folder, ns=(status.st_mtime_ns, status.st_mtime_ns))


def _move_in(volume: int) -> None:
    """What is whole goes where containers see it; nothing where there is nothing. A name that a container has made
    there meanwhile stays the container's."""
    try:
        source = Descriptor(os.open(_WHOLE, _FOLDER, dir_fd=volume))
    except FileNotFoundError:
        return
    with source, Descriptor(os.open(DATA, _FOLDER, dir_fd=volume)) as data:
        status = os.fstat(source.fileno())  # what is taken out of it changes its time
        for name in os.listdir(source.fileno()):
            try:
                os.stat(name, dir_fd=data.fileno(), follow_symlinks=False)
            except FileNotFoundError:
                os.rename(name, name, src_dir_fd=source.fileno(), dst_dir_fd=data.fileno())
        _make_alike(source.fileno(), status, data.fileno())
    inside.remove(volume, _WHOLE)


@contextlib.contextmanager
def _locked(volume: int) -> Iterator[None]:
    """One copies at a time."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    with Descriptor(os.open(_LOCK, flags, 0o600, dir_fd=volume)) as lock:
        fcntl.flock(lock.fileno(), fcntl.LOCK_EX)
        yield


def _refused(error: Exception, target: str, name: str) -> StoreError:
    said = error.message if isinstance(error, KernelBoxError) else KernelError(getattr(error, "errno", 0) or 0, "copy")
    return StoreError(
        f"what the image has at {target} could not be copied into the volume {name}: {said}",
        hint="see that its disk has room, or leave it out: nocopy",
    )
