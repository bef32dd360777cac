"""`commit`: what a container has changed becomes one more layer, on those of its image, and with them a new image."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from kernelbox.engine.image import Image, Stored
from kernelbox.engine.image_changes import changed
from kernelbox.engine.image_files import now
from kernelbox.engine.image_install import install
from kernelbox.engine.observing import attributes
from kernelbox.errors import Conflict, NotSupported
from kernelbox.linux.descriptor import Descriptor
from kernelbox.linux.idmap import IdRange
from kernelbox.oci import image_config, reference
from kernelbox.oci.digest import Digest
from kernelbox.oci.image_config import ImageConfig
from kernelbox.oci.image_document import History, ImageDocument
from kernelbox.oci.manifest import Manifest
from kernelbox.oci.runtime_spec import IdMapping
from kernelbox.store import layer_tree
from kernelbox.store.blobs import Blobs
from kernelbox.store.image_rows import ImageRecord
from kernelbox.store.layer_packing import Packed, pack
from kernelbox.store.layer_work import NATURAL, Owners

if TYPE_CHECKING:
    from kernelbox.engine.container import Container

__all__ = ["commit"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def commit(
    container: Container, name: str, *, message: str, author: str, changes: Sequence[str], pause: bool
) -> ImageRecord:
    """See Container.commit."""
    box, image = container.box, container.box.images.of(container.record)
    stored = _stored(image)
    names = [reference.parse(name)] if name else []
    store = box.images.store
    with store.lease() as lease:
        base = store.manifest_of(stored.record)
        lease.keep((*(each.digest for each in base.layers), base.config.digest, base.digest))
        config = changed(_config_of(container), changes)
        with _standing_still(container, pause):
            layer = _layer_of(container, lease.blobs)
        document = _document(container, stored.document, config, layer.diff_id, message, author)
        lease.blobs.put(document.raw)
        made = Manifest.build(document.descriptor(), [*base.layers, layer.content])
        record = install(box, made, names, action="commit")
    container.state.note(container.record, "commit", {"comment": message, "imageID": record.id})
    return record


def _stored(image: Image) -> Stored:
    if image.stored is None:
        raise NotSupported(
            f"a container of {image.name} cannot be committed: its image is not in the store",
            hint="kernelbox export NAME | kernelbox import - IMAGE makes one of all its files",
        )
    return image.stored


@contextlib.contextmanager
def _standing_still(container: Container, pause: bool) -> Iterator[None]:
    """Unless that is not wanted; one that stands still already, or does not run, stays as it is."""
    container.reload()
    with contextlib.ExitStack() as undo:
        if pause and container.status == "running":
            with contextlib.suppress(Conflict):  # it has just ended
                container.pause()
                undo.callback(_go_on, container)
        yield


def _go_on(container: Container) -> None:
    with contextlib.suppress(Conflict):  # somebody has killed it, or let it go on
        container.unpause()


def _layer_of(container: Container, blobs: Blobs) -> Packed:
    upper = container.folder.path / "upper"
    rootless = container.box.opened().rootless
    if not upper.exists():  # it was never started
        return pack(blobs, _write_nothing)
    with Descriptor(os.open(upper, _FOLDER)) as folder:
        owners = _owners(container, folder)
        return pack(blobs, lambda to: layer_tree.diff(folder.fileno(), to, rootless=rootless, owners=owners))


def _write_nothing(target: int) -> None:
    """The end of an archive."""
    os.write(target, bytes(1024))


def _owners(container: Container, upper: Descriptor) -> Owners:
    """Whose the files are on the disk: those of the container's root, where the ids of its files are not mapped. One
    that was never started has no configuration yet, though files may have been put into it."""
    if container.box.opened().rootless:
        return Owners(one=True)
    if os.fstat(upper.fileno()).st_uid == 0 or (linux := container.folder.config().linux) is None:
        return NATURAL
    return Owners(_ranges(linux.uid_mappings), _ranges(linux.gid_mappings))


def _ranges(mappings: Sequence[IdMapping]) -> tuple[IdRange, ...]:
    return tuple(IdRange(each.container_id, each.host_id, each.size) for each in mappings)


def _config_of(container: Container) -> ImageConfig:
    """How it runs, as an image says it."""
    shown = cast("Mapping[str, object]", attributes(container)["Config"])
    known = {key: value for key, value in shown.items() if key in _KEYS and value is not None}
    return image_config.parse({"config": known})


_KEYS = frozenset(ImageConfig(env=("A=1",), user="1", entrypoint=("a",), cmd=("a",), working_dir="/").to_json()) | {
    "ExposedPorts",
    "Healthcheck",
    "Labels",
    "StopSignal",
    "Volumes",
}


def _document(
    container: Container, base: ImageDocument, config: ImageConfig, diff_id: Digest, message: str, author: str
) -> ImageDocument:
    moment = now()
    step = History(moment, " ".join(container.record.command or base.config.cmd), author, message)
    return ImageDocument.build(
        base.platform,
        config,
        [*base.diff_ids, diff_id],
        [*base.history, step],
        created=moment,
        author=author or base.author,
    )
