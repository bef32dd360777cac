"""A part of a container's file system as a tar stream: `docker cp` out of it and `docker export`.

The tree may change, and be changed on purpose, while it is read. Every name is opened once, links not followed, and
what the descriptor is decides what becomes of it: a FIFO or a device is never opened for reading.
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat
import tarfile
from collections.abc import Container, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from kernelbox.errors import InvalidOption, KernelBoxError, KernelError
from kernelbox.linux.descriptor import Descriptor
from kernelbox.store import inside, ownership
from kernelbox.store.ownership import IdShift

__all__ = ["pack"]

_CHUNK = 1 << 18
_END = bytes(2 * tarfile.BLOCKSIZE)
_MOST_LINKED = 1_000_000  # files with several names that are remembered: some 200 MB
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_TYPES = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
}


def pack(
    root: int,
    path: str,
    *,
    ids: IdShift | None = None,
    one_file_system: bool = False,
    closed: Container[int] = (),
    leading_slash: bool = False,
) -> Generator[bytes, None, None]:
    """The archive of what is at `path` beneath the descriptor `root`, in pieces; `root` is needed until its end.

    The first entry has the last name of the path ("." for a path that ends in "/."); a link there is not followed,
    unless the path ends in "/". Of "/" there is no entry but for what is in it, with names relative to it;
    `leading_slash` names them from "/" instead, with an entry for "/" itself, as `docker cp` expects. `ids`: whose ids
    the owners are. `one_file_system`: what is mounted in the tree comes as an empty folder or file, with the time of
    the folder that it is in; so does what is mounted of the file systems `closed` (st_dev) in any case.

    Sockets are left out, also what vanishes meanwhile; a file that shrinks is filled up with zeros. Raises NotFound,
    InvalidOption, KernelError; while the pieces are read the latter two."""
    pieces = _packed(root, inside.clean(path), _Packer(ids, one_file_system, closed), leading_slash)
    next(pieces)  # opens the path: what is wrong with it is said here, and from here on the generator closes it
    return pieces


def _packed(root: int, path: str, packer: _Packer, leading_slash: bool) -> Generator[bytes, None, None]:
    with inside.open_inside(root, path, os.O_PATH | os.O_NOFOLLOW) as top:
        yield b""
        try:
            if path != "/":
                pieces = packer.whole(top, posixpath.basename(path.rstrip("/")))
            elif leading_slash:
                pieces = packer.whole(top, "/")
            else:
                pieces = packer.content(_open_folder(top.fileno()), "")
            yield from _gathered(pieces)
        except KernelBoxError:
            raise
        except OSError as error:
            raise KernelError(error.errno or errno.EIO, "read", f"{packer.at or path} of the container") from error


def _gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Small pieces put together; then the mark that ends an archive."""
    gathered = bytearray()
    for piece in pieces:
        gathered += piece
        if len(gathered) >= _CHUNK:
            yield bytes(gathered)
            gathered.clear()
    yield bytes(gathered) + _END


def _open_folder(folder: int) -> Descriptor:
    return Descriptor(os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder))


@dataclass(frozen=True, slots=True)
class _Level:
    """A folder that is being read: `prefix` begins the names of what is in it."""

    folder: Descriptor
    prefix: str
    names: Iterator[str]


class _Packer:
    """Writes one archive; `at` is the name that it is at, for errors."""

    def __init__(self, ids: IdShift | None, one_file_system: bool, closed: Container[int]) -> None:
        self._closed = closed
        self._ids = ids
        self._one_file_system = one_file_system
        self._linked: dict[tuple[int, int], str] = {}
        self._levels: list[_Level] = []
        self.at = ""

    def whole(self, top: Descriptor, name: str) -> Iterator[bytes]:
        """The entry of `top`, an O_PATH descriptor, and where it is a folder all that is in it."""
        yield from self._entry(top, name)
        yield from self._walk()

    def content(self, folder: Descriptor, prefix: str) -> Iterator[bytes]:
        """All that is in the folder, which is closed."""
        self._enter(folder, prefix)
        yield from self._walk()

    def _walk(self) -> Iterator[bytes]:
        try:
            while self._levels:
                level = self._levels[-1]
                name = next(level.names, None)
                if name is None:
                    self._levels.pop().folder.close()
                else:
                    yield from self._child(level, name)
        finally:
            for level in self._levels:
                level.folder.close()
            self._levels.clear()

    def _enter(self, folder: Descriptor, prefix: str) -> None:
        try:
            if len(self._levels) >= inside.MOST_DEPTH:
                raise InvalidOption(f"folders lie in each other deeper than {inside.MOST_DEPTH} levels")
            names = sorted(os.listdir(folder.fileno()), key=os.fsencode)
        except BaseException:
            folder.close()
            raise
        self._levels.append(_Level(folder, prefix, iter(names)))

    def _child(self, level: _Level, name: str) -> Iterator[bytes]:
        self.at = level.prefix + name
        found = inside.open_child(level.folder.fileno(), name, os.O_PATH, same_mount=self._one_file_system)
        mounted = found == -errno.EXDEV
        if mounted:
            found = inside.open_child(level.folder.fileno(), name, os.O_PATH)
        if found == -errno.ENOENT:
            return
        if found < 0:
            raise inside.refusal(-found, self.at)
        with Descriptor(found) as child:
            if not mounted and (device := os.fstat(child.fileno()).st_dev) in self._closed:
                mounted = device != os.fstat(level.folder.fileno()).st_dev
            yield from self._entry(child, self.at, above=level.folder if mounted else None)

    def _entry(self, thing: Descriptor, name: str, above: Descriptor | None = None) -> Iterator[bytes]:
        """Of an O_PATH descriptor; a folder becomes the next one to be read. `above` is the folder of a place where
        something is mounted that is left out."""
        if len(os.fsencode(name)) > inside.MOST_PATH:
            raise inside.refusal(errno.ENAMETOOLONG, name)
        status = os.fstat(thing.fileno())
        kind = stat.S_IFMT(status.st_mode)
        if kind not in _TYPES:  # a socket
            return
        info = self._describe(name, status)
        if above is not None and kind in (stat.S_IFDIR, stat.S_IFREG):
            # Its times and attributes are not the container's; and to ask sysfs for the latter changes the former.
            _set_time(info, os.fstat(above.fileno()).st_mtime_ns)
            yield _header(info)
        elif kind == stat.S_IFDIR:
            folder = _open_folder(thing.fileno())
            self._enter(folder, name if name == "/" else f"{name}/")
            yield _header(info, ownership.read_attributes(folder.fileno(), self._ids))
        elif first := self._other_name(status, name):
            info.type, info.linkname = tarfile.LNKTYPE, first
            yield _header(info)
        elif kind == stat.S_IFREG:
            yield from self._file(thing, info, status.st_size)
        else:
            info.linkname = os.readlink("", dir_fd=thing.fileno()) if kind == stat.S_IFLNK else ""
            yield _header(info)

    def _describe(self, name: str, status: os.stat_result) -> tarfile.TarInfo:
        info = tarfile.TarInfo(name)
        info.type = _TYPES[stat.S_IFMT(status.st_mode)]
        info.mode = stat.S_IMODE(status.st_mode)
        owner = (status.st_uid, status.st_gid)
        info.uid, info.gid = self._ids.inside(*owner) if self._ids else owner
        info.devmajor, info.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
        _set_time(info, status.st_mtime_ns)
        return info

    def _other_name(self, status: os.stat_result, name: str) -> str | None:
        """The name under which the same file is in the archive already."""
        if status.st_nlink < 2:
            return None
        key = (status.st_dev, status.st_ino)
        if key not in self._linked and len(self._linked) < _MOST_LINKED:
            self._linked[key] = name
            return None
        return self._linked.get(key)

    def _file(self, thing: Descriptor, info: tarfile.TarInfo, size: int) -> Iterator[bytes]:
        # The very file that was looked at, and found to be a regular one: this link is our own descriptor's.
        with Descriptor(os.open(f"/proc/self/fd/{thing.fileno()}", _READ)) as file:
            info.size = left = size
            yield _header(info, ownership.read_attributes(file.fileno(), self._ids))
            while left:
                piece = os.read(file.fileno(), min(left, _CHUNK)) or bytes(min(left, _CHUNK))
                left -= len(piece)
                yield piece
        yield bytes(-size % tarfile.BLOCKSIZE)


def _set_time(info: tarfile.TarInfo, mtime_ns: int) -> None:
    seconds, fraction = divmod(mtime_ns, 10**9)
    info.mtime = seconds
    if fraction:
        whole, part = divmod(abs(mtime_ns), 10**9)
        info.pax_headers = {"mtime": f"{'-' * (seconds < 0)}{whole}.{part:09}"}
    else:
        info.pax_headers = {}


def _header(info: tarfile.TarInfo, attributes: Mapping[str, bytes] = MappingProxyType({})) -> bytes:
    if attributes:
        texts = {f"SCHILY.xattr.{name}": value.decode("utf-8", "surrogateescape") for name, value in attributes.items()}
        info.pax_headers = {**info.pax_headers, **texts}
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
