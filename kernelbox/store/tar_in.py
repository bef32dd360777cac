"""A tar stream unpacked into a container's file system: `docker cp` into it.

Both sides are hostile: the archive (names and links that lead elsewhere) and the container, which may swap what is
there while we work. The folder of each entry is resolved once, beneath the container's root, to a descriptor; the entry
is made in it under a name that nobody knows, through its own descriptor where it has one, and then renamed.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass

from kernelbox.errors import InvalidOption, KernelBoxError, KernelError, NotSupported
from kernelbox.linux.descriptor import Descriptor
from kernelbox.native import lib
from kernelbox.store import inside, ownership
from kernelbox.store.ownership import IdShift
from kernelbox.store.tar_entries import Entry, Kind, Readable, TarReader

__all__ = ["Unpacked", "unpack"]

_BENEATH: int = lib.RESOLVE_BENEATH | lib.RESOLVE_NO_MAGICLINKS
_FOLDER = os.O_PATH | os.O_DIRECTORY
_NODES = {
    Kind.LINK: stat.S_IFLNK,
    Kind.FIFO: stat.S_IFIFO,
    Kind.CHARACTERS: stat.S_IFCHR,
    Kind.BLOCKS: stat.S_IFBLK,
}

Parts = tuple[str, ...]


@dataclass(slots=True)
class Unpacked:
    """What was unpacked: how many entries, how many bytes of content, and how many extended attributes were left out
    because the file system cannot hold them or the caller may not set them."""

    entries: int = 0
    size: int = 0
    attributes_left_out: int = 0


def unpack(
    root: int,
    path: str,
    stream: Readable,
    *,
    ids: IdShift | None = None,
    copy_owner: bool = False,
    no_overwrite_dir_non_dir: bool = False,
    devices: bool = True,
) -> Unpacked:
    """Unpacks the uncompressed archive into the folder `path` beneath the descriptor `root`.

    What is there is replaced, folders are merged; `no_overwrite_dir_non_dir` refuses to put a folder where something
    else is, and the reverse. All belongs to the container's root, whose ids `ids` gives; with `copy_owner` to whom the
    archive says. An ordinary user without `ids` and `copy_owner` owns what is made. `devices`: whether device nodes are
    made, where the kernel allows it. Of extended attributes "user." and the capabilities of programs are taken.

    Raises NotFound where there is no such path, InvalidOption where it is no folder or for an archive that is damaged
    or leads out of the folder, NotSupported for a device, Conflict, KernelError. What came before the fault is then
    there, and whole. The stream is read up to the end of the archive, not beyond."""
    whole = inside.clean(path)
    with inside.open_inside(root, whole, _FOLDER) as place:
        unpacker = _Unpacker(root, whole, place, ids, copy_owner, no_overwrite_dir_non_dir, devices)
        return unpacker.run(TarReader(stream))


def _parts(name: str) -> Parts:
    """The names on the way from the folder that is unpacked into. ".." means what the text says: no link can lend it
    another meaning."""
    parts: list[str] = []
    for part in name.split("/"):
        if part == "..":
            if not parts:
                raise InvalidOption(f"the archive leads out of the folder that it is unpacked into: {name[:200]}")
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    if len(parts) > inside.MOST_DEPTH:
        raise InvalidOption(f"folders lie in each other deeper than {inside.MOST_DEPTH} levels in the archive")
    return tuple(parts)


@dataclass(frozen=True, slots=True)
class _Unfinished:
    """A folder whose owner, mode and time are set when all that is in it has been unpacked: a read-only one takes no
    files, and each file changes its time."""

    parts: Parts
    folder: Descriptor
    entry: Entry


class _Unpacker:
    def __init__(
        self,
        root: int,
        path: str,
        place: Descriptor,
        ids: IdShift | None,
        copy_owner: bool,
        keep_kinds: bool,
        devices: bool,
    ) -> None:
        self._root = root
        self._path = path
        self._place = place
        self._ids = ids
        self._copy_owner = copy_owner
        self._keep_kinds = keep_kinds
        self._devices = devices
        self._unfinished: list[_Unfinished] = []
        self._done = Unpacked()

    def run(self, reader: TarReader) -> Unpacked:
        """All entries; folders that were begun are finished, whatever happens."""
        at = self._path
        try:
            try:
                for entry in reader:
                    at = entry.name
                    self._take(entry, reader)
            finally:
                self._finish_but(())
        except KernelBoxError:
            raise
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise inside.refusal(errno.ENAMETOOLONG, at) from error
            raise KernelError(error.errno or errno.EIO, "unpack", at) from error
        return self._done

    def _take(self, entry: Entry, reader: TarReader) -> None:
        parts = _parts(entry.name)
        if not parts:
            if entry.kind is not Kind.FOLDER:
                raise InvalidOption(f"the archive puts a {entry.kind} in the place of the folder it is unpacked into")
            return  # it is there, and stays as it is
        self._finish_but(parts)
        with self._folder_of(parts) as folder:
            if entry.kind is Kind.FOLDER:
                self._begin_folder(folder.fileno(), parts, entry)
            else:
                self._replace(folder.fileno(), parts[-1], entry, reader)
        self._done.entries += 1
        self._done.size += entry.size

    # Folders on the way

    def _look(self, parts: Parts) -> int:
        """A descriptor of the folder, or -errno."""
        name = os.fsencode("/".join(parts) or ".")
        found = int(lib.kb_openat2(self._place.fileno(), name, _FOLDER, 0, _BENEATH))
        if found != -errno.EXDEV:
            return found
        # Through a link that leads out of the folder that is unpacked into: it then ends elsewhere in the container.
        whole = os.fsencode(self._path) + b"/" + name
        return int(lib.kb_openat2(self._root, whole, _FOLDER, 0, inside.INSIDE))

    def _folder_of(self, parts: Parts) -> Descriptor:
        """The folder in which the last name is; those that are missing are made."""
        found = self._look(parts[:-1])
        if found == -errno.ENOENT:
            return self._make_folders(parts[:-1])
        if found < 0:
            raise inside.refusal(-found, "/".join(parts[:-1]))
        return Descriptor(found)

    def _make_folders(self, parts: Parts) -> Descriptor:
        above = Descriptor(os.open(".", _FOLDER | os.O_CLOEXEC, dir_fd=self._place.fileno()))
        for count in range(1, len(parts) + 1):
            with above:
                found = self._look(parts[:count])
                if found == -errno.ENOENT:
                    self._make_folder(above.fileno(), parts[count - 1])
                    found = self._look(parts[:count])
                if found < 0:
                    raise inside.refusal(-found, "/".join(parts[:count]))
                above = Descriptor(found)
        return above

    def _make_folder(self, folder: int, name: str) -> None:
        """One that the archive has no entry for. A link that points nowhere stays."""
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=folder)
            with self._open_folder(folder, name) as made:
                if owner := self._root_owner():
                    os.chown(made.fileno(), *owner)
                os.chmod(made.fileno(), 0o755)

    def _begin_folder(self, folder: int, parts: Parts, entry: Entry) -> None:
        name = parts[-1]
        kind = _kind(folder, name)
        if kind and kind != stat.S_IFDIR:
            if self._keep_kinds:
                raise InvalidOption(f"cannot overwrite non-directory {entry.name} with directory")
            os.unlink(name, dir_fd=folder)
            kind = 0
        if not kind:
            os.mkdir(name, 0o700, dir_fd=folder)
        self._unfinished.append(_Unfinished(parts, self._open_folder(folder, name), entry))

    @staticmethod
    def _open_folder(folder: int, name: str) -> Descriptor:
        found = inside.open_child(folder, name, os.O_RDONLY | os.O_DIRECTORY)
        if found < 0:
            raise inside.refusal(-found, name)
        return Descriptor(found)

    def _finish_but(self, parts: Parts) -> None:
        """Finishes the folders that are not above `parts`."""
        while self._unfinished:
            last = self._unfinished[-1]
            if len(last.parts) < len(parts) and parts[: len(last.parts)] == last.parts:
                return
            self._unfinished.pop()
            with last.folder:
                self._dress(last.folder.fileno(), last.entry)

    # All else

    def _replace(self, folder: int, name: str, entry: Entry, reader: TarReader) -> None:
        """Makes the entry beside the name, then moves it there."""
        kind = _kind(folder, name)
        if kind == stat.S_IFDIR and self._keep_kinds:
            raise InvalidOption(f"cannot overwrite directory {entry.name} with non-directory")
        beside = f".kernelbox-{secrets.token_hex(8)}"
        try:
            self._make(folder, beside, entry, reader)
            if kind == stat.S_IFDIR:
                inside.remove(folder, name)
            os.rename(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
        finally:
            # Also after a rename that went well: of two names of one file it leaves both.
            with suppress(FileNotFoundError):
                os.unlink(beside, dir_fd=folder)

    def _make(self, folder: int, name: str, entry: Entry, reader: TarReader) -> None:
        if entry.kind is Kind.FILE:
            self._make_file(folder, name, entry, reader)
        elif entry.kind is Kind.HARD_LINK:
            self._make_hard_link(folder, name, entry)
        else:
            self._make_node(folder, name, entry)
            found = inside.open_child(folder, name, os.O_PATH)
            if found < 0:
                raise inside.refusal(-found, entry.name)
            with Descriptor(found):
                if stat.S_IFMT(os.fstat(found).st_mode) != _NODES[entry.kind]:
                    raise KernelError(errno.EBUSY, "unpack", f"{entry.name}, which something else replaced meanwhile")
                # Of the very thing that was looked at: this link is our own descriptor's.
                self._dress(f"/proc/self/fd/{found}", entry)

    def _make_file(self, folder: int, name: str, entry: Entry, reader: TarReader) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(name, flags, 0o600, dir_fd=folder), "wb", buffering=0) as file:
            for piece in reader.content():
                left = memoryview(piece)
                while left:
                    left = left[file.write(left) :]
            self._dress(file.fileno(), entry)

    def _make_hard_link(self, folder: int, name: str, entry: Entry) -> None:
        """To a file within the folder that is unpacked into; of a link to the link itself."""
        parts = _parts(entry.link)
        missing = InvalidOption(f"{entry.name} is a hard link to what is not there: {entry.link[:200]}")
        if not parts:
            raise InvalidOption(f"{entry.name} is a hard link to the folder that is unpacked into")
        found = self._look(parts[:-1])
        if found in (-errno.ENOENT, -errno.ENOTDIR):
            raise missing
        if found < 0:
            raise inside.refusal(-found, entry.link)
        with Descriptor(found):
            try:
                os.link(parts[-1], name, src_dir_fd=found, dst_dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError as error:
                raise missing from error

    def _make_node(self, folder: int, name: str, entry: Entry) -> None:
        if entry.kind is Kind.LINK:
            return os.symlink(entry.link, name, dir_fd=folder)
        if entry.kind is Kind.FIFO:
            return os.mkfifo(name, 0o600, dir_fd=folder)
        numbers = "{}:{}".format(*entry.device)
        if not self._devices:
            raise NotSupported(f"the archive has the {entry.kind} {entry.name} ({numbers}), and devices are not taken")
        try:
            os.mknod(name, _NODES[entry.kind] | 0o600, os.makedev(*entry.device), dir_fd=folder)
        except PermissionError as error:
            raise NotSupported(
                f"the {entry.kind} {entry.name} ({numbers}) could not be made: the kernel does not permit it",
                hint="leave devices out of the archive, or do it as root of the machine",
            ) from error
        return None

    # Owner, mode, attributes, time

    def _root_owner(self) -> tuple[int, int] | None:
        """Of the container's root; None for an ordinary user, to whom all that is made belongs anyway."""
        if self._ids:
            return self._ids.outside(0, 0)
        return (0, 0) if os.geteuid() == 0 else None

    def _dress(self, thing: int | str, entry: Entry) -> None:
        """`thing`: an open descriptor, or the path in /proc of one."""
        owner = self._root_owner()
        if self._copy_owner:
            owner = (entry.user, entry.group)
            owner = self._ids.outside(*owner) if self._ids else owner
        if owner:
            os.chown(thing, *owner)
        if entry.kind is not Kind.LINK:
            if entry.kind in (Kind.FILE, Kind.FOLDER):  # after chown(2), which takes capabilities away
                refused = ownership.set_attributes(thing, entry.attributes, self._ids)
                self._done.attributes_left_out += refused
            os.chmod(thing, entry.mode)
        os.utime(thing, ns=(entry.mtime, entry.mtime))


def _kind(folder: int, name: str) -> int:
    """The kind (S_IF...) of what has this name, 0 where there is nothing."""
    try:
        return stat.S_IFMT(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return 0
