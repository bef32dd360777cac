"""Image archives: what is written is read back, what others write is understood, and what is wrong is refused."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kernelbox.errors import ImageNotFound, InvalidContent
from kernelbox.oci import media_types as types
from kernelbox.oci import reference
from kernelbox.oci.descriptor import Descriptor
from kernelbox.oci.digest import Digest
from kernelbox.oci.image_document import ImageDocument
from kernelbox.oci.manifest import Index, Manifest
from kernelbox.oci.platform import Platform
from kernelbox.store import archive_members, image_archive
from kernelbox.store.blobs import Blobs
from kernelbox.store.image_archive import Archived

OWN = Platform("linux", "amd64")
ARM = Platform("linux", "arm64")
LAYERS = (b"first layer" * 100, b"second layer" * 100)


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


def image(blobs: Blobs, platform: Platform = OWN, layers: tuple[bytes, ...] = LAYERS) -> Manifest:
    """An image of the store."""
    document = ImageDocument.build(platform, diff_ids=[Digest.of(each) for each in layers])
    parts = []
    for each in (document.raw, *layers):
        parts.append((blobs.put(each), len(each)))
    described = [Descriptor(types.LAYER_TAR, *part) for part in parts[1:]]
    made = Manifest.build(Descriptor(types.OCI_CONFIG, *parts[0]), described)
    blobs.put(made.raw)
    return made


def archive(files: Mapping[str, bytes | str]) -> io.BytesIO:
    """A tar; text is where a symbolic link leads."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    packed.seek(0)
    return packed


def read(stream: io.BytesIO, blobs: Blobs, wanted: Platform | None = None) -> list[Archived]:
    return image_archive.images_in(archive_members.of_stream(stream, blobs), wanted, OWN)


def written(blobs: Blobs, made: Manifest, *names: str) -> bytes:
    output = io.BytesIO()
    image_archive.write([(made, [reference.parse(name) for name in names])], blobs, output)
    return output.getvalue()


def docker(files: Mapping[str, bytes | str] | None = None, **changes: Any) -> io.BytesIO:
    """As Docker wrote them before it knew OCI: no manifest, and files by names of their own."""
    document = ImageDocument.build(OWN, diff_ids=[Digest.of(each) for each in LAYERS])
    entry = {"Config": "c.json", "RepoTags": ["lab:1"], "Layers": ["1/layer.tar", "2/layer.tar"], **changes}
    whole: dict[str, bytes | str] = {
        "1/layer.tar": LAYERS[0],
        "2/layer.tar": LAYERS[1],
        "c.json": document.raw,
        "manifest.json": json.dumps([entry]).encode(),
    }
    return archive({**whole, **(files or {})})


@pytest.mark.parametrize("names", [(), ("lab",), ("lab:1", "localhost:5000/a/b:2", "lab:3")])
def test_what_is_written_is_read(blobs: Blobs, tmp_path: Path, names: tuple[str, ...]) -> None:
    made, other = image(blobs), Blobs(tmp_path / "other")
    found = read(io.BytesIO(written(blobs, made, *names)), other)
    assert [each.manifest for each in found] == [made]
    assert {str(name) for name in found[0].names} == {str(reference.parse(name)) for name in names}
    assert all(other.has(each.digest) for each in (made.config, *made.layers, made.descriptor()))


def test_equal_images_give_equal_bytes(blobs: Blobs, tmp_path: Path) -> None:
    other = Blobs(tmp_path / "other")
    assert written(blobs, image(blobs), "lab:1") == written(other, image(other), "lab:1")


def test_a_layer_of_two_images_is_there_once(blobs: Blobs) -> None:
    output = io.BytesIO()
    image_archive.write([(image(blobs), []), (image(blobs, layers=LAYERS[:1]), [])], blobs, output)
    output.seek(0)
    with tarfile.open(fileobj=output) as tar:
        names = tar.getnames()
    assert len(names) == len(set(names)) == 2 + 2 + 2 + 3  # layers, configurations, manifests, and what leads to them


@pytest.mark.parametrize("pack", [lambda content: content, gzip.compress], ids=["plain", "gzip"])
def test_an_archive_of_docker(blobs: Blobs, pack: Any) -> None:
    (found,) = read(io.BytesIO(pack(docker().getvalue())), blobs)
    assert found.names == (reference.parse("lab:1"),)
    assert [each.digest for each in found.manifest.layers] == [Digest.of(each) for each in LAYERS]
    assert [each.media_type for each in found.manifest.layers] == [types.LAYER_TAR] * 2
    assert blobs.read(found.manifest.digest, 1 << 20) == found.manifest.raw


def test_a_layer_is_a_link_to_that_of_another_image(blobs: Blobs) -> None:
    stream = docker({"2/layer.tar": "../1/layer.tar"})
    (found,) = read(stream, blobs)
    assert [each.digest for each in found.manifest.layers] == [Digest.of(LAYERS[0])] * 2


def test_compressed_layers_are_seen_to_be_so(blobs: Blobs) -> None:
    (found,) = read(docker({"2/layer.tar": gzip.compress(LAYERS[1], mtime=0)}), blobs)
    assert [each.media_type for each in found.manifest.layers] == [types.LAYER_TAR, types.LAYER_GZIP]


def test_a_folder_is_read_as_its_archive_is(blobs: Blobs, tmp_path: Path) -> None:
    made, folder = image(blobs), tmp_path / "layout"
    with tarfile.open(fileobj=io.BytesIO(written(blobs, made, "lab:1"))) as tar:
        tar.extractall(folder, filter="data")
    other = Blobs(tmp_path / "other")
    (found,) = image_archive.images_in(archive_members.of_folder(folder, other), None, OWN)
    assert found.manifest == made


def layout(blobs: Blobs, *entries: Descriptor) -> io.BytesIO:
    """An OCI image layout with the blobs of the store."""
    files: dict[str, bytes | str] = {
        f"blobs/{each.algorithm}/{each.encoded}": blobs.read(each, 1 << 20) for each in blobs.every()
    }
    index = Index.build(entries).raw
    return archive({**files, "index.json": index, "oci-layout": b'{"imageLayoutVersion": "1.0.0"}'})


def entry(made: Manifest | Index, platform: Platform | None = None, **annotations: str) -> Descriptor:
    plain = made.descriptor()
    marks = {f"org.opencontainers.image.{key.replace('_', '.')}": value for key, value in annotations.items()}
    return Descriptor(plain.media_type, plain.digest, plain.size, platform=platform, annotations=marks)


@pytest.mark.parametrize(("wanted", "expected"), [(None, OWN), (OWN, OWN), (ARM, ARM)])
def test_the_image_for_a_platform(blobs: Blobs, tmp_path: Path, wanted: Platform | None, expected: Platform) -> None:
    both = {platform: image(blobs, platform) for platform in (ARM, OWN)}
    index = Index.build([entry(made, platform) for platform, made in both.items()])
    blobs.put(index.raw)
    (found,) = read(layout(blobs, entry(index, ref_name="lab:1")), Blobs(tmp_path / "other"), wanted)
    assert found == Archived(both[expected], (reference.parse("lab:1"),))


def test_no_image_for_a_platform(blobs: Blobs, tmp_path: Path) -> None:
    stream = layout(blobs, entry(image(blobs)))
    with pytest.raises(ImageNotFound, match="linux/amd64, not for linux/arm64"):
        read(stream, Blobs(tmp_path / "other"), ARM)


def test_a_tag_alone_is_no_name(blobs: Blobs, tmp_path: Path) -> None:
    (found,) = read(layout(blobs, entry(image(blobs), ref_name="latest")), Blobs(tmp_path / "other"))
    assert found.names == ()


def test_what_is_no_image_is_passed_over(blobs: Blobs, tmp_path: Path) -> None:
    signature = Manifest.build(
        Descriptor(types.EMPTY, blobs.put(b"{}"), 2), [], artifact_type="application/x-signature"
    )
    blobs.put(signature.raw)
    assert read(layout(blobs, entry(signature)), Blobs(tmp_path / "other")) == []


def _chain(blobs: Blobs, length: int) -> Index:
    last: Manifest | Index = image(blobs)
    for _ in range(length):
        last = Index.build([entry(last)])
        blobs.put(last.raw)
    assert isinstance(last, Index)
    return last


def test_indexes_that_lead_to_indexes(blobs: Blobs, tmp_path: Path) -> None:
    assert len(read(layout(blobs, entry(_chain(blobs, 3))), Blobs(tmp_path / "a"))) == 1
    with pytest.raises(InvalidContent, match="more than 4 indexes"):
        read(layout(blobs, entry(_chain(blobs, 6))), Blobs(tmp_path / "b"))


WRONG = {
    "nothing": (archive({}), "neither index.json nor manifest.json"),
    "a root file system": (archive({"etc/passwd": b"root"}), "neither index.json nor manifest.json"),
    "an old archive": (archive({"repositories": b"{}"}), "older than 1.10"),
    "no tar": (io.BytesIO(b"<html>" * 200), "no archive of images"),
    "an empty file": (io.BytesIO(b""), "neither"),
    "half an archive": (io.BytesIO(docker().getvalue()[:700]), "ends in the middle"),
    "a layer is missing": (docker(Layers=["3/layer.tar"]), "it has no '3/layer.tar'"),
    "a layer elsewhere": (docker(Layers=["../../../../etc/passwd"]), "no member of an archive"),
    "a link elsewhere": (docker({"2/layer.tar": "../../../../../../etc/passwd"}), "it has no"),
    "a link to itself": (docker({"2/layer.tar": "layer.tar"}), "it has no"),
    "no configuration": (docker(Config="d.json"), "it has no 'd.json'"),
    "a list is none": (docker({"manifest.json": b'{"Config": 1}'}), "expected a list"),
    "words for a list": (docker(Layers="1/layer.tar"), "Layers"),
    "two documents": (docker({"manifest.json": b"[] []"}), "Extra data"),
    "a name that is none": (docker(RepoTags=["Lab:1"]), "'Lab:1' is no image name"),
    "another layout": (archive({"oci-layout": b'{"imageLayoutVersion": "2"}', "index.json": b"{}"}), "'2' is unknown"),
    "a blob that is another": (archive({f"blobs/sha256/{'a' * 64}": b"x"}), "should be sha256:aaaa"),
    "a blob with another name": (archive({"blobs/sha256/x": b"x"}), "no digest"),
    "too many files": (archive({str(number): b"" for number in range(10_001)}), "more than 10000 files"),
}


@pytest.mark.parametrize(("stream", "words"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_refused(blobs: Blobs, stream: io.BytesIO, words: str) -> None:
    stream.seek(0)
    with pytest.raises(InvalidContent) as caught:
        read(stream, blobs)
    assert words in str(caught.value)


@pytest.mark.parametrize("at", range(0, 9 * 512, 512))
def test_an_archive_that_is_cut_short(blobs: Blobs, at: int) -> None:
    whole = docker().getvalue()
    with pytest.raises(InvalidContent):
        read(io.BytesIO(whole[:at]), blobs)
