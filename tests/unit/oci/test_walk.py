"""From a descriptor to the image for one platform, and to everything below it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from kernelbox.errors import BlobNotFound, ImageNotFound, InvalidContent
from kernelbox.oci import descriptor, media_types, walk
from kernelbox.oci.descriptor import Descriptor
from kernelbox.oci.digest import Digest
from kernelbox.oci.image_document import ImageDocument
from kernelbox.oci.manifest import Index, Manifest
from kernelbox.oci.platform import parse
from kernelbox.oci.walk import everything, image_for

AMD64, ARM64, ARM7, S390X = map(parse, ("amd64", "arm64", "linux/arm/v7", "s390x"))


class Contents(dict[Digest, bytes]):
    """What a registry would have. `asked` counts what was read."""

    asked = 0

    def read(self, wanted: Descriptor) -> bytes:
        self.asked += 1
        try:
            return self[wanted.digest]
        except KeyError:
            raise BlobNotFound(f"{wanted.digest} is not there") from None

    def image(self, platform: str, *, said: bool = True, layers: int = 1) -> Descriptor:
        """With one diff_id; `said` where its descriptor names the platform."""
        document = ImageDocument.build(parse(platform), diff_ids=[Digest.of(b"layer")])
        layer = descriptor.of(b"layer", media_types.LAYER_TAR)
        self[document.digest] = document.raw
        return self.kept(Manifest.build(document.descriptor(), [layer] * layers), platform if said else "")

    def index(self, members: Sequence[Descriptor]) -> Descriptor:
        return self.kept(Index.build(members))

    def artifact(self) -> Descriptor:
        return self.kept(Manifest.build(media_types_empty(), [], artifact_type="application/x.sig"))

    def kept(self, made: Manifest | Index, platform: str = "") -> Descriptor:
        self[made.digest] = made.raw
        return replace(made.descriptor(), platform=parse(platform) if platform else None)


def media_types_empty() -> Descriptor:
    return descriptor.of(b"{}", media_types.EMPTY)


@pytest.fixture
def contents() -> Contents:
    return Contents()


def test_an_index_leads_to_the_image(contents: Contents) -> None:
    images = [contents.image("linux/arm64"), contents.image("linux/amd64")]
    found = image_for(contents.index(images), AMD64, contents.read)
    assert found.descriptor == images[1]
    assert found.document.platform == AMD64
    assert found.manifest.digest == images[1].digest
    assert contents.asked == 3


def test_indexes_in_one_another(contents: Contents) -> None:
    inner = contents.index([contents.image("linux/s390x")])
    outer = contents.index([contents.image("linux/arm64"), contents.artifact(), inner])
    assert image_for(outer, S390X, contents.read).document.platform == S390X
    with pytest.raises(ImageNotFound, match="no image for linux/arm/v7 among these"):
        image_for(outer, ARM7, contents.read)


def test_where_no_platform_is_said_the_image_itself_says(contents: Contents) -> None:
    images = [contents.image(each, said=False) for each in ("linux/arm64", "linux/amd64")]
    index = contents.index([contents.artifact(), *images])
    assert image_for(index, AMD64, contents.read).descriptor == images[1]
    with pytest.raises(ImageNotFound, match="is for linux/arm64, not for linux/s390x"):
        image_for(index, S390X, contents.read)


def test_a_single_image_of_another_platform(contents: Contents) -> None:
    image = contents.image("linux/arm64", said=False)
    with pytest.raises(ImageNotFound, match="is for linux/arm64, not for linux/amd64"):
        image_for(image, AMD64, contents.read)
    assert image_for(image, ARM64, contents.read).descriptor == image


def test_what_is_no_image(contents: Contents) -> None:
    with pytest.raises(InvalidContent, match=r"no image but an artifact of the type application/x\.sig"):
        image_for(contents.artifact(), AMD64, contents.read)
    with pytest.raises(ImageNotFound, match="no image for linux/amd64"):
        image_for(contents.index([contents.artifact()]), AMD64, contents.read)
    with pytest.raises(InvalidContent, match="its configuration has 1 layers, its manifest 2"):
        image_for(contents.image("linux/amd64", layers=2), AMD64, contents.read)


def test_what_is_not_there_comes_through(contents: Contents) -> None:
    image = contents.image("linux/amd64")
    index = contents.index([image, contents.image("linux/amd64", layers=3)])
    del contents[image.digest]
    with pytest.raises(BlobNotFound, match=f"{image.digest} is not there"):
        image_for(index, AMD64, contents.read)


def test_content_is_checked_before_it_is_believed(contents: Contents) -> None:
    image = contents.image("linux/amd64")
    index = contents.index([image])
    config = image_for(index, AMD64, contents.read).manifest.config
    for digest, what in [
        (config.digest, "image configuration"),
        (image.digest, "manifest"),
        (index.digest, "manifest"),
    ]:
        contents[digest] = contents[digest].replace(b"amd64", b"arm64").replace(b"sha256:", b"sha256;")
        with pytest.raises(InvalidContent, match=f"{what} {digest} is damaged: it should be {digest}"):
            image_for(index, AMD64, contents.read)


def test_an_index_that_claims_to_hold_itself(contents: Contents) -> None:
    claimed = Descriptor(media_types.INDEX, Digest.of(b"a digest that nothing has"), 0)
    first = Index.build([claimed])
    claimed = replace(claimed, size=len(first.raw))
    second = Index.build([claimed])
    contents[second.digest] = contents[claimed.digest] = second.raw
    for walking in (image_for, lambda first, _, read: list(everything(first, read))):
        with pytest.raises(InvalidContent, match=f"manifest {claimed.digest} is damaged"):
            walking(second.descriptor(), AMD64, contents.read)


def nested(contents: Contents, depth: int) -> Descriptor:
    found = contents.image("linux/amd64", said=False)
    for _ in range(depth):
        found = contents.index([found])
    return found


def test_how_deep_a_walk_goes(contents: Contents) -> None:
    deepest = nested(contents, walk.MAX_DEPTH)
    assert image_for(deepest, AMD64, contents.read).document.platform == AMD64
    assert len(list(everything(deepest, contents.read))) == walk.MAX_DEPTH + 1
    deeper = nested(contents, walk.MAX_DEPTH + 1)
    with pytest.raises(InvalidContent, match="more than 4 indexes in one another"):
        image_for(deeper, AMD64, contents.read)
    with pytest.raises(InvalidContent, match="more than 4 indexes in one another"):
        list(everything(deeper, contents.read))


def test_how_far_a_walk_goes(contents: Contents, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "MAX_DOCUMENTS", 20)
    layers = [descriptor.of(b"%d" % number, media_types.LAYER_TAR) for number in range(20)]
    members = [contents.kept(Manifest.build(media_types_empty(), [each], artifact_type="a/b")) for each in layers]
    assert len(list(everything(contents.index(members[:19]), contents.read))) == 20
    for walking in (
        lambda first: list(everything(first, contents.read)),
        lambda first: image_for(first, AMD64, contents.read),
    ):
        with pytest.raises(InvalidContent, match="more than 20 manifests belong to this one image"):
            walking(contents.index(members))


def test_everything_is_met_once_and_from_above(contents: Contents) -> None:
    images = [contents.image("linux/arm64"), contents.image("linux/amd64")]
    inner = contents.index(images)
    layer = descriptor.of(b"layer", media_types.LAYER_TAR)
    outer = contents.index([images[0], inner, inner, layer])
    found = list(everything(outer, contents.read))
    assert [each.digest for each, _ in found] == [each.digest for each in (outer, images[0], inner, images[1])]
    assert all(each.digest == document.digest for each, document in found)
