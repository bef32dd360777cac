"""Layers for tests: their archives, and a way to keep one as it is."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Mapping

from kernelbox.oci.digest import Digest
from kernelbox.store.layer_pipe import LayerSource, Unpacked


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


def unpack_file(target: int, archive: int) -> Unpacked:
    """Into the file `target`: the archive as it is."""
    entries = 0
    while piece := os.read(archive, 1 << 16):
        os.write(target, piece)
        entries += 1
    return Unpacked(entries, 0)
