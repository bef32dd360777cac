"""What tests put into a registry: an image of two blobs, an index of it, something that is about it."""

from __future__ import annotations

from kernelbox.oci import media_types
from kernelbox.oci.descriptor import Descriptor
from kernelbox.oci.digest import Digest
from kernelbox.oci.manifest import Index, Manifest

CONFIG, LAYER, SECOND = b'{"architecture":"amd64","os":"linux"}', b"a layer " * 100, b"another layer"


def described(content: bytes, media_type: str) -> Descriptor:
    return Descriptor(media_type, Digest.of(content), len(content))


IMAGE = Manifest.build(
    described(CONFIG, media_types.OCI_CONFIG),
    [described(LAYER, media_types.LAYER_TAR)],
    annotations={"org.example.note": "größer"},
)
OTHER = Manifest.build(described(CONFIG, media_types.OCI_CONFIG), [described(SECOND, media_types.LAYER_TAR)])
INDEX = Index.build([IMAGE.descriptor(), OTHER.descriptor()])
SIGNATURE = Manifest.build(
    described(b"{}", media_types.EMPTY),
    [described(b"{}", media_types.EMPTY)],
    artifact_type="application/vnd.example.signature",
    subject=IMAGE.descriptor(),
    annotations={"signed-by": "nobody"},
)
"""About IMAGE."""
