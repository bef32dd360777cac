"""Images for tests: a few small layers, their documents, and a store to put them in."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from unit.store.layer_archives import archive

from kernelbox.oci import media_types, reference
from kernelbox.oci.descriptor import Descriptor
from kernelbox.oci.digest import Digest
from kernelbox.oci.image_config import ImageConfig
from kernelbox.oci.image_document import ImageDocument, chain_ids
from kernelbox.oci.manifest import Manifest
from kernelbox.oci.platform import Platform
from kernelbox.store.container_record import ContainerRecord
from kernelbox.store.image_rows import ImageRecord
from kernelbox.store.image_store import ImageStore
from kernelbox.store.layer_forms import tree_form
from kernelbox.store.layer_pipe import LayerSource
from kernelbox.store.layer_work import Owners
from kernelbox.store.layers import Layer, Layers
from kernelbox.store.paths import StorePaths
from kernelbox.store.state import StateFile

PLATFORM = Platform("linux", "amd64")


def prepared(root: Path) -> StorePaths:
    """The folders of a store, without those of its monitor."""
    paths = StorePaths.of(root)
    for folder in (paths.root, paths.trash):
        folder.mkdir(exist_ok=True)
    return paths


def images_in(paths: StorePaths, state: StateFile, swept: list[str]) -> ImageStore:
    rootless = os.geteuid() != 0
    form = tree_form(rootless=rootless, owners=Owners(one=rootless))
    layers = Layers(paths.layers, paths.trash, swept.append, form)
    return ImageStore(state, paths, layers, swept.append)


class Made:
    """An image whose layers have one file each, called and filled as `contents` say."""

    def __init__(
        self, contents: Sequence[str], created: str = "2024-02-29T12:00:00Z", labels: dict[str, str] | None = None
    ) -> None:
        self.tars = [archive({text: text.encode() * 1000}) for text in contents]
        diff_ids = [Digest.of(tar) for tar in self.tars]
        self.chain = chain_ids(diff_ids)
        config = ImageConfig(cmd=("sh",), labels=labels or {})
        self.document = ImageDocument.build(PLATFORM, config, diff_ids, created=created)
        self.contents = [Descriptor(media_types.LAYER_TAR, Digest.of(tar), len(tar)) for tar in self.tars]
        self.manifest = Manifest.build(self.document.descriptor(), self.contents)
        self.id = str(self.document.digest)

    @property
    def blobs(self) -> set[Digest]:
        return {self.document.digest, self.manifest.digest, *(each.digest for each in self.contents)}

    def moved_to(self, images: ImageStore) -> None:
        """Its layers come, as they are moved."""
        for tar, content in zip(self.tars, self.contents, strict=True):
            if not images.blobs.has(content.digest):
                images.blobs.put(tar, content.digest)

    def unpacked_in(self, images: ImageStore) -> list[Layer]:
        made = []
        for number, (chain_id, content) in enumerate(zip(self.chain, self.contents, strict=True)):
            parent = self.chain[number - 1] if number else None
            diff_id = self.document.diff_ids[number]
            made.append(images.layers.ensure(chain_id, diff_id, parent, LayerSource.of(images.blobs, content)))
        return made

    def added_to(self, images: ImageStore, *names: str, action: str = "") -> ImageRecord:
        """As a pull does it."""
        with images.lease() as lease:
            lease.keep(self.blobs, self.chain)
            self.moved_to(images)
            layers = self.unpacked_in(images)
            return images.add_image(
                self.document, self.manifest, layers, [reference.parse(name) for name in names], action=action
            )

    def is_whole_in(self, images: ImageStore) -> bool:
        """Whether all of it is there and right."""
        record = images.find(self.id)
        assert images.document_of(record) == self.document
        assert images.manifest_of(record) == self.manifest
        for tar, content in zip(self.tars, self.contents, strict=True):
            assert images.blobs.read(content.digest, content.size) == tar
        layers = images.layers_of(record)
        assert [layer.chain_id for layer in layers] == list(self.chain)
        for tar, layer in zip(self.tars, layers, strict=True):
            (file,) = layer.path.iterdir()
            assert archive({file.name: file.read_bytes()}) == tar
        return True


BASE = Made(["base"])
APP = Made(["base", "app"], "2024-03-01T12:00:00Z", {"tier": "web"})
TOOL = Made(["base", "tool"], "2024-03-02T12:00:00Z")
ALONE = Made(["alone"])


def container(state: StateFile, image: Made, name: str, status: str = "exited") -> ContainerRecord:
    record = ContainerRecord(
        id=name.encode().hex().ljust(64, "0"),
        name=name,
        image="x",
        created_at=1.0,
        image_digest=image.id,
        status=status,
    )
    state.add(record)
    return record


def whole(*names: str) -> tuple[str, ...]:
    return tuple(str(reference.parse(name)) for name in names)


def kept(images: ImageStore) -> tuple[set[Digest], set[Digest]]:
    return set(images.blobs.every()), set(images.layers.every())


def of(*made: Made) -> tuple[set[Digest], set[Digest]]:
    """What these need, and nothing else."""
    return set().union(*(each.blobs for each in made)), set().union(*(set(each.chain) for each in made))
