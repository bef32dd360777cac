"""Small images for tests: in a store, and behind a scripted registry."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from unit.registry.scripted import Answer, Received

from kernelbox.oci import media_types
from kernelbox.oci.descriptor import Descriptor
from kernelbox.oci.digest import Digest
from kernelbox.oci.image_document import ImageDocument
from kernelbox.oci.manifest import Index, Manifest
from kernelbox.oci.platform import Platform
from kernelbox.store.blobs import Blobs

AMD64 = Platform("linux", "amd64")
ARM64 = Platform("linux", "arm64")


@dataclass
class Image:
    """`contents` has everything but the manifest, by digest."""

    manifest: Manifest
    document: ImageDocument
    contents: dict[Digest, bytes]

    @property
    def descriptor(self) -> Descriptor:
        return self.manifest.descriptor()

    @property
    def layers(self) -> tuple[Descriptor, ...]:
        return self.manifest.layers


def image(*layers: bytes, platform: Platform = AMD64) -> Image:
    """Whose layers are these bytes; nobody unpacks them."""
    document = ImageDocument.build(platform, diff_ids=[Digest.of(b"tar of " + each) for each in layers])
    descriptors = [Descriptor(media_types.LAYER_GZIP, Digest.of(each), len(each)) for each in layers]
    contents = {Digest.of(each): each for each in (*layers, document.raw)}
    return Image(Manifest.build(document.descriptor(), descriptors), document, contents)


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that do not compress, the same every time."""
    return b"".join(hashlib.sha256(b"%d %d" % (seed, number)).digest() for number in range(size // 32 + 1))[:size]


def keep(blobs: Blobs, *images: Image, index: Index | None = None) -> None:
    for each in images:
        for content in each.contents.values():
            blobs.put(content)
        blobs.put(each.manifest.raw)
    if index:
        blobs.put(index.raw)


def index_of(*images: Image) -> Index:
    members = [dataclasses.replace(each.descriptor, platform=each.document.platform) for each in images]
    return Index.build(members)


@dataclass
class Shelf:
    """A registry that only gives: blobs by digest, manifests by digest and tag. `instead` may answer in its place."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    instead: Callable[[Received], Answer | None] = lambda received: None

    def add(self, *images: Image, tag: str = "", index: Index | None = None) -> None:
        documents: list[Manifest | Index] = [each.manifest for each in images]
        for each in images:
            self.blobs |= {str(digest): content for digest, content in each.contents.items()}
        for document in [*documents, index] if index else documents:
            self.manifests[str(document.digest)] = document.media_type, document.raw
            if tag:
                self.manifests[tag] = document.media_type, document.raw

    def put(self, index: Index, *names: str) -> None:
        for name in (str(index.digest), *names):
            self.manifests[name] = index.media_type, index.raw

    def __call__(self, received: Received) -> Answer:
        if received.path == "/v2/":
            return Answer()
        answer = self.instead(received)
        if answer is not None:
            return answer
        name = received.path.rpartition("/")[2]
        if "/manifests/" in received.path and name in self.manifests:
            kind, raw = self.manifests[name]
            return Answer(body=raw, headers={"Content-Type": kind, "Docker-Content-Digest": str(Digest.of(raw))})
        if "/blobs/" in received.path and name in self.blobs:
            begin = int(received.headers.get("range", "bytes=0-")[6:-1])
            content = self.blobs[name]
            said = {"Content-Range": f"bytes {begin}-{len(content) - 1}/{len(content)}"} if begin else {}
            return Answer(206 if begin else 200, content[begin:], said)
        return Answer(404)
