"""Images by name: `host`, `dir:PATH`, `bundle:PATH`, and those of the store. `box.images`, as docker-py's
`client.images`."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypedDict

from kernelbox.engine import host_image
from kernelbox.engine.image import Image, ImageLayer
from kernelbox.errors import ImageNotFound, InvalidOption
from kernelbox.oci.image_config import ImageConfig
from kernelbox.oci.platform import Platform, of_machine
from kernelbox.runtime.setup import HOST_MASK

if TYPE_CHECKING:
    from kernelbox.engine.engine import Engine
    from kernelbox.engine.image_files import Source
    from kernelbox.engine.image_filters import Filters
    from kernelbox.engine.image_inspect import HistoryList
    from kernelbox.engine.image_listing import ImageList
    from kernelbox.engine.image_moves import Fetched, Sent
    from kernelbox.engine.options import RunOptions
    from kernelbox.linux.descriptor import Descriptor
    from kernelbox.registry.progress import Progress
    from kernelbox.store.container_record import ContainerRecord
    from kernelbox.store.image_rows import ImageRecord
    from kernelbox.store.image_store import ImageStore

__all__ = ["LIST_KEYS", "PRUNE_KEYS", "Images", "ImagesPruned"]

LIST_KEYS = ("before", "dangling", "label", "reference", "since", "until")
PRUNE_KEYS = ("dangling", "label", "label!", "until")

_OWN_NAMES = ("host", "dir:", "bundle:")


class ImagesPruned(TypedDict):
    """What `prune` has removed, in docker-py's words ({"Untagged": ...}, {"Deleted": ...}), and the bytes of that."""

    ImagesDeleted: Sequence[Mapping[str, str]]
    SpaceReclaimed: int


class Images:
    """Several processes may work on them at once; each sees the others' changes."""

    def __init__(self, box: Engine) -> None:
        self._box = box
        self._host: Image | None = None
        self._store: ImageStore | None = None
        self._known: dict[str, Image] = {}
        self.on_missing: Callable[[str], AbstractContextManager[Callable[[Progress], None]]] = _silently
        """What is shown while an image is fetched for a container: given its name, a block with a listener."""

    @property
    def store(self) -> ImageStore:
        if self._store is None:
            from kernelbox.engine.image_install import open_store

            self._store = open_store(self._box)
        return self._store

    def names(self) -> list[str]:
        """What can be typed as an image: names, and prefixes that a path follows."""
        return [*_OWN_NAMES, *(name for image in self._records() for name in self.familiar(image.tags))]

    def get(self, name: str, platform: Platform | None = None) -> Image:
        """The image of this name, for `platform` where that is said. Raises ImageNotFound with what there is."""
        found = self._get(name)
        if platform is not None and platform != (own := found.stored.document.platform if found.stored else _own()):
            raise ImageNotFound(
                f"the image {name} is not there for the platform {platform}",
                hint=f"it is for {own}" if found.stored else f"it is for {own}, as this machine is",
            )
        return found

    def id_of(self, name: str) -> str:
        """Of the image of the store that is called so, or whose id begins so; "" where there is none."""
        try:
            return self.store.find(name).id
        except (ImageNotFound, InvalidOption):
            return ""

    def obtain(self, name: str, options: RunOptions) -> Image:
        """For a container: the image, which is fetched from its registry as `options.pull` says ("missing": where the
        store has none by that name). Raises ImageNotFound, UntrustedImage, and as `pull`."""
        policy = options.pull or os.environ.get("KERNELBOX_PULL") or "missing"
        if policy == "always" and not _is_own(name):
            self._pull_for(name, options.platform)
        try:
            return self._to_run(name, options.platform)
        except ImageNotFound:
            if policy != "missing" or not _is_name(name):
                raise
        self._pull_for(name, options.platform)
        return self._to_run(name, options.platform)

    def _to_run(self, name: str, platform: Platform | None) -> Image:
        found = self.get(name, platform)
        if found.digest:
            from kernelbox.engine import trust

            trust.check_start(self.store, found, name)
        return found

    def pull(
        self,
        name: str,
        *,
        platform: str | Platform | None = None,
        verify: str | Path | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Image:
        """Fetches an image from its registry ("debian:12", "localhost:5000/lab/tool", "name@sha256:..."); only what is
        not here yet is moved. `on_progress` is told how far each layer is, from other threads, once at a time.
        `verify` is the file of a public key whose owner has to have signed it; the policy may ask for more.

        Raises ImageNotFound, UntrustedImage, Unauthorized, RegistryError, InvalidContent, InvalidOption, StoreError."""
        return self._of_record(self.fetch(name, platform=platform, verify=verify, on_progress=on_progress).record)

    def fetch(
        self,
        name: str,
        *,
        platform: str | Platform | None = None,
        verify: str | Path | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Fetched:
        """As `pull`: what that has found and done."""
        from kernelbox.engine import image_moves
        from kernelbox.engine.option_values import platform as platform_option
        from kernelbox.oci import reference
        from kernelbox.registry.client import Client

        self._not_own(name)
        wanted = platform_option(platform) if isinstance(platform, str) else platform
        with Client() as client:
            return image_moves.fetch(
                self._box, reference.parse(name), wanted, client, on_progress or image_moves.nobody, verify
            )

    def push(
        self, name: str, *, sign: str | Path | None = None, on_progress: Callable[[Progress], None] | None = None
    ) -> Sent:
        """Sends an image to the registry that its name says; what that has already is not moved. `sign` is the file of
        a private key that it is signed with. Raises ImageNotFound, Unauthorized, RegistryError, InvalidOption."""
        from kernelbox.engine import image_moves
        from kernelbox.oci import reference
        from kernelbox.registry.client import Client

        self._not_own(name)
        with Client() as client:
            return image_moves.send(self._box, reference.parse(name), client, on_progress or image_moves.nobody, sign)

    def _pull_for(self, name: str, platform: Platform | None) -> None:
        with self.on_missing(name) as listener:
            self.fetch(name, platform=platform, on_progress=listener)

    def of(self, record: ContainerRecord) -> Image:
        """That which a container was made from, whatever is called so by now. Raises ImageNotFound."""
        if not record.image_digest:
            return self._get(record.image)
        found = self._of_record(self.store.of_container(record.image_digest))
        return dataclasses.replace(found, name=record.image)

    def hold(self, image: Image) -> Descriptor | None:
        """Keeps one of the store for as long as the descriptor, which is the caller's, is open. Raises ImageNotFound
        where it was removed just now."""
        return self.store.hold(image.digest) if image.digest else None

    def list(self, name: str = "", *, filters: Filters | None = None) -> ImageList:
        """Those of the store, the newest first: all, those of a repository ("debian") or one ("debian:12"). `filters`
        as for `docker images`. Raises InvalidOption."""
        from kernelbox.engine.image_filters import matching
        from kernelbox.engine.image_listing import ImageList

        wanted = {**(filters or {}), **({"reference": (name,)} if name else {})}
        return ImageList(self._of_record(each) for each in matching(self._records(), wanted, LIST_KEYS, self.store))

    def tag(self, image: str, name: str) -> None:
        """One more name for an image; whoever was called so is not any more. Raises ImageNotFound, InvalidOption."""
        from kernelbox.oci import reference

        self._not_own(name)
        self.store.tag(self._record(image).id, reference.parse(name))

    def remove(self, image: str, *, force: bool = False) -> Sequence[Mapping[str, str]]:
        """Removes a name, and with the last one the image; an id removes it with its name. `force` also where a
        container that has ended has it, and by id where there are several names. What was done, in docker-py's words.

        Raises ImageNotFound, Conflict where a container has it."""
        self._not_own(image)
        self._box.opened()
        done = self.store.remove(image, force=force)
        return self._told(done.untagged, done.deleted, done.layers)

    def history(self, image: str) -> HistoryList:
        """How it was made, the latest step first. Raises ImageNotFound."""
        from kernelbox.engine import image_inspect

        record = self._record(image)
        sizes = {layer.diff_id: layer.size for layer in self.store.layers_of(record)}
        return image_inspect.history(self.store.document_of(record), sizes, self.familiar(record.tags))

    def prune(self, filters: Filters | None = None, *, all: bool = False) -> ImagesPruned:
        """Removes images that have no name and no container, or with `all` every one that no container has. `filters`
        as for `docker image prune`. Raises InvalidOption."""
        from kernelbox.engine.image_filters import prune_condition

        self._box.opened()
        wanted, every = prune_condition(filters or {}, PRUNE_KEYS)
        done = self.store.prune(wanted, all=all or every)
        return ImagesPruned(
            ImagesDeleted=self._told(done.untagged, done.deleted, done.layers), SpaceReclaimed=done.size
        )

    def load(self, source: Source, *, platform: str | Platform | None = None) -> Sequence[Image]:
        """The images of an archive of `docker save`, or of an OCI image layout (an archive or a folder): a stream, its
        bytes, or a path. Raises InvalidContent for what is no such thing, ImageNotFound where `platform` is not in it,
        StoreError."""
        from kernelbox.engine.image_files import load

        return [self._of_record(each) for each in load(self._box, source, platform)]

    def save(self, names: str | Iterable[str], output: IO[bytes] | str | Path) -> None:
        """Writes images to an archive that Docker, podman and readers of OCI image layouts take: to a stream, or to a
        file, which is there when it is whole. Raises ImageNotFound, StoreError, OSError."""
        from kernelbox.engine.image_files import save

        save(self._box, [names] if isinstance(names, str) else list(names), output)

    def import_(
        self,
        source: Source,
        name: str = "",
        *,
        changes: Sequence[str] = (),
        message: str = "",
        platform: str | Platform | None = None,
    ) -> Image:
        """An image of one layer from the tar archive of a root file system, compressed or not. `changes` are
        instructions as in a Dockerfile ('CMD ["sh"]'). Raises InvalidContent, InvalidOption, StoreError."""
        from kernelbox.engine.image_making import import_

        self._not_own(name)
        return self._of_record(import_(self._box, source, name, changes, message, platform))

    def from_dir(self, folder: str | Path, name: str = "", *, changes: Sequence[str] = (), message: str = "") -> Image:
        """An image of one layer from a folder with a root file system: as it is there, owners included. Raises
        InvalidContent for a file that no layer can have, InvalidOption, StoreError, KernelError."""
        from kernelbox.engine.image_making import from_dir

        self._not_own(name)
        return self._of_record(from_dir(self._box, folder, name, changes, message))

    def bootstrap(
        self, what: str = "debian", name: str = "", *, mirror: str = "", packages: Sequence[str] = ()
    ) -> Image:
        """An image of Debian's smallest system ("debian", or "debian:bookworm"), and of `packages` beside it, fetched
        from a `mirror` of its packages by mmdebstrap. Raises NotSupported where that is not installed, InvalidOption,
        StoreError."""
        from kernelbox.engine.image_making import bootstrap

        self._not_own(name)
        return self._of_record(bootstrap(self._box, what, name, mirror, packages))

    def familiar(self, names: Iterable[str]) -> tuple[str, ...]:
        """Names of the store as people write them."""
        from kernelbox.oci import reference

        return tuple(reference.parse(each).familiar for each in names)

    def _get(self, name: str) -> Image:
        if name == "host":
            return self._get_host()
        kind, colon, path = name.partition(":")
        if colon and kind == "dir":
            return _folder(name, path)
        if colon and kind == "bundle":
            return _bundle(name, path)
        return self._of_store(name)

    def _of_store(self, name: str) -> Image:
        try:
            record = self.store.find(name)
        except (ImageNotFound, InvalidOption) as error:
            raise _not_found(name, error) from error
        return dataclasses.replace(self._of_record(record), name=name)

    def _of_record(self, record: ImageRecord) -> Image:
        known = self._known.get(record.id)
        if known is None or known.stored is None:
            from kernelbox.engine.image_install import image_of

            known = self._known[record.id] = image_of(self._box, record)
        stored = dataclasses.replace(known.stored, record=record) if known.stored else None
        return dataclasses.replace(known, name=next(iter(self.familiar(record.tags)), record.id), stored=stored)

    def _record(self, image: str) -> ImageRecord:
        self._not_own(image)
        return self.store.find(image)

    def _records(self) -> Sequence[ImageRecord]:
        return self.store.every() if self._box.paths.state.exists() else ()

    def _told(self, names: Iterable[str], images: Iterable[str], layers: Iterable[str]) -> Sequence[Mapping[str, str]]:
        gone = [{"Deleted": each} for each in (*images, *layers)]
        return [*({"Untagged": each} for each in self.familiar(names)), *gone]

    @staticmethod
    def _not_own(name: str) -> None:
        if _is_own(name):
            raise InvalidOption(f"{name} is no image of the store", hint="it is always there, and called nothing else")

    def _get_host(self) -> Image:
        if self._host is None:
            rootless = self._box.rootless
            mask = ImageLayer(source=HOST_MASK)
            self._host = Image(
                "host",
                host_image.host_config(),
                (mask,) if rootless else (mask, ImageLayer("/")),
                mounts=host_image.binds(rootless=rootless),
                accounts=(host_image.PASSWD, host_image.GROUP),
            )
        return self._host


def _is_own(name: str) -> bool:
    return name == "host" or name.startswith(("dir:", "bundle:"))


def _is_name(name: str) -> bool:
    """Whether a registry may have an image of this name: no folder that somebody forgot to call one, nor an id."""
    from kernelbox.oci import reference

    if _is_own(name) or os.path.isdir(name):
        return False
    try:
        reference.parse(name)
    except InvalidOption:
        return False
    return True


@contextlib.contextmanager
def _silently(name: str) -> Iterator[Callable[[Progress], None]]:
    yield lambda progress: None


def _own() -> Platform:
    return of_machine(os.uname().machine)


def _not_found(name: str, error: ImageNotFound | InvalidOption) -> ImageNotFound:
    hint = f"kernelbox pull {name} fetches it; always there are host, dir:PATH (a folder), bundle:PATH (an OCI bundle)"
    if isinstance(error, InvalidOption):  # what cannot be a name at all
        hint = "there are: host, dir:PATH (a folder), bundle:PATH (an OCI bundle), and what kernelbox images lists"
    if os.path.isdir(name):
        hint = f"for the folder itself write dir:{name}"
    return ImageNotFound(f"no image is called {name!r}", hint=hint)


def _existing_folder(name: str, path: str) -> str:
    if "\0" in path:
        raise InvalidOption(f"image {name!r}: a path cannot contain a NUL")
    folder = os.path.realpath(os.path.expanduser(path or "."))
    if not os.path.isdir(folder):
        what = "is not a folder" if os.path.exists(folder) else "does not exist"
        raise ImageNotFound(f"image {name!r}: {folder} {what}")
    return folder


def _folder(name: str, path: str) -> Image:
    folder = _existing_folder(name, path)
    shell = next((s for s in ("/bin/bash", "/bin/sh") if os.path.lexists(folder + s)), "/bin/sh")
    return Image(name, ImageConfig(cmd=(shell,)), (ImageLayer(folder),))


def _bundle(name: str, path: str) -> Image:
    from kernelbox.oci import runtime_spec

    folder = Path(_existing_folder(name, path))
    try:
        document = (folder / "config.json").read_bytes()
    except OSError as error:
        raise ImageNotFound(f"image {name!r}: no OCI bundle in {folder}: {error.strerror}") from error
    config = runtime_spec.parse(document)
    root = folder / config.root.path
    if not root.is_dir():
        raise ImageNotFound(f"image {name!r}: its root file system {root} is not a folder")
    return Image(name, ImageConfig(), bundle=config, root=str(root.resolve()), bundle_path=str(folder))
