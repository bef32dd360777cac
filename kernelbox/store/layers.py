"""Layers at rest: each unpacked once, and shared by all images and containers that have it.

layers/sha256/HEX/          one layer, by its chain id; whole, right and durable: it came here by rename
    about.json              what it is
    tree, layer.erofs       its changes of files, as a folder or as the image of a file system
layers/new/sha256-HEX/      on its way here; whoever makes it holds a lock (flock) on it, and others wait for that

Each has the changes of that layer alone, as overlayfs wants them, so layers of one image may be made in any order.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from kernelbox.errors import BlobNotFound, Conflict, KernelBoxError, StoreError
from kernelbox.linux import mountinfo
from kernelbox.linux.descriptor import Descriptor
from kernelbox.native import check, lib
from kernelbox.oci.digest import ALGORITHMS, Digest
from kernelbox.oci.value import frozen
from kernelbox.store import held_files
from kernelbox.store.held_files import Waiting
from kernelbox.store.layer_content import Bounds
from kernelbox.store.layer_pipe import LayerSource, Progress, Unpack, Unpacked, unpack_from

__all__ = ["EROFS", "TREE", "Layer", "LayerForm", "Layers"]

TREE, EROFS = "tree", "erofs"
_PLACES = {TREE: "tree", EROFS: "layer.erofs"}
_ABOUT = "about.json"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@frozen
class Layer:
    """One layer. `form` is TREE, and `path` a folder that overlayfs takes, or EROFS, and `path` a file to be mounted.
    `size` is what it takes of the disk: the bytes of its files, or of that one; `entries` how many there are."""

    chain_id: Digest
    diff_id: Digest
    parent: Digest | None
    form: str
    path: Path
    size: int
    entries: int


@frozen
class LayerForm:
    """How new layers are made: `unpack` is given a new folder (TREE) or a new file, open for reading and writing
    (EROFS)."""

    name: str
    unpack: Unpack


class Layers:
    """Safe for several threads and processes. `sweep` deletes what has that name in the folder `trash`, in its own
    time; the folder is made with the first layer. Layers of both forms may lie side by side; `form` is that of new
    ones, or finds it when the first of them is made, and is given this folder for that."""

    def __init__(
        self,
        folder: Path,
        trash: Path,
        sweep: Callable[[str], object],
        form: LayerForm | Callable[[Path], LayerForm],
        bounds: Bounds | None = None,
    ) -> None:
        self._folder = folder
        self._trash = trash
        self._sweep = sweep
        self._form = form
        self._bounds = bounds or Bounds()
        self._cleaned = False

    def has(self, chain_id: Digest) -> bool:
        return self._place(chain_id).is_dir()

    def get(self, chain_id: Digest) -> Layer:
        """Raises BlobNotFound, StoreError where it has lost what makes it one."""
        place = self._place(chain_id)
        try:
            about = json.loads((place / _ABOUT).read_bytes())
            form = str(about["form"])
            parent = Digest.parse(about["parent"]) if about["parent"] else None
            diff_id, path = Digest.parse(about["diff_id"]), place / _PLACES[form]
            return Layer(chain_id, diff_id, parent, form, path, int(about["size"]), int(about["entries"]))
        except FileNotFoundError:
            if not place.is_dir():
                raise BlobNotFound(f"no such layer in the store: {chain_id}", hint="pull its image again") from None
            raise self._damaged(chain_id) from None
        except (ValueError, KeyError, TypeError) as error:
            raise self._damaged(chain_id) from error

    def size(self, chain_id: Digest) -> int:
        """As `Layer.size`; 0 of what is not here, or too damaged to say."""
        try:
            return self.get(chain_id).size
        except (BlobNotFound, StoreError):
            return 0

    def came(self, chain_id: Digest) -> float:
        """When it came here, in seconds since 1970. Raises BlobNotFound."""
        try:
            return self._place(chain_id).stat().st_ctime
        except FileNotFoundError:
            raise BlobNotFound(f"no such layer in the store: {chain_id}") from None

    def every(self) -> Iterator[Digest]:
        """The chain ids of those that are here, in no order."""
        for algorithm, digits in ALGORITHMS.items():
            with contextlib.suppress(FileNotFoundError), os.scandir(self._folder / algorithm) as entries:
                for entry in entries:
                    if len(entry.name) == digits:
                        yield Digest(algorithm, entry.name)

    def ensure(
        self,
        chain_id: Digest,
        diff_id: Digest,
        parent: Digest | None,
        source: LayerSource,
        progress: Progress | None = None,
    ) -> Layer:
        """The layer, which is made from `source` where it is not here yet; somebody who is just making it is waited
        for. It is sure to last. `progress` is told how much of `source` has been read, nothing as long as somebody is
        waited for, and may raise to end it.

        Raises InvalidContent, StoreError, KernelError; then there is nothing of it."""
        if self.has(chain_id):
            return self.get(chain_id)
        form = self._begin()
        waiting = functools.partial(progress, 0) if progress is not None else None
        new = self._folder / "new" / f"{chain_id.algorithm}-{chain_id.encoded}"
        while not self.has(chain_id):
            folder = self._hold(new, waiting)
            if folder is None:
                continue
            with folder:
                try:
                    if not self.has(chain_id):
                        unpacked = self._fill(folder, form, diff_id, source, progress)
                        path = Path(_PLACES[form.name])
                        layer = Layer(chain_id, diff_id, parent, form.name, path, unpacked.size, unpacked.entries)
                        self._finish(folder, new, layer, unpacked.left)
                        break
                    self._discard(new)
                except BaseException:
                    with contextlib.suppress(KernelBoxError):  # whoever opens the store next empties its trash
                        self._discard(new)
                    raise
        return self.get(chain_id)

    def remove(self, chain_id: Digest) -> None:
        """Idempotent; whoever asks for it sees that no container has it. Raises Conflict where something is mounted in
        the layer's own folder, StoreError."""
        for mount in self.mounts():
            if mount.startswith(f"{self._place(chain_id)}/"):
                raise Conflict(f"something is mounted in the layer {chain_id}", hint=f"umount {mount}")
        self._discard(self._place(chain_id))

    def mounts(self) -> list[str]:
        """Where something is mounted in the folder of a layer: nobody but a person does that."""
        return [mount.target for mount in mountinfo.read() if mount.target.startswith(f"{self._folder}/")]

    def take_out(self, chain_id: Digest) -> str:
        """As `remove`, without looking for mounts: it is something in the trash then, whose name is given; "" where
        there was none. Raises StoreError."""
        return self._take_out(self._place(chain_id))

    def clean(self) -> None:
        """Removes what somebody who was killed has left half made."""
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self._folder / "new"):
                path = self._folder / "new" / name
                with (
                    contextlib.suppress(FileNotFoundError, NotADirectoryError, BlockingIOError),
                    Descriptor(os.open(path, _FOLDER)) as folder,
                ):
                    fcntl.flock(folder.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if os.path.samestat(os.fstat(folder.fileno()), path.lstat()):
                        self._discard(path)

    def _place(self, chain_id: Digest) -> Path:
        return self._folder / chain_id.algorithm / chain_id.encoded

    def _begin(self) -> LayerForm:
        try:
            held_files.make_folder(self._folder / "new")
        except OSError as error:
            raise held_files.disk_error(f"write to {self._folder}", error) from error
        if not isinstance(self._form, LayerForm):
            self._form = self._form(self._folder)
        if not self._cleaned:
            self._cleaned = True
            self.clean()
        return self._form

    def _hold(self, path: Path, waiting: Waiting | None) -> Descriptor | None:
        """An empty folder that is ours; None where somebody else was there before, whose work is done or gone now."""
        try:
            path.mkdir(mode=0o700, exist_ok=True)
            folder = Descriptor(os.open(path, _FOLDER))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise held_files.disk_error(f"make {path}", error) from error
        try:
            held_files.lock(folder, fcntl.LOCK_EX, waiting)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(folder.fileno()), path.lstat()):
                    if not os.listdir(folder.fileno()):
                        return folder
                    self._discard(path)  # whoever was at it was killed
        except BaseException:
            folder.close()
            raise
        folder.close()
        return None

    def _fill(
        self, folder: Descriptor, form: LayerForm, diff_id: Digest, source: LayerSource, progress: Progress | None
    ) -> Unpacked:
        place, target = _PLACES[form.name], -1
        try:
            if form.name == TREE:
                os.mkdir(place, 0o755, dir_fd=folder.fileno())
                target = os.open(place, _FOLDER, dir_fd=folder.fileno())
                os.fchmod(target, 0o755)
            else:
                target = os.open(place, _FILE, 0o600, dir_fd=folder.fileno())
        except OSError as error:
            raise held_files.disk_error(f"make a layer in {self._folder}", error) from error
        with Descriptor(target):
            unpacked = unpack_from(
                source, diff_id, form.unpack, target, bounds=self._bounds, folder=self._folder, progress=progress
            )
            if form.name == TREE:
                return unpacked
            _sync(target, self._folder)
            return Unpacked(unpacked.entries, os.fstat(target).st_size, unpacked.left)

    def _finish(self, folder: Descriptor, new: Path, layer: Layer, left: Mapping[str, int]) -> None:
        """One sync for all files of a tree: for each of its own would take many times as long."""
        about = {
            "chain_id": str(layer.chain_id),
            "diff_id": str(layer.diff_id),
            "parent": str(layer.parent) if layer.parent else "",
            "form": layer.form,
            "size": layer.size,
            "entries": layer.entries,
            "left": dict(left),
        }
        place = self._place(layer.chain_id)
        try:
            file = os.open(_ABOUT, _FILE, 0o600, dir_fd=folder.fileno())
            with open(file, "w", encoding="utf-8") as writing:
                json.dump(about, writing)
                writing.flush()
                if layer.form != TREE:
                    os.fsync(file)
            held_files.make_folder(place.parent)
            if layer.form == TREE:
                check(lib.kb_syncfs(folder.fileno()), "write to the disk of", self._folder)
            else:
                os.fsync(folder.fileno())
            os.rename(new, place)
            held_files.sync_folder(place.parent)
        except OSError as error:
            raise held_files.disk_error(f"keep the layer {layer.chain_id}", error) from error

    def _discard(self, path: Path) -> None:
        taken = self._take_out(path)
        if taken:
            self._sweep(taken)

    def _take_out(self, path: Path) -> str:
        """Out of sight in one step; deleted later, beneath the trash and never across a mount."""
        fresh = secrets.token_hex(32)
        try:
            os.rename(path, self._trash / fresh)
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise held_files.disk_error(f"move {path} to {self._trash}", error) from error
        return fresh

    def _damaged(self, chain_id: Digest) -> StoreError:
        return StoreError(
            f"the layer {chain_id} is damaged: {self._place(chain_id) / _ABOUT} does not say what it is",
            hint="remove its images and pull them again",
        )


def _sync(file: int, folder: Path) -> None:
    try:
        os.fsync(file)
    except OSError as error:
        raise held_files.disk_error(f"write to {folder}", error) from error
