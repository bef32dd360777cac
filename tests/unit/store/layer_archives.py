"""Layers for tests: their archives."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping

from kernelbox.oci.digest import Digest
from kernelbox.store.layer_pipe import LayerSource


def archive(files: Mapping[str, bytes]) -> bytes:
    """A tar of these files, the same for the same ones."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return made.getvalue()


def source_of(tar: bytes, *, packed: bool = True) -> LayerSource:
    moved = gzip.compress(tar, mtime=0) if packed else tar
    return LayerSource(lambda: io.BytesIO(moved), Digest.of(moved), len(moved), "gzip" if packed else "")
