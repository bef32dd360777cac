"""Archives of images as anybody could write them: any layers, and any configuration, also what no parser of ours takes.

A `Picture` is one image in the making: `layout()` is the archive that `load` reads, and `push` hands the same to a
registry."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from image_documents import CONFIG, MANIFEST, descriptor
from layer_archives import Archive
from registry_requests import push_blob, push_manifest

from kernelbox.oci.digest import Digest
from kernelbox.oci.platform import of_machine

LAYER = "application/vnd.oci.image.layer.v1.tar"
CREATED = "2024-02-29T12:00:00Z"


def of_folder(folder: Path) -> bytes:
    """The layer of a root file system, whoever's files it has being root's."""
    command = ["tar", "-C", str(folder), "--owner=0", "--group=0", "--numeric-owner", "--sort=name", "-cf", "-", "."]
    return subprocess.run(command, check=True, capture_output=True).stdout


@dataclass(frozen=True)
class Picture:
    """`config` is the object of that name as it stands, `more` are further members of the whole document."""

    layers: Sequence[Archive | bytes]
    config: Mapping[str, Any] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def contents(self) -> list[bytes]:
        return [bytes(layer) for layer in self.layers]

    @property
    def document(self) -> bytes:
        own = of_machine(os.uname().machine)
        history = [{"created": CREATED, "created_by": f"step {number}"} for number, _ in enumerate(self.layers)]
        return json.dumps({
            "created": CREATED,
            "architecture": own.architecture,
            "os": own.os,
            **({"variant": own.variant} if own.variant else {}),
            "config": {"Env": ["PATH=/bin"], **self.config},
            "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(layer)) for layer in self.contents]},
            "history": history,
            **self.more,
        }).encode()  # fmt: skip

    @property
    def manifest(self) -> bytes:
        layers = [descriptor(layer, LAYER) for layer in self.contents]
        return json.dumps({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(self.document, CONFIG), "layers": layers,
        }).encode()  # fmt: skip

    @property
    def id(self) -> str:
        return str(Digest.of(self.document))

    def layout(self, *names: str) -> bytes:
        """The archive of an OCI image layout with this image, under these names."""
        said = [{"io.containerd.image.name": name} for name in names] or [{}]
        manifests = [descriptor(self.manifest, MANIFEST, **({"annotations": each} if each else {})) for each in said]
        files = {
            "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
            "index.json": json.dumps({"schemaVersion": 2, "manifests": manifests}).encode(),
            **{
                f"blobs/sha256/{Digest.of(content).encoded}": content
                for content in (self.manifest, self.document, *self.contents)
            },
        }
        output = io.BytesIO()
        with tarfile.open(fileobj=output, mode="w") as archive:
            for name, content in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        return output.getvalue()

    def push(self, address: str, repository: str, tag: str) -> None:
        """To the registry that listens there."""
        for content in (self.document, *self.contents):
            push_blob(address, repository, content)
        push_manifest(address, repository, self.manifest, tag)
