"""Signatures of images in registries: artifacts that refer to the image (image-spec v1.1, manifest.md, `subject`). The
layers are payloads, with the signature as an annotation. Those under cosign's older tag, `sha256-HEX.sig`, are read
too.

A registry may hand out anything as a signature. What is none is passed over, and at most MOST are looked at.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator, Sequence

from cryptography.hazmat.primitives.asymmetric import ec

from kernelbox.errors import BlobNotFound, ImageNotFound, InvalidContent, InvalidOption, UntrustedImage
from kernelbox.oci import descriptor as descriptors
from kernelbox.oci import manifest as manifests
from kernelbox.oci import media_types, reference
from kernelbox.oci.descriptor import Descriptor
from kernelbox.oci.manifest import Manifest
from kernelbox.oci.reference import Reference
from kernelbox.oci.value import frozen
from kernelbox.registry import signing
from kernelbox.registry.client import Client
from kernelbox.registry.signing import Payload

__all__ = ["ARTIFACT", "MOST", "PAYLOAD", "SIGNATURE", "Signed", "push_signature", "verified"]

ARTIFACT = "application/vnd.dev.cosign.artifact.sig.v1+json"
PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"
"""The annotation of a layer that has the signature in base64."""

MOST = 64
"""Signatures of one image, and artifacts that they are in."""

_NOTHING = b"{}"
_HINT = "kernelbox push --sign KEY signs an image"


def push_signature(client: Client, found: Reference, image: Descriptor, key: ec.EllipticCurvePrivateKey) -> None:
    """The repository has a signature of `image`, which is there already, by this key when this returns; one that was
    there before is enough. Raises Unauthorized, RegistryError."""
    try:
        verified(client, found, image, [key.public_key()])
    except UntrustedImage:
        pass
    else:
        return
    payload = signing.written(Payload(found.name, image.digest))
    layer = descriptors.of(payload, PAYLOAD)
    signed = Descriptor(PAYLOAD, layer.digest, layer.size, annotations={SIGNATURE: signing.sign(key, payload)})
    nothing = descriptors.of(_NOTHING, media_types.EMPTY)
    subject = Descriptor(image.media_type, image.digest, image.size)
    made = Manifest.build(nothing, [signed], subject=subject, artifact_type=ARTIFACT)
    client.push_blob(found, nothing, io.BytesIO(_NOTHING))
    client.push_blob(found, layer, io.BytesIO(payload))
    client.push_manifest(found.with_digest(made.digest), made.raw, made.media_type)


@frozen
class Signed:
    """What was signed, and with which of the keys that were asked about, counted from 0."""

    payload: Payload
    key: int


def verified(client: Client, found: Reference, image: Descriptor, keys: Sequence[ec.EllipticCurvePublicKey]) -> Signed:
    """What somebody who has one of `keys` has signed: that `image` is `found`. Raises UntrustedImage where nobody has,
    Unauthorized, RegistryError."""
    reason, looked_at = "", 0
    for layer in itertools.islice(_layers(client, found, image), MOST):
        looked_at += 1
        try:
            raw = _read(client, found, layer)
            by = [number for number, key in enumerate(keys) if signing.is_by(key, raw, layer.annotations[SIGNATURE])]
            if not by:
                continue
            payload = signing.parse(raw)
        except (InvalidContent, BlobNotFound) as error:
            reason = error.message
            continue
        reason = _mismatch(payload, found, image)
        if not reason:
            return Signed(payload, by[0])
    what = f"{found.familiar} ({image.digest})"
    if not looked_at:
        raise UntrustedImage(f"{what} is not signed", hint=_HINT)
    many = f"{looked_at} signatures" if looked_at > 1 else "the one signature"
    because = (
        reason or "it was made with a key that is not trusted" if looked_at == 1 else "no trusted key made one of them"
    )
    raise UntrustedImage(f"{many} of {what} cannot be relied on: {because}", hint="is this the key of who signs it?")


def _mismatch(payload: Payload, found: Reference, image: Descriptor) -> str:
    """Why a good signature does not say that `image` is `found`; "" where it does."""
    if payload.digest != image.digest:
        return f"a trusted key has signed another image, {payload.digest}"
    other = f"a trusted key has signed this as {payload.identity[:200]!r}"
    try:
        said = reference.parse(payload.identity)
    except InvalidOption:
        return other
    tagged = ":" in payload.identity.partition("@")[0].rpartition("/")[2]
    same = said.name == found.name and (not said.digest or said.digest == image.digest)
    return "" if same and (not tagged or not found.tag or said.tag == found.tag) else other


def _layers(client: Client, found: Reference, image: Descriptor) -> Iterator[Descriptor]:
    """The payloads that are said to be signed, each fetched manifest's when they are asked for."""
    for artifact in itertools.islice(_artifacts(client, found, image), MOST):
        try:
            raw, kind = client.manifest(artifact)
            document = manifests.parse(raw, kind)
        except (InvalidContent, ImageNotFound):
            continue
        for layer in document.layers if isinstance(document, Manifest) else ():
            if layer.media_type == PAYLOAD and SIGNATURE in layer.annotations:
                yield layer


def _artifacts(client: Client, found: Reference, image: Descriptor) -> Iterator[Reference]:
    for each in client.referrers(found, image.digest, ARTIFACT):
        yield found.with_digest(each.digest)
    yield found.with_tag(f"{image.digest.algorithm}-{image.digest.encoded}.sig"[:128])


def _read(client: Client, found: Reference, layer: Descriptor) -> bytes:
    """A payload, checked to be that of its digest."""
    if layer.size > signing.MAX_PAYLOAD_BYTES:
        raise InvalidContent(f"a signature of {layer.size} bytes, and {signing.MAX_PAYLOAD_BYTES} is the most")
    raw = bytearray()
    for chunk in client.blob(found, layer):
        raw += chunk
        if len(raw) > layer.size:
            break
    layer.check(bytes(raw), "a signature")
    return bytes(raw)
