"""Which folder of the machine a container sees where it has a volume: settled before each launch.

The volumes of a container that is kept stand in the state file. Those of one that is not are there for as long as it
runs: it holds a lock on those that have a name, and the others are folders in its own, which goes when it ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from typing import TYPE_CHECKING

from kernelbox.engine.image import Image
from kernelbox.engine.mount_options import checked_target
from kernelbox.engine.options import RunOptions
from kernelbox.engine.volume_options import VolumeWords
from kernelbox.errors import InvalidOption, StoreError, reason_of
from kernelbox.linux.descriptor import Descriptor
from kernelbox.native import lib
from kernelbox.oci.runtime_spec import Mount
from kernelbox.oci.value import frozen
from kernelbox.store.id_ranges import COUNT
from kernelbox.store.volume_names import DATA, RUN_VOLUME

if TYPE_CHECKING:
    from kernelbox.engine.engine import Engine
    from kernelbox.store.container_record import ContainerRecord
    from kernelbox.store.id_ranges import IdRange
    from kernelbox.store.volume_rows import VolumeUse
    from kernelbox.store.volumes import VolumeStore

__all__ = ["NOTHING", "Placed", "fill_kept", "place_kept", "place_plan", "place_run", "uses_for", "volumes_in"]

_BENEATH: int = lib.RESOLVE_BENEATH | lib.RESOLVE_NO_MAGICLINKS


@frozen
class Placed:
    """What a launch is told of volumes. `folders`: for each source of a bind mount that is one, or a part of one, the
    volume's own folder, what part, and whether that is a folder. `locks` are held while it runs, `names` are of the
    volumes that they are for; `folder_made`: the run's own folder is there. `run` is the id that a container which is
    not kept must have, for they were made for it."""

    folders: Mapping[str, tuple[str, str, bool]] = field(default_factory=dict)
    locks: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    folder_made: bool = False
    run: str = ""

    @property
    def names_of_locks(self) -> tuple[str, ...]:
        """What a plan calls them."""
        return tuple(f"volume {number}" for number, _ in enumerate(self.locks))

    def unmapped(self, sources: Mapping[str, tuple[bool, bool]]) -> tuple[str, ...]:
        """A sentence for each volume with a name whose files do not show the owners that they have; `sources` are as
        `Target.sources`."""
        volumes = {folder for source, (folder, *_) in self.folders.items() if not sources[source][1]}
        return tuple(
            f"{folder} lies where ids cannot be mapped: "
            "its files belong to nobody in the container, but with userns='host'"
            for folder in sorted(volumes)
            if folder.endswith(f"/{DATA}")
        )


NOTHING = Placed()


def volumes_in(options: RunOptions, image: Image) -> tuple[Mount, ...]:
    """The mounts of volumes that the options ask for, and those that the image wants where the options say nothing.

    Raises InvalidOption for an image that wants one where none can be."""
    asked = () if image.bundle else (*options.volumes, *options.mounts)
    taken = {mount.destination for mount in (*asked, *options.tmpfs)}
    wanted = (os.path.normpath("/" + path.lstrip("/")) for path in image.config.volumes)
    extra = (Mount(checked_target(path), "volume") for path in wanted if path not in taken)
    return (*(mount for mount in asked if mount.type == "volume"), *extra)


def uses_for(container: str, mounts: Iterable[Mount], anonymous: frozenset[str]) -> list[VolumeUse]:
    """Rows for a container that is to be kept; volumes without a name get one, and some are `anonymous` already."""
    from kernelbox.store.volume_rows import VolumeUse

    uses = []
    for mount in mounts:
        words = VolumeWords.of(mount.options)
        name = mount.source or secrets.token_hex(32)
        own = not mount.source or name in anonymous
        place = (container, mount.destination, name, mount.options)
        uses.append(VolumeUse(*place, own, words.nocopy, dict(words.labels)))
    return uses


def fill_kept(box: Engine, record: ContainerRecord) -> None:
    """Makes the folders of its volumes, and copies into those that are empty what the image has there, once. Raises
    StoreError."""
    store = box.volumes.store
    uses = store.uses_of(record.id)
    for use in uses:
        store.make_folder(use.volume)
    waiting = [use for use in uses if not use.filled]
    if not waiting:
        return
    from kernelbox.engine.image_root import open_image_root
    from kernelbox.store import volume_fill

    with open_image_root(box, box.images.of(record)) as root:
        for use in waiting:
            volume_fill.fill(store.folder(use.volume), root, use.destination)
            store.set_filled(use)


def place_kept(box: Engine, record: ContainerRecord, options: RunOptions) -> tuple[RunOptions, Placed]:
    """The options with bind mounts in the place of volumes. Raises VolumeNotFound, StoreError, InvalidOption."""
    uses = box.volumes.store.uses_of(record.id)
    if not uses:
        return options, NOTHING
    placing = _Placing(box.volumes.store)
    for use in uses:
        placing.add_named(use.volume, Mount(use.destination, "volume", use.volume, use.options))
    return placing.options(options), Placed(placing.folders)


def place_run(
    box: Engine, options: RunOptions, image: Image, taken: IdRange | None, undo: contextlib.ExitStack
) -> tuple[RunOptions, Placed | None]:
    """The same for a container that is not kept, for which all is made now; `undo` lets go of it, and removes what
    there still is. None where there is none. Raises StoreError, InvalidOption."""
    wanted = volumes_in(options, image)
    if not wanted:
        return options, None
    from kernelbox.store import volume_fill

    identity = secrets.token_hex(32)
    undo.callback(box.volumes.discard_run, identity)
    placing, locks, names = _Placing(box.volumes.store), [], []
    own = [mount for mount in wanted if not mount.source]
    if own:
        monitor = box.opened().monitor
        monitor.give(monitor.take())  # a new one clears away the folders of runs that it does not know of
        locks.append(undo.enter_context(box.volumes.store.hold_run(identity)).fileno())
    with _image_root(box, image, wanted) as root:
        for mount in wanted:
            if mount.source:
                locks.append(undo.enter_context(box.volumes.hold(mount)).fileno())
                names.append(mount.source)
                if not VolumeWords.of(mount.options).nocopy:
                    volume_fill.fill(box.volumes.store.folder(mount.source), root, mount.destination)
                placing.add_named(mount.source, mount)
        for number, mount in enumerate(own):
            placing.add(_own_folder(box, f"{identity}/{RUN_VOLUME}{number}", mount, root, taken), mount)
    return placing.options(options), Placed(placing.folders, tuple(locks), tuple(names), bool(own), identity)


def place_plan(box: Engine, options: RunOptions, image: Image) -> tuple[RunOptions, Placed]:
    """The same for a plan that is only shown, which is made anew: all its steps then speak of one container. Nothing
    is done."""
    identity, own = secrets.token_hex(32), 0
    placing = _Placing(box.volumes.store)
    for mount in volumes_in(options, image):
        folder = str(box.paths.runs / identity / f"{RUN_VOLUME}{own}")
        if mount.source:
            folder = str(box.volumes.store.data(mount.source))
        else:
            own += 1
        placing.add_unmade(folder, mount, str(box.paths.root))
    return placing.options(options), Placed(placing.folders, folder_made=own > 0, run=identity)


@contextlib.contextmanager
def _image_root(box: Engine, image: Image, mounts: Iterable[Mount]) -> Iterator[int]:
    """-1 where nothing is to be copied."""
    if all(VolumeWords.of(mount.options).nocopy for mount in mounts):
        yield -1
        return
    from kernelbox.engine.image_root import open_image_root

    with open_image_root(box, image) as root:
        yield root


def _own_folder(box: Engine, name: str, mount: Mount, root: int, taken: IdRange | None) -> str:
    """A folder that goes with the run. Where ids cannot be mapped its files have those that the container has now."""
    from kernelbox.store import volume_fill
    from kernelbox.store.ownership import IdShift

    path = box.paths.runs / name
    opened = box.opened()
    try:
        path.mkdir(mode=0o755)
        path.chmod(0o755)
        shifted = taken is not None and not opened.kernel.can_map(str(path), taken.userns)
        ids = IdShift(taken.start, COUNT) if taken and shifted else None
        with Descriptor(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as folder:
            if ids:
                os.chown(folder.fileno(), *ids.outside(0, 0))
            if not VolumeWords.of(mount.options).nocopy:
                volume_fill.copy_into(folder.fileno(), root, mount.destination, ids)
    except OSError as error:
        reason = reason_of(error)
        raise StoreError(
            f"could not make the volume on {mount.destination}: {reason}", hint="see that the store's disk has room"
        ) from error
    return str(path)


class _Placing:
    """Bind mounts, one after the other."""

    def __init__(self, store: VolumeStore) -> None:
        self._store = store
        self._mounts: list[Mount] = []
        self.folders: dict[str, tuple[str, str, bool]] = {}

    def add_named(self, name: str, mount: Mount) -> None:
        from kernelbox.store import volume_fill

        self._store.make_folder(name)
        volume_fill.resume(self._store.folder(name))
        self.add(str(self._store.data(name)), mount)

    def add(self, folder: str, mount: Mount) -> None:
        words = VolumeWords.of(mount.options)
        is_folder = not words.subpath or _is_folder(folder, words.subpath, mount)
        self._add(folder, mount, (folder, words.subpath, is_folder))

    def add_unmade(self, folder: str, mount: Mount, store: str) -> None:
        """For a plan that is only shown; `store` is on the same file system."""
        self._add(folder, mount, (store, "", True))

    def _add(self, folder: str, mount: Mount, found: tuple[str, str, bool]) -> None:
        words = VolumeWords.of(mount.options)
        source = f"{folder}/{words.subpath}" if words.subpath else folder
        options = ("rbind", "rprivate", *words.flags, *(("rro",) if "ro" in words.flags else ()))
        self._mounts.append(Mount(mount.destination, "bind", source, options))
        self.folders[source] = found

    def options(self, given: RunOptions) -> RunOptions:
        return dataclasses.replace(
            given,
            volumes=tuple(mount for mount in given.volumes if mount.type != "volume"),
            mounts=(*(mount for mount in given.mounts if mount.type != "volume"), *self._mounts),
        )


def _is_folder(folder: str, path: str, mount: Mount) -> bool:
    """Raises InvalidOption where there is nothing, or a link that leads out of the volume."""
    with Descriptor(os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as top:
        found = lib.kb_openat2(top.fileno(), os.fsencode(path), os.O_PATH, 0, _BENEATH)
    if found in (-errno.EXDEV, -errno.ELOOP):
        raise InvalidOption(f"volume-subpath: a link in {path!r} leads out of the volume {mount.source}")
    if found == -errno.EACCES and os.geteuid():
        return True  # closed to this user, but not to the monitor, which says so if not
    if found < 0:
        raise InvalidOption(
            f"volume-subpath: {path!r} of the volume {mount.source} cannot be mounted: {os.strerror(-found).lower()}",
            hint="it must be there before",
        )
    with Descriptor(found):
        return stat.S_ISDIR(os.fstat(found).st_mode)
