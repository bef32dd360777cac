"""What a signature of an image says, and signing and verifying it: cosign's "simple signing" (SIGNATURE_SPEC.md; the
payload is that of containers-signature(5), in the field `critical`).

The signature is of the bytes of the payload, and they are read only after it was found to be good. ECDSA with P-256 and
SHA-256; its DER form stands in base64.
"""

from __future__ import annotations

import base64
import binascii

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from kernelbox.errors import InvalidContent
from kernelbox.oci import codec, content
from kernelbox.oci.digest import Digest
from kernelbox.oci.value import frozen

__all__ = ["MAX_PAYLOAD_BYTES", "Payload", "is_by", "parse", "sign", "written"]

MAX_PAYLOAD_BYTES = 64 << 10
"""Those of other programs have some hundred bytes, and what people note in `optional`."""

_KIND = "cosign container image signature"
_WHAT = "signature"
_LONGEST_SIGNATURE = 256


@frozen
class Payload:
    """`identity` is the name under which the image was signed, `digest` that of its manifest or index."""

    identity: str
    digest: Digest


def written(payload: Payload) -> bytes:
    """The bytes that are signed."""
    return content.written({
        "critical": {
            "identity": {"docker-reference": payload.identity},
            "image": {"docker-manifest-digest": str(payload.digest)},
            "type": _KIND,
        },
        "optional": None,
    })  # fmt: skip


def parse(raw: bytes) -> Payload:
    """Raises InvalidContent for everything that is not exactly such a payload: what nobody understands might matter."""
    document = content.load(raw, _WHAT, MAX_PAYLOAD_BYTES)
    _check_keys(document, {"critical"}, {"optional"}, "")
    optional = document.get("optional")
    if optional is not None and not isinstance(optional, dict):
        raise InvalidContent(f"{_WHAT}: optional: expected an object or null, got {codec.describe(optional)}")
    critical = _object(document, "critical")
    _check_keys(critical, {"identity", "image", "type"}, set(), "critical.")
    if critical["type"] != _KIND:
        raise InvalidContent(f"{_WHAT}: critical.type: {codec.describe(critical['type'])} is not {_KIND!r}")
    identity = _only_text(_object(critical, "identity"), "docker-reference", "critical.identity.")
    digest = _only_text(_object(critical, "image"), "docker-manifest-digest", "critical.image.")
    return Payload(identity, Digest.parse(digest))


def sign(key: ec.EllipticCurvePrivateKey, payload: bytes) -> str:
    """In base64, as it stands in an annotation."""
    return base64.b64encode(key.sign(payload, ec.ECDSA(hashes.SHA256()))).decode()


def is_by(key: ec.EllipticCurvePublicKey, payload: bytes, signature: str) -> bool:
    """Whether `signature`, in base64, is that of the owner of `key` on these bytes. What is none is nobody's."""
    if len(signature) > _LONGEST_SIGNATURE:
        return False
    try:
        key.verify(base64.b64decode(signature, validate=True), payload, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def _check_keys(found: dict[str, object], needed: set[str], possible: set[str], path: str) -> None:
    for key in sorted(needed - found.keys()):
        raise InvalidContent(f"{_WHAT}: {path}{key}: missing")
    for key in sorted(found.keys() - needed - possible):
        raise InvalidContent(f"{_WHAT}: {path.rstrip('.') or 'document'}: unknown key {codec.describe(key)}")


def _object(found: dict[str, object], key: str) -> dict[str, object]:
    value = found[key]
    if not isinstance(value, dict):
        raise InvalidContent(f"{_WHAT}: {key}: expected an object, got {codec.describe(value)}")
    return value


def _only_text(found: dict[str, object], key: str, path: str) -> str:
    _check_keys(found, {key}, set(), path)
    value = found[key]
    if not isinstance(value, str):
        raise InvalidContent(f"{_WHAT}: {path}{key}: expected a string, got {codec.describe(value)}")
    return value
