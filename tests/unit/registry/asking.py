"""Requests as a client sends them, byte for byte, to a registry of our own; and what it answers."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kernelbox.oci.digest import Digest
from kernelbox.registry.server.serving import Running

PATIENCE_S = 60.0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """Of the first error; "" where there is none."""
        if self.headers.get("content-type") != "application/json" or not self.body.startswith(b'{"errors"'):
            return ""
        return str(json.loads(self.body)["errors"][0]["code"])

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Asker:
    """Asks one registry, with a new connection each time. `authorization` goes with all requests."""

    address: str
    context: ssl.SSLContext | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def __call__(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        connection = (
            http.client.HTTPSConnection(self.address, timeout=PATIENCE_S, context=self.context)
            if self.context
            else http.client.HTTPConnection(self.address, timeout=PATIENCE_S)
        )
        try:
            connection.request(method, path, body, {**self.headers, **(headers or {})})
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def push(self, repository: str, content: bytes, algorithm: str = "sha256") -> Digest:
        digest = Digest.of(content, algorithm)
        answer = self("POST", f"/v2/{repository}/blobs/uploads/?digest={digest}", content)
        assert answer.status == 201, answer
        return digest

    def put(self, repository: str, reference: str, raw: bytes) -> Answer:
        return self(
            "PUT", f"/v2/{repository}/manifests/{reference}", raw, {"Content-Type": json.loads(raw)["mediaType"]}
        )

    def begin(self, repository: str) -> str:
        """Where the upload goes on."""
        answer = self("POST", f"/v2/{repository}/blobs/uploads/")
        assert answer.status == 202, answer
        return answer.headers["location"]

    def blob(self, repository: str, digest: Digest, method: str = "GET") -> Answer:
        return self(method, f"/v2/{repository}/blobs/{digest}")

    def tags(self, repository: str) -> list[str]:
        return list(self("GET", f"/v2/{repository}/tags/list").json()["tags"])


def asker(registry: Running, name: str = "", password: str = "", context: ssl.SSLContext | None = None) -> Asker:
    return Asker(registry.address, context, {"Authorization": basic(name, password)} if name else {})


def basic(name: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"


def connected(registry: Running) -> socket.socket:
    host, _, port = registry.address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=PATIENCE_S)
