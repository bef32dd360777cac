"""Requests to a registry in tests: a connection for each, bytes as they are given, and content that has been pushed."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import image_documents as documents

from kernelbox.oci.digest import Digest

LAYER = b"a layer of some bytes"
CONFIG = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'
EMPTY = b"{}"
ABSENT = Digest.of(b"nobody has this")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """Of the first error."""
        return str(json.loads(self.body)["errors"][0]["code"]) if self.body else ""

    @property
    def document(self) -> Any:
        return json.loads(self.body)


def ask(
    address: str,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
) -> Answer:
    """The path goes out as it stands."""
    host, _, port = address.rpartition(":")
    connection: http.client.HTTPConnection
    if tls:
        connection = http.client.HTTPSConnection(host, int(port), timeout=60, context=tls)
    else:
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
    try:
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        found = {key.title(): value for key, value in answer.getheaders()}
        return Answer(answer.status, found, answer.read())
    finally:
        connection.close()


def send(address: str, raw: bytes, *, wait: bool = True) -> bytes:
    """These bytes on a connection of their own, which is then closed; what came back, up to the end."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(raw)
        found = b""
        while wait and (piece := connection.recv(1 << 16)):
            found += piece
        return found


def push_blob(address: str, repository: str, content: bytes, algorithm: str = "sha256") -> Digest:
    digest = Digest.of(content, algorithm)
    answer = ask(address, "POST", f"/v2/{repository}/blobs/uploads/?digest={digest}", content)
    assert answer.status == 201, answer
    return digest


def begin(address: str, repository: str) -> str:
    """The place of an upload that has begun."""
    answer = ask(address, "POST", f"/v2/{repository}/blobs/uploads/", b"")
    assert answer.status == 202, answer
    return answer.headers["Location"]


def image(layers: tuple[bytes, ...] = (LAYER,), **more: object) -> bytes:
    """The manifest of an image."""
    parts = [documents.descriptor(layer, documents.LAYER) for layer in layers]
    return json.dumps(
        documents.image_manifest(config=documents.descriptor(CONFIG, documents.CONFIG), layers=parts, **more)
    ).encode()


def artifact(kind: str, subject: bytes, **more: object) -> bytes:
    """The manifest of something that is about the manifest `subject`."""
    empty = documents.descriptor(EMPTY, "application/vnd.oci.empty.v1+json")
    about = documents.descriptor(subject, documents.MANIFEST)
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": documents.MANIFEST,
            "artifactType": kind,
            "config": empty,
            "layers": [empty],
            "subject": about,
            **more,
        }
    ).encode()


def push_manifest(address: str, repository: str, manifest: bytes, reference: str = "") -> Digest:
    digest = Digest.of(manifest)
    kind = json.loads(manifest)["mediaType"]
    path = f"/v2/{repository}/manifests/{reference or digest}"
    answer = ask(address, "PUT", path, manifest, {"Content-Type": kind})
    assert answer.status == 201, answer
    return digest


def push_image(address: str, repository: str, tag: str = "", layer: bytes = LAYER) -> Digest:
    for content in (layer, CONFIG):
        push_blob(address, repository, content)
    return push_manifest(address, repository, image((layer,)), tag)


def stored(storage: Path) -> set[str]:
    """The names of all files of a storage but those of its state."""
    every = (path.relative_to(storage) for path in storage.rglob("*") if path.is_file())
    return {str(path) for path in every if not path.name.startswith("registry.db")}
