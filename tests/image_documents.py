"""Documents of images as others write them, and what can be made of them by changing one thing."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import strategies as st

from kernelbox.oci.digest import Digest

LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def descriptor(content: bytes, media_type: str, **more: object) -> dict[str, Any]:
    """As a document holds it."""
    return {"mediaType": media_type, "digest": str(Digest.of(content)), "size": len(content), **more}


def image_manifest(**more: object) -> dict[str, Any]:
    """With two layers."""
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(b"config", CONFIG),
        "layers": [descriptor(b"one", LAYER), descriptor(b"two", LAYER, annotations={"a": "b"})],
        **more,
    }


def image_index(**more: object) -> dict[str, Any]:
    """For two platforms, and with an attestation of one."""
    arm = {"os": "linux", "architecture": "arm", "variant": "v7", "os.version": "6", "os.features": ["a"]}
    attested = {"vnd.docker.reference.type": "attestation-manifest"}
    unknown = {"os": "unknown", "architecture": "unknown"}
    return {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [
            descriptor(b"amd64", MANIFEST, platform={"os": "linux", "architecture": "amd64"}),
            descriptor(b"arm", MANIFEST, platform=arm),
            descriptor(b"attestation", MANIFEST, platform=unknown, annotations=attested),
        ],
        "annotations": {"org.opencontainers.image.created": "2024-02-29T12:00:00Z"},
        **more,
    }


def image_configuration(**more: object) -> dict[str, Any]:
    """Of two layers, with three steps of history and fields that nobody knows."""
    made = "2024-02-29T12:00:00.123456789Z"
    return {
        "architecture": "amd64",
        "os": "linux",
        "created": made,
        "author": "A. Nobody",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"], "Labels": {"a": "b"}, "OnBuild": ["RUN x"], "Tty": False},
        "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(b"1")), str(Digest.of(b"2"))]},
        "history": [
            {"created": made, "created_by": "ADD file:1 in /"},
            {"created": made, "created_by": 'CMD ["sh"]', "empty_layer": True},
            {"created": made, "created_by": "RUN x", "comment": "c", "author": "d"},
        ],
        "moby.buildkit.cache.v0": "e30=",
        **more,
    }


def written(document: object) -> bytes:
    """Indented, as Docker's are."""
    return json.dumps(document, indent=3).encode()


_TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from([MANIFEST, INDEX, LAYER, CONFIG, "application/vnd.oci.empty.v1+json", "linux", "unknown", "../x"]),
    st.sampled_from(
        [str(Digest.of(b"1")), str(Digest.of(b"2", "sha512")), "sha256:", "md5:00", "2024-02-30T00:00:00Z"]
    ),
)
_NUMBERS = st.sampled_from([0, -1, 1, 2, 3, (1 << 63) - 1, 1 << 63, 1 << 64, 1e300, 2.0, float("nan")])
_KEYS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["config", "layers", "manifests", "Layers", "subject", "data", "urls", "platform", "artifactType"]),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def changed(draw: st.DrawFn, document: dict[str, Any]) -> bytes:
    """`document` with some of its members, wherever they are, replaced, removed or added; or with bits flipped."""
    result = copy.deepcopy(document)
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2, 4]))):
        place = _place(draw, result)
        if isinstance(place, list):
            place.insert(draw(st.integers(0, len(place))), draw(VALUES))
        elif place and draw(st.booleans()):
            del place[draw(st.sampled_from(sorted(place)))]
        else:
            place[draw(st.sampled_from(sorted(place)) | _KEYS if place else _KEYS)] = draw(VALUES)
    raw = bytearray(json.dumps(result, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass"))
    for _ in range(draw(st.sampled_from([0, 0, 0, 0, 0, 0, 1, 2]))):
        raw[draw(st.integers(0, len(raw) - 1))] ^= 1 << draw(st.integers(0, 7))
    return bytes(raw)


def _place(draw: st.DrawFn, document: Any) -> Any:
    """An object or a list somewhere in it."""
    inner = list(document.values()) if isinstance(document, dict) else document
    deeper = [each for each in inner if isinstance(each, dict | list)]
    return _place(draw, draw(st.sampled_from(deeper))) if deeper and draw(st.booleans()) else document
