"""What is in a kept container's file system: read, written, compared with its image. The content is hostile: every path
is resolved beneath the container's root, which is a descriptor (`store.inside`)."""

from __future__ import annotations

import contextlib
import functools
import os
import posixpath
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, BinaryIO

from kernelbox.engine import starting
from kernelbox.engine.init_program import INIT
from kernelbox.engine.options import RunOptions
from kernelbox.engine.own_account import ACCOUNT_PATHS
from kernelbox.engine.own_files import OWN_PATHS
from kernelbox.engine.volume_mounts import fill_kept, place_kept
from kernelbox.errors import KernelBoxError, StoreError
from kernelbox.native import check, lib
from kernelbox.oci.runtime_spec import Config
from kernelbox.runtime.compile_files import clearing_plan, files_plan
from kernelbox.store import changes, inside, tar_in, tar_out
from kernelbox.store.ownership import IdShift

if TYPE_CHECKING:
    from kernelbox.engine.container import Container

_PERMISSIONS = 0o777
_KERNEL_S = ("proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue")

__all__ = ["changed", "read", "root_of", "stat", "write"]


def read(container: Container, path: str, *, whole: bool = False) -> Generator[bytes, None, None]:
    """A tar archive in pieces; the root stays open until its end. `whole`: what is mounted in the container is left
    out. The kernel's file systems are copied only where they are asked for, as those of a container that does not run
    are not there."""
    with root_of(container, mounts=not whole) as (root, ids):
        closed = frozenset() if whole else _kernels(container, root)
        yield from tar_out.pack(root, path, ids=ids, one_file_system=whole, closed=closed)


def _kernels(container: Container, root: int) -> frozenset[int]:
    """Which file systems (st_dev) tell what the kernel knows, and hold no files."""
    if not container.record.living:
        return frozenset()
    found = set()
    for mount in container.folder.config().mounts:
        if mount.type in _KERNEL_S or mount.source in ("/proc", "/sys", "/sys/fs/cgroup"):
            with (
                contextlib.suppress(KernelBoxError),  # the container has put something else in its place
                inside.open_inside(root, mount.destination, os.O_PATH) as place,
            ):
                found.add(os.fstat(place.fileno()).st_dev)
    return frozenset(found)


def write(container: Container, path: str, archive: BinaryIO, *, copy_owner: bool, keep_kinds: bool) -> None:
    with root_of(container) as (root, ids):
        unpack = functools.partial(
            tar_in.unpack,
            root,
            path,
            archive,
            ids=ids,
            copy_owner=copy_owner,
            no_overwrite_dir_non_dir=keep_kinds,
            devices=False,  # what the container may open is not for an archive to say
        )
        if ids is None or os.geteuid():
            unpack()
        else:
            _as_owner(ids, unpack)


def _as_owner(ids: IdShift, work: Callable[[], object]) -> None:
    """In a thread of its own, whose files belong to the container's root: the machine's root has no id in there, and
    the kernel refuses to make what would be nobody's (EOVERFLOW)."""
    owner = ids.outside(0, 0)

    def run() -> None:
        check(lib.kb_act_as(*owner), "act as the container's root")
        work()

    with ThreadPoolExecutor(1, "kernelbox files") as pool:
        pool.submit(run).result()


def stat(container: Container, path: str) -> inside.PathStat:
    with root_of(container) as (root, _):
        return inside.stat_path(root, path)


def changed(container: Container) -> list[changes.Change]:
    """As docker diff."""
    image = container.box.images.of(container.record)
    if image.bundle or not (container.folder.path / "upper").exists():
        return []
    rootless = container.box.opened().rootless
    with contextlib.ExitStack() as opened:
        folder_of = container.box.opened().kernel.layers.folder_of
        lowers = [_open(os.fspath(folder_of(layer)), opened) for layer in image.layers if layer.path]
        upper = _open(str(container.folder.path / "upper"), opened)
        found = changes.changes(upper, lowers, userxattr=rootless)
        keeps_id = container.record.options.get("userns") == "keep-id"
        accounts = ACCOUNT_PATHS if keeps_id else ()
        possible = (*OWN_PATHS, *accounts, INIT.destination, f"/usr{INIT.destination}")
        return _without({path for path in possible if _is_empty_file(upper, path)}, found)


def _without(places: set[str], found: list[changes.Change]) -> list[changes.Change]:
    """The engine mounts the container's own files over places that it makes where the image has none: those, and the
    folders above them in which nothing else is listed, are no changes of the container's."""
    kept = [each for each in found if each.path not in places]
    for place in places:
        folder = posixpath.dirname(place)
        while folder != "/" and not any(each.path.startswith(f"{folder}/") for each in kept):
            kept = [each for each in kept if each.path != folder]
            folder = posixpath.dirname(folder)
    return kept


def _is_empty_file(root: int, path: str) -> bool:
    try:
        found = inside.stat_path(root, path)
    except KernelBoxError:
        return False
    return found.size == 0 and not found.mode & ~_PERMISSIONS


def _open(path: str, opened: contextlib.ExitStack) -> int:
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    opened.callback(os.close, fd)
    return fd


@contextlib.contextmanager
def root_of(container: Container, *, mounts: bool = True) -> Iterator[tuple[int, IdShift | None]]:
    """A descriptor of its root and whose ids the owners in it are: of one that runs in its own mount namespace, of one
    that does not a mount made for this, during which nobody starts it. Its volumes are there, and what it binds of the
    machine; without `mounts` only of one that runs.

    Raises StoreError, InvalidOption where something that it binds is not there any more."""
    container.reload()
    if container.record.living:
        root = container.folder.open_root(container.name)
        try:
            yield root, _shift(container, container.folder.config())
        finally:
            os.close(root)
        return
    with container.folder.locked():
        root, config = _mounted_root(container, mounts)
        try:
            yield root, _shift(container, config)
        finally:
            os.close(root)


def _mounted_root(container: Container, mounts: bool) -> tuple[int, Config]:
    box, record = container.box, container.record
    with contextlib.ExitStack() as undo:
        options = starting.options_of(record)
        if mounts:
            fill_kept(box, record)  # as a start would, which finds nothing to do then
        prepared, _, descriptors = starting.prepared(box, record, options, undo)
        places = _places(container, options) if mounts else frozenset()
        plan = files_plan(prepared.config, prepared.target, places)
        given = dict(zip(prepared.encoded.names, descriptors, strict=True))
        try:
            root = container.monitor.reveal(plan, given)
        except StoreError:
            container.monitor.carry_out(clearing_plan())
            raise
        return root, prepared.config


def _places(container: Container, options: RunOptions) -> frozenset[str]:
    """Where it has volumes and what it binds of the machine."""
    image = container.box.images.of(container.record)
    if image.bundle:
        return frozenset(mount.destination for mount in image.bundle.mounts)
    placed, _ = place_kept(container.box, container.record, options)
    return frozenset(mount.destination for mount in (*image.mounts, *placed.volumes, *placed.mounts))


def _shift(container: Container, config: Config) -> IdShift | None:
    """An ordinary user can make files of nobody else; those that he makes are his in the container too, or its
    root's."""
    return None if container.box.opened().rootless else shift_of(config)


def shift_of(config: Config) -> IdShift | None:
    """The ids of the container as the machine has them."""
    linux = config.linux
    if linux is None or not linux.uid_mappings:
        return None
    users, groups = linux.uid_mappings[0], linux.gid_mappings[0]
    return IdShift(users.host_id, users.size, groups.host_id)
